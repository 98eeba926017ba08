"""Name tonight's rings after those of earlier nights, and write what is told of them."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.context import Job
from graphguard.ring_schema import (
    RING_ACTS,
    RING_CHANGES,
    RING_EVIDENCE,
    RING_MEMBERS,
    RING_MEMORY,
    RING_SETS,
    RINGS,
)
from graphguard.rings.lineage import Change, Remembered, carry_on
from graphguard.tables.files import read_parquet, write_parquet


@dataclass(frozen=True)
class Found:
    """Tonight's rings before they have names: each table with the number `ring`."""

    rings: pl.DataFrame
    members: pl.DataFrame
    evidence: pl.DataFrame
    acts: pl.DataFrame
    sets: pl.DataFrame


def write_rings(job: Job, graph: HeteroGraph, out: Path, found: Found) -> None:
    """Write the tables of rings: what they are, what they rest on, what became of earlier ones."""
    rings, members, evidence = found.rings, found.members, found.evidence
    target = job.config.training.target
    keys = graph.keys(target)
    named = {int(user): keys[int(user)] for user in members.get_column("user")}
    key = pl.Series("key", [named[int(user)] for user in members.get_column("user")], pl.String)
    members = members.with_columns(
        key, pl.Series("entity", graph.storage(target)[members.get_column("user").to_numpy()])
    )
    by_ring = dict(members.group_by("ring").agg("key").iter_rows())
    numbers = rings.get_column("ring").to_list()
    before, memory = earlier_rings(job)
    remember = job.config.rings.remember.days
    names, changes, memory = carry_on(
        memory, [by_ring[number] for number in numbers], (before, job.as_of), remember
    )
    name_of = pl.DataFrame(
        {"ring": numbers, "ring_id": names},
        schema={"ring": pl.Int64, "ring_id": pl.String},
    )
    first_seen = pl.Series("first_seen", [memory[name].first_seen for name in names], pl.Date)
    rings = rings.join(name_of, on="ring", maintain_order="left").with_columns(first_seen)
    members = members.join(name_of, on="ring", maintain_order="left")
    evidence = evidence.join(name_of, on="ring", maintain_order="left").with_columns(
        pl.Series("key_a", [named[int(u)] for u in evidence.get_column("user_a")], pl.String),
        pl.Series("key_b", [named[int(u)] for u in evidence.get_column("user_b")], pl.String),
    )
    for table, schema in (
        (rings.sort("ring_id"), RINGS),
        (members.sort("ring_id", "key"), RING_MEMBERS),
        (evidence.sort("ring_id", "key_a", "key_b", "channel"), RING_EVIDENCE),
        (found.acts.join(name_of, on="ring").sort(*RING_ACTS.key), RING_ACTS),
        (found.sets.join(name_of, on="ring").sort(*RING_SETS.key), RING_SETS),
        (_changes(changes), RING_CHANGES),
        (_remembered(memory), RING_MEMORY),
    ):
        write_parquet(out / f"{schema.name}.parquet", table.select(list(schema.columns)), schema)


def earlier_rings(job: Job) -> tuple[date | None, dict[str, Remembered]]:
    """The night before, and the rings that it remembered."""
    if job.previous is None or not job.previous.has("find_rings"):
        return None, {}
    before = date.fromisoformat(job.previous.facts()["as_of"])
    folder = job.previous.stage("find_rings")
    if (folder / "ring_memory.parquet").is_file():
        table = read_parquet(folder / "ring_memory.parquet")
    else:
        # An older program remembered no ring that slept: those of its night are all there is.
        members = read_parquet(folder / "ring_members.parquet").select("ring_id", "key")
        seen = read_parquet(folder / "rings.parquet").select("ring_id", "first_seen")
        table = members.join(seen, on="ring_id").with_columns(pl.lit(before).alias("last_seen"))
    rings = table.group_by("ring_id", "first_seen", "last_seen").agg("key").sort("ring_id")
    memory = {
        name: Remembered(frozenset(keys), first, last)
        for name, first, last, keys in rings.iter_rows()
    }
    return before, memory


def _remembered(memory: dict[str, Remembered]) -> pl.DataFrame:
    rows = [
        (name, key, ring.first_seen, ring.last_seen)
        for name, ring in sorted(memory.items())
        for key in sorted(ring.members)
    ]
    return pl.DataFrame(rows, schema=RING_MEMORY.empty().schema, orient="row")


def _changes(changes: list[Change]) -> pl.DataFrame:
    rows = [(one.ring_id, one.change, one.other, one.joined, one.left) for one in changes]
    return pl.DataFrame(rows, schema=RING_CHANGES.empty().schema, orient="row")

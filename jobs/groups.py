"""Groups of users at an anchor, by links alone: before any model, so that models may read them."""

from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl

from graphguard.features.groups import SCHEMA, TOLD
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.acts import active_users
from graphguard.jobs.audiences import audience_links
from graphguard.jobs.context import Job, Silent
from graphguard.jobs.recurring import recurring_pairs
from graphguard.jobs.slow import slow_cores
from graphguard.jobs.texts import alike_links
from graphguard.rings.around import groups_around
from graphguard.rings.fusion import channel_bits
from graphguard.rings.grouping import GroupRules
from graphguard.rings.significance import all_pairs
from graphguard.schema import GROUPS, PAIRS
from graphguard.tables.commit import committing, is_committed
from graphguard.tables.events import read_pairs
from graphguard.tables.files import read_parquet, write_parquet

PAIR = ("user_a", "user_b")
KEPT = [*PAIR, "channel", "weight", "a_first", "log10_p", "log10_q"]
"""Columns of links that groups and removals need."""
LEAST_MEMBERS = 3
"""Smallest group that columns tell of: two of one household are no group."""


def links_at(job: Job, graph: HeteroGraph, anchor: date) -> pl.DataFrame:
    """All links of the window before an anchor: of pairs, recurring sets, like texts, slow rings.

    Returns:
        The columns KEPT, users as storage indices; one row a pair and channel.

    Cost: seconds a million acts: sets of users are looked for anew.
    """
    there = replace(job, as_of=anchor, reporter=Silent())
    target = job.config.training.target
    pairs = read_pairs(job.run, f"anchor={anchor.isoformat()}")
    dense = {name: graph.dense(target, pairs.get_column(name).to_numpy()) for name in PAIR}
    pairs = pairs.with_columns(pl.Series(name, values) for name, values in dense.items())
    num_pairs = all_pairs(active_users(job, graph, anchor))
    told = [
        *recurring_pairs(there, graph, num_pairs),
        *alike_links(there, graph, num_pairs),
        *slow_cores(there, pairs, num_pairs),
        *audience_links(there, graph, num_pairs),
    ]
    parts = [pairs, *(one.links for one in told)]
    linked = [part.select(KEPT) for part in parts if part.height]
    every = pl.concat([PAIRS.empty().select(KEPT), *linked])
    storage = graph.storage(target)
    ends = {name: storage[every.get_column(name).to_numpy()] for name in PAIR}
    return every.with_columns(pl.Series(name, values) for name, values in ends.items())


def groups_at(job: Job, graph: HeteroGraph, anchor: date, links: pl.DataFrame) -> pl.DataFrame:
    """GROUPS of an anchor: what each user in a group has there (`features/groups.py`).

    Args:
        job: The night.
        graph: Its graph.
        anchor: The day.
        links: Of `links_at`, or what is left of them.
    """
    if not links.height:
        return pl.DataFrame(schema=SCHEMA)
    target, settings = job.config.training.target, job.config.rings
    keys = graph.keys(target)
    dense = {name: graph.dense(target, links.get_column(name).to_numpy()) for name in PAIR}
    found = groups_around(
        links.with_columns(
            *(pl.Series(name, values) for name, values in dense.items()),
            channel_bits(pl.col("log10_p")).alias("bits"),
        ),
        active_users(job, graph, anchor),
        settings.false_discovery_rate,
        GroupRules(min_members=max(settings.min_members, LEAST_MEMBERS)),
    )
    user = found.get_column("user").to_numpy()
    named = found.with_columns(
        pl.Series("entity", graph.storage(target)[user].astype(np.int64)),
        pl.Series("key", [keys[int(one)] for one in user], dtype=pl.String),
    )
    # Storage indices follow the order in which users came; keys do not.
    first = pl.col("key").min().over("group").rank("dense").cast(pl.Int64) - 1
    return named.select("entity", first.alias("group"), *TOLD).sort("entity")


def stored_groups(job: Job, graph: HeteroGraph, anchor: date, mark: str) -> pl.DataFrame:
    """GROUPS of an anchor from the shared store, made where they are not there yet.

    Args:
        job: The night.
        graph: Its graph.
        anchor: The day.
        mark: Name of all that they are made of.
    """
    name = f"anchor={anchor.isoformat()}"
    folder = job.workspace.partition("groups", name, mark)
    with job.claim(f"groups.{name}"):
        if not is_committed(folder):
            table = groups_at(job, graph, anchor, links_at(job, graph, anchor))
            with committing(folder, {"rows": table.height}) as scratch:
                write_parquet(scratch / "groups.parquet", table, GROUPS)
    return read_parquet(folder / "groups.parquet")

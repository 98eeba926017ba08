"""Build the graph: events become daily edges, and daily edges a mapped graph of the run's span."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from graphguard.config.sections import EdgeConfig
from graphguard.config.values import DAY_US, day_us, us_day
from graphguard.graph.build import EdgeArrays, NodeArrays, write_graph
from graphguard.graph.hetero import EdgeType
from graphguard.jobs.context import Facts, Job
from graphguard.jobs.ingest import first_needed_day
from graphguard.schema import DAILY_EDGES
from graphguard.tables.commit import CommitBatch, is_committed, read_manifest
from graphguard.tables.edges import daily_edges, edge_table
from graphguard.tables.events import open_events
from graphguard.tables.files import fingerprint, read_parquet, write_parquet

FORMAT = 1
"""Raised when stored edges of an older program may no longer be used."""


def run(job: Job, out: Path) -> Facts:
    """Store the missing days of every edge type, then the run's graph."""
    partitions: dict[str, dict[str, str]] = {}
    edges = job.config.graph.edges
    for number, edge in enumerate(edges, 1):
        partitions[edge_table(edge)] = _store_days(job, edge)
        job.reporter.step(number, len(edges) + 1, edge_table(edge))
    since = first_needed_day(job)
    nodes = _nodes(job, partitions, since)
    write_graph(
        out / "graph",
        nodes={
            name: NodeArrays(frame.get_column("key"), frame.get_column("index").to_numpy())
            for name, frame in nodes.items()
        },
        edges=_edge_batches(job, partitions, nodes, since),
        hubs=job.config.graph.hubs,
        seed=job.config.training.seed,
    )
    job.reporter.step(len(edges) + 1, len(edges) + 1, "graph")
    counts = {name: frame.height for name, frame in nodes.items()}
    return {"partitions": partitions, "rows": sum(counts.values()), "num_nodes": counts}


def _store_days(job: Job, edge: EdgeConfig) -> dict[str, str]:
    """Write the missing days of one edge type; returns the fingerprint of every day."""
    units = job.run.partitions("ingest", f"events/{edge.log}")
    spans = {}
    for name, folder in units.items():
        facts = read_manifest(folder)
        if facts["rows"]:
            spans[f"{name}/{folder.name}"] = (facts["first_us"], facts["last_us"])
    log = job.config.logs[edge.log]
    since = first_needed_day(job)
    marks = {}
    missing = []
    for day in _days(spans, since, job.as_of):
        start = day_us(day)
        sources = sorted(
            name for name, (low, high) in spans.items() if low < start + DAY_US and high >= start
        )
        facts = {
            "format": FORMAT,
            "edge": edge.model_dump(),
            "units": sources,
            "day": day,
            "numeric": log.numeric,
        }
        name = f"dt={day.isoformat()}"
        marks[name] = fingerprint(facts)
        if not is_committed(_folder(job, edge, name, marks[name])):
            missing.append(day)
    with CommitBatch() as batch:
        for first, last in _stretches(missing):
            for day, table in _daily(job, edge, (first, last)):
                name = f"dt={day.isoformat()}"
                folder = _folder(job, edge, name, marks[name])
                with batch.committing(folder, {"rows": table.height}) as scratch:
                    write_parquet(scratch / "edges.parquet", table, DAILY_EDGES)
    return marks


def _daily(
    job: Job, edge: EdgeConfig, days: tuple[date, date]
) -> Iterator[tuple[date, pl.DataFrame]]:
    """Aggregate a stretch of days in one pass; each day with its edges."""
    first, last = days
    span = (day_us(first), day_us(last) + DAY_US)
    events = open_events(job.engine, job.run, edge.log, *span)
    if events is None:
        return
    ends = (edge.name[0], edge.name[2])
    sizes = (len(job.workspace.ids(ends[0])), len(job.workspace.ids(ends[1])))
    every = daily_edges(events, edge, job.config.logs[edge.log], sizes, job.engine)
    by_day = every.partition_by("day", as_dict=True, maintain_order=True)
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        yield day, by_day.get((day,), every.clear())


def _days(spans: dict[str, tuple[int, int]], since: date | None, as_of: date) -> list[date]:
    """Days with stored events within the run's span; 1970-01-01 stands for timeless events."""
    days: set[date] = set()
    for low, high in spans.values():
        first, last = us_day(low), min(us_day(high), as_of - timedelta(days=1))
        days |= {first + timedelta(days=n) for n in range((last - first).days + 1)}
    timeless = date(1970, 1, 1)
    return sorted(day for day in days if since is None or day >= since or day == timeless)


def _stretches(days: list[date], longest: int = 31) -> list[tuple[date, date]]:
    """Runs of consecutive days, at most `longest` long, to be aggregated in one pass each."""
    found: list[tuple[date, date]] = []
    for day in days:
        follows = found and day - found[-1][1] == timedelta(days=1)
        if follows and (day - found[-1][0]).days < longest:
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found


def _folder(job: Job, edge: EdgeConfig, name: str, mark: str) -> Path:
    return job.workspace.partition(edge_table(edge), name, mark)


def _edges_of(job: Job, edge: EdgeConfig, partitions: dict[str, dict[str, str]]) -> pl.DataFrame:
    marks = partitions[edge_table(edge)]
    columns = ["source", "target", "first_us", "count"]
    frames = [
        read_parquet(
            job.workspace.partition(edge_table(edge), name, mark) / "edges.parquet", columns
        )
        for name, mark in sorted(marks.items())
    ]
    return pl.concat([DAILY_EDGES.empty().select(columns), *frames])


def _nodes(
    job: Job, partitions: dict[str, dict[str, str]], since: date | None
) -> dict[str, pl.DataFrame]:
    """Entities with an edge in the span, sorted by key: columns `key` and `index` (storage)."""
    used: dict[str, list[pl.DataFrame]] = {}
    for edge in job.config.graph.edges:
        frame = _edges_of(job, edge, partitions)
        for side, node_type in (("source", edge.name[0]), ("target", edge.name[2])):
            used.setdefault(node_type, []).append(
                frame.select(pl.col(side).unique().alias("index"))
            )
    return {
        node_type: pl.concat(frames)
        .unique()
        .join(job.workspace.ids(node_type).frame, on="index", how="inner")
        .sort("key")
        .select("key", "index")
        for node_type, frames in sorted(used.items())
    }


def _edge_batches(
    job: Job,
    partitions: dict[str, dict[str, str]],
    nodes: dict[str, pl.DataFrame],
    since: date | None,
) -> Iterator[tuple[EdgeType, EdgeArrays]]:
    """Edges of each type with dense indices, one type at a time."""
    dense = {name: _dense(frame) for name, frame in nodes.items()}
    for edge in job.config.graph.edges:
        frame = _edges_of(job, edge, partitions)
        yield (
            edge.name,
            EdgeArrays(
                source=dense[edge.name[0]][frame.get_column("source").to_numpy()],
                target=dense[edge.name[2]][frame.get_column("target").to_numpy()],
                time_us=frame.get_column("first_us").to_numpy(),
                count=frame.get_column("count").cast(pl.Int32).to_numpy(),
            ),
        )


def _dense(nodes: pl.DataFrame) -> np.ndarray:
    """Storage index -> dense index; -1 where the entity is not in the graph."""
    storage = nodes.get_column("index").to_numpy()
    size = int(storage.max()) + 1 if storage.size else 0
    dense = np.full(size, -1, dtype=np.int64)
    dense[storage] = np.arange(storage.size)
    return dense

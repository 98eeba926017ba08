"""Build the graph: events become daily edges, and daily edges a mapped graph of the run's span."""

import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.config.sections import EdgeConfig
from graphguard.config.values import DAY_US, day_us, us_day
from graphguard.errors import ArtefactInvalid, GraphInvalid, IdsMissing
from graphguard.graph.advance import advance_graph
from graphguard.graph.arrays import EdgeArrays, NodeArrays, dense_of, renumber
from graphguard.graph.build import load_sorting, write_graph
from graphguard.graph.hetero import EdgeType, HeteroGraph
from graphguard.jobs.context import Facts, Job
from graphguard.jobs.earlier_graph import Earlier, find_earlier, graph_rules
from graphguard.jobs.ingest import first_needed_day
from graphguard.jobs.stored_edges import EdgeRoom, read_edges
from graphguard.schema import DAILY_EDGES
from graphguard.tables.commit import CommitBatch, is_committed, read_manifest, verify
from graphguard.tables.edges import daily_edges, edge_table, edges_of_day, event_columns
from graphguard.tables.engine import PolarsEngine
from graphguard.tables.events import EventLog
from graphguard.tables.files import fingerprint, let_go, read_parquet, write_parquet
from graphguard.tables.ids import IdStores
from graphguard.tables.threads import threads

FORMAT = 2
"""Raised when stored edges of an older program may no longer be used."""


def run(job: Job, out: Path) -> Facts:
    """Store the missing days of every edge type, then the run's graph."""
    started = time.monotonic()
    with job.claim("edges"), threads() as pool:
        partitions, missing = _wanted(job)
        earlier = find_earlier(job, partitions)
        # All edges are sorted with a library that is imported meanwhile, and all ids by key.
        pool.start(lambda _: load_sorting(), range(0 if earlier else 1))
        ids = pool.start(partial(_by_key, job), [] if earlier else _node_types(job))
        rooms = {} if earlier else _rooms(job, partitions, missing)
        _store_missing(job, missing, rooms)
        every = dict(ids.results())
    daily_seconds = round(time.monotonic() - started, 3)
    counts = _carried_on(job, earlier, out / "graph")
    if counts is None:
        every = every or dict(map(partial(_by_key, job), _node_types(job)))
        counts = _from_all_days(job, (partitions, rooms), every, out / "graph")
    return {
        "partitions": partitions,
        "rows": sum(counts.values()),
        "num_nodes": counts,
        "graph_rules": graph_rules(job.config),
        "daily_seconds": daily_seconds,
    }


def _carried_on(job: Job, earlier: Earlier | None, folder: Path) -> dict[str, int] | None:
    """Write the graph that an earlier one becomes; number of nodes by type, None if none was."""
    if earlier is None:
        return None
    ids = IdStores(job.workspace.ids)
    rules = (job.config.graph.hubs, job.config.training.seed)
    try:
        # What is copied night after night must be what was written.
        verify(earlier.run.stage("build_graph"))
        changes = earlier.changes()
        base = HeteroGraph.open(earlier.run.file("build_graph", "graph"))
        counts = advance_graph(
            folder, base, changes, lambda kind, at: ids[kind].keys_of(pl.Series(at)), rules
        )
    except (ArtefactInvalid, GraphInvalid) as error:
        job.reporter.note(f"the graph of run {earlier.run.run_id} is not carried on: {error}")
        shutil.rmtree(folder, ignore_errors=True)
        return None
    left, came = (
        sum(len(getattr(change, part).time_us) for change in changes.values())
        for part in ("left", "came")
    )
    what = f"the graph of run {earlier.run.run_id}, less {left:,} daily edges, and {came:,} new"
    job.reporter.note(what)
    return counts


def _from_all_days(
    job: Job,
    days: tuple[dict[str, dict[str, str]], dict[EdgeType, EdgeRoom]],
    ids: dict[str, pl.DataFrame],
    folder: Path,
) -> dict[str, int]:
    """Write the graph of all days; number of nodes by type.

    Args:
        job: The night.
        days: Fingerprints of all days, and the edges of those that were just made.
        ids: Of every node type, sorted by key; they are given up.
        folder: Where to.
    """
    partitions, rooms = days
    edges = read_edges(
        {edge.name: _folders(job, edge_table(edge), partitions) for edge in job.config.graph.edges},
        rooms,
    )
    rooms.clear()
    nodes = _nodes(job, edges, ids)
    job.reporter.note(f"graph: {sum(len(one.time_us) for one in edges.values()):,} daily edges")
    write_graph(
        folder,
        nodes={
            name: NodeArrays(frame.get_column("key"), frame.get_column("index").to_numpy())
            for name, frame in nodes.items()
        },
        edges=_dense_edges(edges, nodes),
        hubs=job.config.graph.hubs,
        seed=job.config.training.seed,
    )
    return {name: frame.height for name, frame in nodes.items()}


def _folders(job: Job, table: str, partitions: dict[str, dict[str, str]]) -> list[Path]:
    days = sorted(partitions[table].items())
    return [job.workspace.partition(table, name, mark) for name, mark in days]


@dataclass(frozen=True)
class _Stretch:
    """Days of one edge type that are aggregated in one pass, and where each day goes."""

    edge: EdgeConfig
    events: EventLog
    days: dict[date, Path]

    @property
    def size(self) -> int:
        """Most events there can be."""
        return self.events.most(day_us(min(self.days)), day_us(max(self.days)) + DAY_US)


def _wanted(job: Job) -> tuple[dict[str, dict[str, str]], list[_Stretch]]:
    """Fingerprint of every day of every edge type; and what is not stored yet."""
    since = first_needed_day(job)
    logs = {edge.log: EventLog(job.run, edge.log) for edge in job.config.graph.edges}
    partitions: dict[str, dict[str, str]] = {}
    missing = []
    for edge in job.config.graph.edges:
        log, events = job.config.logs[edge.log], logs[edge.log]
        marks, absent = {}, {}
        for day in _days(events.units, since, job.as_of):
            start = day_us(day)
            facts = {
                "format": FORMAT,
                "edge": edge.model_dump(),
                "units": events.overlapping(start, start + DAY_US),
                "day": day,
                "numeric": log.numeric,
            }
            name = f"dt={day.isoformat()}"
            marks[name] = fingerprint(facts)
            folder = job.workspace.partition(edge_table(edge), name, marks[name])
            if not is_committed(folder):
                absent[day] = folder
        partitions[edge_table(edge)] = marks
        # Here, days of a log in daily files are small units of work. On a cluster a task is not
        # worth a day, and of any other log one pass reads all of it.
        daily = log.dated and isinstance(job.engine, PolarsEngine)
        for first, last in _stretches(list(absent), 1 if daily else 31):
            days = {day: folder for day, folder in absent.items() if first <= day <= last}
            missing.append(_Stretch(edge, events, days))
    return partitions, missing


def _rooms(
    job: Job, partitions: dict[str, dict[str, str]], missing: list[_Stretch]
) -> dict[EdgeType, EdgeRoom]:
    """Room for the edges of each type of which days are made one by one: they need not be read."""
    made: dict[EdgeType, dict[Path, int]] = {}
    several = set()
    for one in missing:
        for day, folder in one.days.items():
            most = one.events.most(day_us(day), day_us(day) + DAY_US)
            made.setdefault(one.edge.name, {})[folder] = most
        if len(one.days) > 1:
            several.add(one.edge.name)
    rooms = {}
    for edge in job.config.graph.edges:
        own = made.get(edge.name, {})
        if own and edge.name not in several:
            folders = _folders(job, edge_table(edge), partitions)
            sizes = {
                one: own[one] if one in own else int(read_manifest(one)["rows"]) for one in folders
            }
            rooms[edge.name] = EdgeRoom(sizes)
    return rooms


def _store_missing(
    job: Job, missing: list[_Stretch], rooms: dict[EdgeType, EdgeRoom], together: int = 32
) -> None:
    """Write the missing days, some at a time, so that progress shows."""
    parts = [missing[start : start + together] for start in range(0, len(missing), together)]
    for part in parts:
        # The longest work first.
        part.sort(key=lambda one: -one.size)
    done = 0
    with CommitBatch() as batch, threads() as pool:
        begun = [pool.start(partial(_store, job, batch, rooms), part) for part in parts]
        for part, work in zip(parts, begun, strict=True):
            work.results()
            done += len(part)
            what = f"{edge_table(part[-1].edge)} {max(part[-1].days)}"
            job.reporter.step(done, len(missing), what)
    # This night has them, and the next reads those that leave its window.
    had = [one for one in missing if one.edge.name in rooms]
    with threads() as pool:
        pool.each(let_go, [day / "edges.parquet" for one in had for day in one.days.values()])


def _store(
    job: Job, batch: CommitBatch, rooms: dict[EdgeType, EdgeRoom], stretch: _Stretch
) -> None:
    room = rooms.get(stretch.edge.name)
    for day, table in _tables(job, stretch):
        folder = stretch.days[day]
        with batch.committing(folder, {"rows": table.height}) as scratch:
            write_parquet(scratch / "edges.parquet", table, DAILY_EDGES)
        if room is not None:
            room.put(folder, table)


def _tables(job: Job, stretch: _Stretch) -> Iterator[tuple[date, pl.DataFrame]]:
    """Daily edges of each day of a stretch."""
    first, last = min(stretch.days), max(stretch.days)
    edge, log = stretch.edge, job.config.logs[stretch.edge.log]
    span = (day_us(first), day_us(last) + DAY_US)
    if first == last and isinstance(job.engine, PolarsEngine):
        events = stretch.events.read(*span, event_columns(edge, log))
        if events is not None:
            yield first, edges_of_day(events, edge, log, first)
        return
    frame = stretch.events.open(job.engine, *span)
    if frame is None:
        return
    only = first if first == last else None
    every = daily_edges(frame, edge, log, only, job.engine)
    by_day = {(first,): every}
    if only is None:
        by_day = every.partition_by("day", as_dict=True, maintain_order=True)
    for day in stretch.days:
        yield day, by_day.get((day,), every.clear())


def _days(spans: Mapping[str, tuple[int, int]], since: date | None, as_of: date) -> list[date]:
    """Days with stored events within the run's span; 1970-01-01 stands for timeless events."""
    days: set[date] = set()
    for low, high in spans.values():
        first, last = us_day(low), min(us_day(high), as_of - timedelta(days=1))
        days |= {first + timedelta(days=n) for n in range((last - first).days + 1)}
    timeless = date(1970, 1, 1)
    return sorted(day for day in days if since is None or day >= since or day == timeless)


def _stretches(days: list[date], longest: int) -> list[tuple[date, date]]:
    """Runs of consecutive days, at most `longest` long, to be aggregated in one pass each."""
    found: list[tuple[date, date]] = []
    for day in days:
        follows = found and day - found[-1][1] == timedelta(days=1)
        if follows and (day - found[-1][0]).days < longest:
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found


def _node_types(job: Job) -> list[str]:
    """Types that the edges name."""
    ends = {kind for edge in job.config.graph.edges for kind in (edge.name[0], edge.name[2])}
    return sorted(ends)


def _by_key(job: Job, node_type: str) -> tuple[str, pl.DataFrame]:
    """A type, and its ids sorted by key."""
    return node_type, job.workspace.ids(node_type).frame.sort("key")


def _nodes(
    job: Job, edges: dict[EdgeType, EdgeArrays], ids: dict[str, pl.DataFrame]
) -> dict[str, pl.DataFrame]:
    """Entities with an edge in the span, sorted by key: columns `key` and `index` (storage).

    With a static anchor, also entities of the target's own table that have none.

    Args:
        job: The night.
        edges: With storage indices.
        ids: Of every node type, sorted by key; they are given up.
    """
    used: dict[str, list[NDArray[Any]]] = {}
    for edge_type, arrays in edges.items():
        used.setdefault(edge_type[0], []).append(arrays.source)
        used.setdefault(edge_type[2], []).append(arrays.target)
    target = job.config.training.target
    if job.config.training.static and target in job.config.entities:
        table = read_parquet(job.run.file("ingest", f"entities/{target}.parquet"), ["entity"])
        used[target].append(table.get_column("entity").to_numpy())
    with threads() as pool:
        every = [(kind, ids.pop(kind), used[kind]) for kind in sorted(used)]
        return dict(pool.each(lambda one: (one[0], _met(job, *one)), every))


def _met(job: Job, node_type: str, ids: pl.DataFrame, ends: list[NDArray[Any]]) -> pl.DataFrame:
    """The ids of a type that stand among some ends of edges."""
    index = ids.get_column("index").to_numpy()
    seen = np.zeros(int(index.max(initial=-1)) + 1, dtype=np.bool_)
    for part in ends:
        if part.max(initial=-1) >= len(seen):
            folder, store = job.workspace.root / "ids" / node_type, job.workspace.root / "store"
            raise IdsMissing(folder, len(seen), store, int(part.max()) + 1)
        seen[part] = True
    held = seen[index]
    return ids if held.all() else ids.filter(pl.Series(held))


def _dense_edges(
    edges: dict[EdgeType, EdgeArrays], nodes: dict[str, pl.DataFrame]
) -> Iterator[tuple[EdgeType, EdgeArrays]]:
    """Edges of each type with dense indices; each type is let go of when it was given."""
    dense = {name: dense_of(frame.get_column("index").to_numpy()) for name, frame in nodes.items()}
    for edge_type in list(edges):
        arrays = edges.pop(edge_type)
        ends = ((arrays.source, dense[edge_type[0]]), (arrays.target, dense[edge_type[2]]))
        with threads() as pool:
            pool.each(lambda end: renumber(*end), ends)
        yield edge_type, arrays

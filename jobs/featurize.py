"""Featurize: events, graph, pairs, entities and labels become one row per user and anchor."""

from datetime import date
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl

from graphguard.config.anchors import calendar_anchors
from graphguard.config.values import day_us
from graphguard.features.catalogue import GROUPS, ISLANDS, asks_for
from graphguard.features.engine_rows import EngineEvents
from graphguard.features.groups import group_catalogue, group_columns
from graphguard.features.islands import island_table
from graphguard.features.neighbours import NeighbourInputs, neighbour_table
from graphguard.features.table import FeatureInputs, feature_table, text_column
from graphguard.features.words import THEME
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.context import Facts, Job
from graphguard.jobs.groups import groups_at, stored_groups
from graphguard.schema import FEATURES
from graphguard.scores.removal import Removal
from graphguard.tables.anchor_rows import (
    calendar_rows,
    event_rows,
    held_bad,
    latest_acts,
    static_rows,
)
from graphguard.tables.commit import committing, is_committed, read_manifest
from graphguard.tables.engine import PolarsEngine
from graphguard.tables.events import open_events, read_pairs, scan_events
from graphguard.tables.files import fingerprint, read_parquet, write_parquet
from graphguard.tables.people import bad_spans

FORMAT = 4
"""Raised when stored features of an older program may no longer be used."""
GROUPS_FORMAT = 1
"""The same of stored groups."""


def run(job: Job, out: Path) -> Facts:
    """Store the features of every anchor that are not stored yet."""
    target = job.config.training.target
    graph = HeteroGraph.open(job.run.stage("build_graph") / "graph")
    anchors = anchor_names(job)
    marks: dict[str, str] = {}
    groups: dict[str, str] = {}
    rows = 0
    for number, (name, anchor) in enumerate(anchors.items(), 1):
        if anchor is not None and (asks_for(GROUPS, job.config) or _is_earlier(job, anchor)):
            groups[name] = _groups_mark(job, name, anchor)
            stored_groups(job, graph, anchor, groups[name])
        marks[name] = fingerprint(_inputs(job, name, anchor))
        folder = job.workspace.partition(f"features/{target}", name, marks[name])
        with job.claim(f"features.{name}"):
            if not is_committed(folder):
                table = make_features(job, graph, name, anchor)
                with committing(folder, {"rows": table.height}) as scratch:
                    write_parquet(scratch / "features.parquet", table, FEATURES)
        rows += int(read_manifest(folder)["rows"])
        job.reporter.step(number, len(anchors), name)
    return {"rows": rows, "partitions": {f"features/{target}": marks, "groups": groups}}


def anchor_names(job: Job) -> dict[str, date | None]:
    """Partition names of the run's anchors; an event anchor has one partition and no day."""
    settings = job.config.training
    if settings.event is not None:
        return {f"anchor=event{settings.event}{'orfewer' * settings.fewer}": None}
    days = calendar_anchors(job.config, job.as_of).all() if settings.calendar else (job.as_of,)
    return {f"anchor={day.isoformat()}": day for day in days}


def make_features(
    job: Job,
    graph: HeteroGraph,
    name: str,
    anchor: date | None,
    removal: Removal | None = None,
) -> pl.DataFrame:
    """FEATURES of one partition, sorted by key; of the same rows where acts are left out."""
    config, target = job.config, job.config.training.target
    there = _events_there(job, anchor) if removal is None else None
    if config.training.static:
        rows = static_rows(graph.storage(target), day_us(job.as_of))
    elif there is None or anchor is None:
        rows = _rows(job, anchor)
    else:
        rows = _rows_there(job, anchor, there)
    ids = job.workspace.ids(target)
    rows = ids.decode(rows, "entity", "key").sort("key")
    labels = read_parquet(job.run.file("ingest", "labels.parquet"))
    spans = bad_spans(labels)
    events = anchor_events(job, anchor)
    pairs = read_pairs(job.run, name) if anchor is not None else None
    if removal is not None:
        events = {log: removal.events(log, rows_of) for log, rows_of in events.items()}
        pairs = None if pairs is None else removal.pairs(pairs)
        graph = removal.graph(graph)
    inputs = FeatureInputs(
        rows=rows.select("entity", "anchor_us"),
        events=events,
        entities=_entities(job),
        pairs=pairs,
        there=there,
    )
    own = feature_table(inputs, config)
    neighbours = neighbour_table(
        NeighbourInputs(graph=graph, own=own, bad=spans, target=target), config
    )
    scored = pl.Series("scored", ~held_bad(rows, spans))
    parts = [
        rows.select("key", "entity", "anchor_us").with_columns(scored),
        own.drop("entity", "anchor_us"),
        neighbours,
    ]
    if ISLANDS in config.features:
        parts.append(island_table(graph, inputs.rows, inputs.entities, config))
    if group_catalogue(config) and anchor is not None:
        if removal is None:
            groups = stored_groups(job, graph, anchor, _groups_mark(job, name, anchor))
        else:
            groups = groups_at(job, graph, anchor, removal.links_left)
        parts.append(group_columns(groups, inputs.rows))
    if THEME in config.features:
        parts.append(text_column(inputs, config).to_frame())
    return pl.concat(parts, how="horizontal")


def _rows(job: Job, anchor: date | None) -> pl.DataFrame:
    """Users to make features for, with their anchors."""
    window = job.config.graph.window.us
    since, until = _span(job, anchor)
    acts = [
        events.select(pl.col(column).alias("entity"), "time_us")
        for log in sorted(job.config.logs)
        if (column := job.config.actor_column(log)) is not None
        and (events := scan_events(job.run, log, since, until)) is not None
    ]
    every = pl.concat(acts)
    if anchor is None:
        settings = job.config.training
        rows = event_rows(every, settings.event or 1, fewer=settings.fewer)
        return rows.filter(pl.col("anchor_us") <= until)
    return calendar_rows(every.collect(), until, window)


def _rows_there(job: Job, anchor: date, there: EngineEvents) -> pl.DataFrame:
    """The same on the job's engine: one act a user comes from there."""
    acts = [
        events.select(nw.col(column).alias("entity"), "time_us")
        for log, events in there.logs.items()
        if (column := job.config.actor_column(log)) is not None
    ]
    window = job.config.graph.window.us
    latest = latest_acts(nw.concat(acts), day_us(anchor), window)
    return calendar_rows(job.engine.collect(latest), day_us(anchor), window)


def _span(job: Job, anchor: date | None) -> tuple[int, int]:
    """Time that the events of an anchor's rows come from."""
    until = day_us(anchor or job.as_of)
    return until - job.config.graph.window.us if anchor is not None else 0, until


def anchor_events(job: Job, anchor: date | None) -> dict[str, pl.LazyFrame]:
    """Events by log that the rows of an anchor are made of; a log without any is left out."""
    since, until = _span(job, anchor)
    found = {log: scan_events(job.run, log, since, until) for log in sorted(job.config.logs)}
    return {log: events for log, events in found.items() if events is not None}


def _events_there(job: Job, anchor: date | None) -> EngineEvents | None:
    """The same events on the job's engine; None where that is this process."""
    if isinstance(job.engine, PolarsEngine):
        return None
    since, until = _span(job, anchor)
    found = {
        log: open_events(job.engine, job.run, log, since, until) for log in sorted(job.config.logs)
    }
    return EngineEvents(
        job.engine, {log: events for log, events in found.items() if events is not None}
    )


def _entities(job: Job) -> pl.DataFrame | None:
    target = job.config.training.target
    if target not in job.config.entities:
        return None
    return read_parquet(job.run.file("ingest", f"entities/{target}.parquet"))


def _inputs(job: Job, name: str, anchor: date | None) -> dict[str, Any]:
    """All that goes into one partition of features: a night reuses it while none of it changes.

    Labels and entity rows count only as far as they were known before the anchor, so what is
    learned later about users leaves old anchors as they are.
    """
    config = job.config
    since, until = _span(job, anchor)
    pairs = job.run.partitions("link", "pairs").get(name)
    return {
        "format": FORMAT,
        "anchor": name,
        "as_of": None if anchor is not None else job.as_of,
        "units": units_in(job, since, until),
        "pairs": pairs.name if pairs else None,
        "labels": _known_before(read_parquet(job.run.file("ingest", "labels.parquet")), until),
        "entities": _entities_mark(job, until),
        "themes": config.features,
        "graph": config.graph.model_dump(mode="json", exclude={"memory_budget"}),
        "logs": {log: config.logs[log].model_dump(exclude={"path"}) for log in config.logs},
        "training": [config.training.target, config.training.anchor],
    } | (
        {"rings": config.rings.model_dump(mode="json", exclude={"earlier"})}
        if GROUPS in config.features
        else {}
    )


def _is_earlier(job: Job, anchor: date) -> bool:
    """Whether the rings of the cutoff are asked who acted together before an anchor."""
    apart = day_us(anchor) + job.config.graph.window.us <= day_us(job.as_of)
    return job.config.rings.earlier and apart


def _groups_mark(job: Job, name: str, anchor: date) -> str:
    """A name for all that goes into the groups of an anchor."""
    config = job.config
    pairs = job.run.partitions("link", "pairs").get(name)
    return fingerprint(
        {
            "format": GROUPS_FORMAT,
            "anchor": name,
            "units": units_in(job, *_span(job, anchor)),
            "pairs": pairs.name if pairs else None,
            "graph": config.graph.model_dump(mode="json", exclude={"memory_budget"}),
            "logs": {log: config.logs[log].model_dump(exclude={"path"}) for log in config.logs},
            "rings": config.rings.model_dump(mode="json", exclude={"earlier"}),
            "target": config.training.target,
        }
    )


def units_in(job: Job, since_us: int, until_us: int) -> dict[str, list[str]]:
    """Stored units of every log with events in a span of time, by name and fingerprint."""
    units: dict[str, list[str]] = {}
    for log in sorted(job.config.logs):
        units[log] = []
        for name, folder in job.run.partitions("ingest", f"events/{log}").items():
            facts = read_manifest(folder)
            if facts["rows"] and facts["first_us"] < until_us and facts["last_us"] >= since_us:
                # An erasure rewrites a unit under its name; what was made of it is made anew.
                marks = [folder.name, *sorted(facts.get("erasures", {}))]
                units[log].append(f"{name}/{'+'.join(marks)}")
    return units


def _known_before(labels: pl.DataFrame, until_us: int) -> str:
    known = labels.filter(pl.col("known_at_us") < until_us)
    return _content(known.select("entity", "known_at_us", "bad"))


def _entities_mark(job: Job, until_us: int) -> str | None:
    entities = _entities(job)
    if entities is None:
        return None
    return _content(entities.filter(pl.col("time_us") < until_us))


def _content(frame: pl.DataFrame) -> str:
    """A name for the rows of a frame, in their order."""
    marks = frame.hash_rows(seed=0).to_numpy()
    return fingerprint(
        [
            frame.height,
            str(np.bitwise_xor.reduce(marks, initial=0)),
            str(marks.sum(dtype=np.uint64)),
        ]
    )

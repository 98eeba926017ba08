"""Link: users who act together or share devices, per anchor, with p and q; no model in it."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.config.sections import TraceConfig
from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.keyed import Hashes, KeyHashes
from graphguard.graph.ranges import distinct_pairs, ranges
from graphguard.jobs.acts import (
    active_users,
    authors,
    first_sight,
    known_acts,
    trace_frame,
    window_span,
)
from graphguard.jobs.context import Facts, Job
from graphguard.jobs.featurize import anchor_names, units_in
from graphguard.rings.fusion import pair_table
from graphguard.rings.link import LinkRules, coaction_links, linked, sharing_links
from graphguard.rings.significance import all_pairs
from graphguard.rings.trace_coactions import trace_coactions
from graphguard.schema import PAIRS
from graphguard.tables.commit import committing, is_committed, read_manifest
from graphguard.tables.engine import PolarsEngine
from graphguard.tables.files import fingerprint, write_parquet

FORMAT = 6
"""Raised when stored pairs of an older program may no longer be used."""


def run(job: Job, out: Path) -> Facts:
    """Store the pairs of every calendar anchor, and of the cutoff, that are not stored yet."""
    graph = HeteroGraph.open(job.run.stage("build_graph") / "graph")
    target = job.config.training.target
    hashes = KeyHashes(graph.keys(target))
    anchors = [day for day in anchor_names(job).values() if day is not None] or [job.as_of]
    marks: dict[str, str] = {}
    rows = 0
    for number, anchor in enumerate(anchors, 1):
        name = f"anchor={anchor.isoformat()}"
        marks[name] = fingerprint(_inputs(job, anchor))
        folder = job.workspace.partition("pairs", name, marks[name])
        with job.claim(f"pairs.{name}"):
            if not is_committed(folder):
                table, facts = make_pairs(job, graph, anchor, hashes)
                with committing(folder, facts) as scratch:
                    write_parquet(scratch / "pairs.parquet", table, PAIRS)
        rows += int(read_manifest(folder)["rows"])
        job.reporter.step(number, len(anchors), name)
    return {"rows": rows, "partitions": {"pairs": marks}}


def make_pairs(
    job: Job, graph: HeteroGraph, anchor: date, hashes: Hashes
) -> tuple[pl.DataFrame, dict[str, int]]:
    """PAIRS of the window before one anchor, and how many `rows`, `users` and `channels` it tests.

    Pairs of users are counted among those with an edge in the window.
    """
    settings, target = job.config.rings, job.config.training.target
    rules = link_rules(job, hashes)
    channels: dict[str, pl.DataFrame] = {}
    for trace in settings.traces:
        links = _trace_links(job, graph, trace, (anchor, rules))
        if links is not None:
            channels[f"{trace.log}.{trace.object}"] = links
    for shared in settings.shared:
        user, objects = shared_objects(job, graph, shared, anchor)
        channels[f"shared.{shared}"] = sharing_links(user, objects, rules)
    if not channels:
        return PAIRS.empty(), {"rows": 0, "users": 0, "channels": 0}
    active = active_users(job, graph, anchor)
    pairs = pair_table(channels, all_pairs(active))
    storage = graph.storage(target)
    ends = {name: storage[pairs.get_column(name).to_numpy()] for name in ("user_a", "user_b")}
    table = pairs.with_columns(**{name: pl.Series(values) for name, values in ends.items()})
    facts = {"rows": table.height, "users": active, "channels": len(channels)}
    return table.select(list(PAIRS.columns)), facts


def link_rules(job: Job, hashes: Hashes) -> LinkRules:
    """How the job's channels are searched; `hashes` are those of the users' keys."""
    settings = job.config.rings
    windows = [window.us for window in settings.windows]
    return LinkRules(windows, settings.max_burst, settings.max_sharers, hashes)


def _trace_links(
    job: Job, graph: HeteroGraph, trace: TraceConfig, search: tuple[date, LinkRules]
) -> pl.DataFrame | None:
    """Links of one trace before an anchor; None where it has no act."""
    anchor, rules = search
    # Texts are compared in one process on every engine.
    if isinstance(job.engine, PolarsEngine) or trace.near is not None:
        here = known_acts(job, graph, trace, anchor)
        if here is None:
            return None
        made_by = authors(job, graph, trace, (here[2], anchor))
        return coaction_links(here[0], here[1], rules, made_by)
    acts = trace_frame(job, graph, trace, anchor)
    if acts is None:
        return None
    made = trace_coactions(job.engine, acts, rules, job.config.spark.partitions)
    kind = job.config.entity_columns(trace.log)[trace.object]
    born_us = first_sight(job, kind, made.objects, anchor)
    made_by = authors(job, graph, trace, (made.objects, anchor))
    return linked(made.touched, made.found, born_us, rules, made_by)


def shared_objects(
    job: Job, graph: HeteroGraph, entity_type: str, anchor: date
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distinct (user, object) of the window, over all edge types that end in the entity type."""
    parts = []
    for edge in job.config.graph.edges:
        if edge.name[0] == job.config.training.target and edge.name[2] == entity_type:
            adjacency = graph.out(edge.name)
            rows = np.arange(adjacency.num_rows)
            first, last = adjacency.window(rows, *window_span(job, anchor))
            touched = adjacency.neighbor[ranges(first, last)].astype(np.int64)
            parts.append(np.stack([np.repeat(rows, last - first), touched]))
    both = distinct_pairs(*np.concatenate(parts, axis=1))
    return both[0], both[1]


def _inputs(job: Job, anchor: date) -> dict[str, Any]:
    """All that goes into the pairs of one anchor."""
    config = job.config
    since, until = window_span(job, anchor)
    # Hub caps shape what is shared, window by window, so they belong to the name.
    return {
        "format": FORMAT,
        "anchor": anchor,
        "units": units_in(job, since, until),
        "rings": config.rings.model_dump(
            mode="json", include={"traces", "shared", "windows", "max_burst", "max_sharers"}
        ),
        "graph": config.graph.model_dump(mode="json", exclude={"memory_budget"}),
        "seed": config.training.seed,
    }

"""Acts of a trace in an anchor's window, as the pair work takes them: dense users and objects."""

from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.config.sections import TraceConfig
from graphguard.config.values import day_us
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.context import Job
from graphguard.rings.coaction import Acts
from graphguard.tables.events import scan_events


def window_span(job: Job, anchor: date) -> tuple[int, int]:
    """First microsecond of the window before an anchor, and the anchor's own."""
    return day_us(anchor) - job.config.graph.window.us, day_us(anchor)


def trace_acts(
    job: Job, graph: HeteroGraph, trace: TraceConfig, anchor: date
) -> tuple[Acts, NDArray[np.int64]] | None:
    """Acts of a trace in the window before an anchor, and the first sight of each object.

    Users and objects are dense; None where the log has no acting user or no event.
    """
    actor = job.config.actor_column(trace.log)
    events = scan_events(job.run, trace.log, *window_span(job, anchor))
    if actor is None or events is None:
        return None
    frame = events.select(actor, trace.object, "time_us").drop_nulls().collect()
    objects, place = np.unique(frame.get_column(trace.object).to_numpy(), return_inverse=True)
    user = graph.dense(job.config.training.target, frame.get_column(actor).to_numpy())
    acts = Acts(user, place.astype(np.int64), frame.get_column("time_us").to_numpy())
    kind = job.config.entity_columns(trace.log)[trace.object]
    return acts, _first_sight(job, kind, objects, anchor)


def _first_sight(
    job: Job, entity_type: str, objects: NDArray[np.int64], anchor: date
) -> NDArray[np.int64]:
    """When each object was first seen in any log within the window."""
    frames = []
    for log in sorted(job.config.logs):
        events = scan_events(job.run, log, *window_span(job, anchor))
        if events is None:
            continue
        columns = [n for n, kind in job.config.entity_columns(log).items() if kind == entity_type]
        for column in columns:
            seen = events.select(pl.col(column).alias("object"), "time_us")
            frames.append(seen.group_by("object").agg(pl.col("time_us").min()))
    first = pl.concat(frames).group_by("object").agg(pl.col("time_us").min()).collect()
    wanted = pl.DataFrame({"object": objects})
    joined = wanted.join(first, on="object", how="left", maintain_order="left")
    return joined.get_column("time_us").fill_null(0).to_numpy()

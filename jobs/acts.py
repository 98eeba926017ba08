"""Acts of a trace in an anchor's window, as the pair work takes them: dense users and objects."""

from datetime import date

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.config.sections import TraceConfig
from graphguard.config.values import day_us
from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.keyed import key_hash
from graphguard.jobs.context import Job
from graphguard.jobs.pictures import picture_objects
from graphguard.jobs.texts import first_acts, text_objects
from graphguard.rings.interest import SLOW_US
from graphguard.rings.meetings import Acts
from graphguard.schema import EVENT_TEXT
from graphguard.tables.engine import Frame
from graphguard.tables.events import TIMELESS_US, open_events, scan_events


def window_span(job: Job, anchor: date) -> tuple[int, int]:
    """First microsecond of the window before an anchor, and the anchor's own."""
    return day_us(anchor) - job.config.graph.window.us, day_us(anchor)


def active_users(job: Job, graph: HeteroGraph, anchor: date) -> int:
    """Users with an edge in the window before an anchor."""
    target = job.config.training.target
    active = np.zeros(graph.num_nodes[target], dtype=np.bool_)
    for edge in job.config.graph.edges:
        if edge.name[0] == target:
            adjacency = graph.out(edge.name)
            first, last = adjacency.window(np.arange(adjacency.num_rows), *window_span(job, anchor))
            active |= last > first
    return int(active.sum())


def trace_acts(
    job: Job, graph: HeteroGraph, trace: TraceConfig, anchor: date
) -> tuple[Acts, NDArray[np.int64]] | None:
    """Acts of a trace in the window before an anchor, and the first sight of each object.

    Users and objects are dense; None where the log has no acting user or no event.
    """
    made = known_acts(job, graph, trace, anchor)
    return None if made is None else made[:2]


def known_acts(
    job: Job, graph: HeteroGraph, trace: TraceConfig, anchor: date
) -> tuple[Acts, NDArray[np.int64], NDArray[np.int64]] | None:
    """As `trace_acts`, with the storage index of each object; of near values there is none."""
    actor = job.config.actor_column(trace.log)
    events = scan_events(job.run, trace.log, *window_span(job, anchor))
    if actor is None or events is None:
        return None
    column = EVENT_TEXT if trace.near == "text" else trace.object
    frame = events.select(actor, column, "time_us").drop_nulls().collect()
    if trace.near is not None:
        return _near_acts(job, graph, trace, frame)
    objects, place = np.unique(frame.get_column(trace.object).to_numpy(), return_inverse=True)
    user = graph.dense(job.config.training.target, frame.get_column(actor).to_numpy())
    acts = Acts(user, place.astype(np.int64), frame.get_column("time_us").to_numpy())
    kind = job.config.entity_columns(trace.log)[trace.object]
    return acts, first_sight(job, kind, objects, anchor), objects


def _near_acts(
    job: Job, graph: HeteroGraph, trace: TraceConfig, frame: pl.DataFrame
) -> tuple[Acts, NDArray[np.int64], NDArray[np.int64]]:
    """`known_acts` where near values are one object: it is first seen in its first act."""
    actor, values, time = frame.get_columns()
    time_us = time.to_numpy()
    make = text_objects if trace.near == "text" else picture_objects
    objects = make(job, trace, values, time_us)
    user = graph.dense(job.config.training.target, actor.to_numpy())
    born_us = first_acts(objects, time_us)
    return Acts(user, objects, time_us), born_us, np.zeros(0, dtype=np.int64)


def trace_frame(job: Job, graph: HeteroGraph, trace: TraceConfig, anchor: date) -> Frame | None:
    """The acts of `trace_acts` as a table of the job's engine, computed when it is used.

    Columns `user` (dense), `object` (storage index), `time_us` and `user_hash`; None as there.
    """
    actor = job.config.actor_column(trace.log)
    events = open_events(job.engine, job.run, trace.log, *window_span(job, anchor))
    if actor is None or events is None:
        return None
    target = job.config.training.target
    storage = graph.storage(target)
    users = pl.DataFrame(
        {
            "storage": storage.astype(np.int64),
            "user": np.arange(len(storage)),
            "user_hash": key_hash(graph.keys(target)).view(np.int64),
        }
    )
    acts = events.select(
        nw.col(actor).alias("storage"), nw.col(trace.object).alias("object"), "time_us"
    )
    known = acts.drop_nulls().join(job.engine.table(users), on="storage", how="inner")
    return known.select("user", "object", "time_us", "user_hash")


def first_sight(
    job: Job, entity_type: str, objects: NDArray[np.int64], anchor: date
) -> NDArray[np.int64]:
    """When each object was first seen in any log within the window; made on the job's engine."""
    frames = []
    for log in sorted(job.config.logs):
        events = open_events(job.engine, job.run, log, *window_span(job, anchor))
        if events is None:
            continue
        columns = [n for n, kind in job.config.entity_columns(log).items() if kind == entity_type]
        for column in columns:
            seen = events.select(nw.col(column).alias("object"), "time_us")
            frames.append(seen.group_by("object").agg(nw.col("time_us").min()))
    first = nw.concat(frames).group_by("object").agg(nw.col("time_us").min())
    wanted = pl.DataFrame({"object": objects})
    joined = wanted.join(job.engine.collect(first), on="object", how="left", maintain_order="left")
    return joined.get_column("time_us").fill_null(0).to_numpy()


def births(
    job: Job, trace: TraceConfig, anchor: date
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """When objects that a trace may act on were first seen in other logs, those of no act too.

    Args:
        job: The run.
        trace: The trace.
        anchor: End of the days that are looked at; they begin with the first that is stored.

    Returns:
        Storage index of each, in order, and its first sight; None where no other log has any.
    """
    kind = job.config.entity_columns(trace.log)[trace.object]
    frames = []
    for log in sorted(job.config.logs):
        events = None
        if log != trace.log:
            events = open_events(job.engine, job.run, log, 0, day_us(anchor))
        columns = [n for n, one in job.config.entity_columns(log).items() if one == kind]
        if events is not None:
            for column in columns:
                seen = events.select(nw.col(column).alias("object"), "time_us")
                # Of a timeless log no birth is known.
                seen = seen.drop_nulls().filter(nw.col("time_us") > TIMELESS_US)
                frames.append(seen.group_by("object").agg(nw.col("time_us").min()))
    if not frames:
        return None
    first = nw.concat(frames).group_by("object").agg(nw.col("time_us").min())
    found = job.engine.collect(first).sort("object")
    if not found.height:
        return None
    return found.get_column("object").to_numpy(), found.get_column("time_us").to_numpy()


def authors(
    job: Job,
    graph: HeteroGraph,
    trace: TraceConfig,
    search: tuple[NDArray[np.int64], date],
    since_us: int | None = None,
) -> NDArray[np.int64] | None:
    """Who made each object: who acted on it first, in another log and before anybody of the trace.

    Args:
        job: The run.
        graph: Its graph.
        trace: The trace.
        search: Storage index of each object, and the end of the window.
        since_us: From when on acts may have made an object; the window's beginning if None.

    Returns:
        Dense index of the user, -1 where these days do not hold the first act, and a number of its
        own from the number of users on where the graph lacks the user; None where no other log has
        acts of users on such objects, or no window is slow.
    """
    objects, anchor = search
    begin, end = window_span(job, anchor)
    looked = (begin if since_us is None else since_us, end)
    kind = job.config.entity_columns(trace.log).get(trace.object)
    slow = job.config.rings.windows[-1].us >= SLOW_US
    frames = []
    for edge in job.config.graph.edges if slow and trace.near is None else ():
        ends = (edge.name[0], edge.name[2])
        if edge.log == trace.log or ends != (job.config.training.target, kind):
            continue
        events = open_events(job.engine, job.run, edge.log, *looked)
        if events is not None:
            renamed = {"object": edge.target, "author": edge.source}
            columns = (nw.col(name).alias(alias) for alias, name in renamed.items())
            frames.append(events.select(*columns, "time_us"))
    acts = open_events(job.engine, job.run, trace.log, begin, end)
    if not frames or acts is None:
        return None
    told = acts.select(nw.col(trace.object).alias("object"), "time_us")
    told = told.group_by("object").agg(nw.col("time_us").min().alias("told_us"))
    made = nw.concat(frames).join(told, on="object", how="inner")
    first = made.group_by("object").agg(nw.col("time_us").min())
    made = made.join(first, on=["object", "time_us"], how="inner")
    made = made.filter(nw.col("time_us") <= nw.col("told_us"))
    known = job.engine.collect(made.group_by("object").agg(nw.col("author").min()))
    wanted = pl.DataFrame({"object": objects})
    joined = wanted.join(known, on="object", how="left", maintain_order="left")
    found = joined.get_column("author").fill_null(-1).to_numpy()
    target = job.config.training.target
    dense = graph.dense(target, np.maximum(found, 0))
    dense = np.where(dense >= 0, dense, graph.num_nodes[target] + found)
    return np.where(found >= 0, dense, -1).astype(np.int64)

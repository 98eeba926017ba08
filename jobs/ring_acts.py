"""The acts behind a night's rings: what members did on objects that they have in common."""

import numpy as np
import polars as pl

from graphguard.config.sections import TraceConfig
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.acts import trace_acts, window_span
from graphguard.jobs.context import Job
from graphguard.jobs.link import shared_objects
from graphguard.jobs.object_names import first_acts_of, near_marks
from graphguard.ring_schema import RING_ACTS
from graphguard.rings.evidence import NEAR, SHARED, acts_channel, acts_in_common, event_ids
from graphguard.tables.events import scan_events

ACT = {
    "user": pl.Int64,
    "object": pl.Int64,
    "users": pl.Int64,
    "time_us": pl.Int64,
    "log": pl.String,
}


def ring_acts(
    job: Job, graph: HeteroGraph, evidence: pl.DataFrame, told: pl.DataFrame
) -> pl.DataFrame:
    """RING_ACTS but for the rings' names, and `ring`.

    Args:
        job: The night.
        graph: Its graph.
        evidence: `ring`, `user_a`, `user_b` (dense) and `channel` of all evidence within rings.
        told: Acts that a search itself found, of `told_acts`.
    """
    ends = [pl.col("ring"), acts_channel(pl.col("channel")).alias("channel")]
    linked = pl.concat(
        [evidence.select(*ends, pl.col(one).alias("user")) for one in ("user_a", "user_b")]
    ).unique()
    parts = [_told(job, graph, told)] if told.height else []
    for trace in job.config.rings.traces:
        mine = linked.filter(pl.col("channel") == f"{trace.log}.{trace.object}")
        actor = job.config.actor_column(trace.log)
        if actor is None or not mine.height:
            continue
        if trace.near is not None:
            parts.append(_near(job, graph, trace, mine))
        else:
            kind = job.config.entity_columns(trace.log)[trace.object]
            acts = _log_acts(job, graph, (trace.log, actor, trace.object), mine)
            parts.append(_named(job, graph, acts, kind, mine))
    for shared in job.config.rings.shared:
        mine = linked.filter(pl.col("channel") == f"{SHARED}{shared}")
        if mine.height:
            acts = _shared_acts(job, graph, shared, mine)
            parts.append(_named(job, graph, acts, shared, mine))
    every = pl.concat([_none(), *parts])
    return every.unique().sort("ring", "channel", "object", "time_us", "key", "event_id")


def _near(job: Job, graph: HeteroGraph, trace: TraceConfig, mine: pl.DataFrame) -> pl.DataFrame:
    """Acts on near texts or pictures; such an object is named after its first act."""
    found = trace_acts(job, graph, trace, job.as_of)
    if found is None:
        return _none()
    acts = pl.DataFrame(
        {"user": found[0].user, "object": found[0].object, "time_us": found[0].time_us}
    )
    users = pl.col("user").n_unique().over("object").cast(pl.Int64).alias("users")
    acts = acts.with_columns(users, pl.lit(trace.log).alias("log")).select(list(ACT))
    common = acts_in_common(mine.join(acts.unique(), on="user", how="inner"))
    named = common.join(first_acts_of(acts), on="object")
    marks = near_marks(job, graph, *(named.get_column(one).to_list() for one in ("maker", "first")))
    named = named.with_columns(
        pl.Series("object", marks, dtype=pl.String),
        pl.lit(f"{NEAR}{trace.near}").alias("object_type"),
    )
    return _told(job, graph, named)


def _keys(job: Job, graph: HeteroGraph, users: pl.Series) -> list[str]:
    keys = graph.keys(job.config.training.target)
    return [keys[int(user)] for user in users]


def _told(job: Job, graph: HeteroGraph, acts: pl.DataFrame) -> pl.DataFrame:
    """Acts with their objects' names, now with their users' and their own; as in RING_ACTS."""
    keys = pl.Series("key", _keys(job, graph, acts.get_column("user")), dtype=pl.String)
    named = acts.with_columns(keys)
    named = named.with_columns(event_ids(named))
    return named.select("ring", *(name for name in RING_ACTS.columns if name != "ring_id"))


def _none() -> pl.DataFrame:
    return pl.DataFrame(schema={"ring": pl.Int64, **RING_ACTS.empty().schema}).drop("ring_id")


def _shared_acts(job: Job, graph: HeteroGraph, shared: str, mine: pl.DataFrame) -> pl.DataFrame:
    """ACT on entities of a type, as far as the graph holds them: a hub is sampled there."""
    user, objects = shared_objects(job, graph, shared, job.as_of)
    held = pl.DataFrame({"user": user, "object": graph.storage(shared)[objects].astype(np.int64)})
    held = held.with_columns(pl.len().over("object").cast(pl.Int64).alias("users"))
    held = held.join(mine.select("user").unique(), on="user", how="semi")
    ends = (job.config.training.target, shared)
    frames = [
        _log_acts(job, graph, (edge.log, edge.source, edge.target), mine).drop("users")
        for edge in job.config.graph.edges
        if (edge.name[0], edge.name[2]) == ends
    ]
    return pl.concat(frames).join(held, on=["user", "object"], how="inner").select(list(ACT))


def _log_acts(
    job: Job, graph: HeteroGraph, source: tuple[str, str, str], mine: pl.DataFrame
) -> pl.DataFrame:
    """ACT of the members `mine` in a log: dense users, objects as stored, and all their users."""
    log, actor, thing = source
    events = scan_events(job.run, log, *window_span(job, job.as_of))
    if events is None:
        return pl.DataFrame(schema=ACT)
    acts = events.select(
        pl.col(actor).cast(pl.Int64).alias("storage"),
        pl.col(thing).cast(pl.Int64).alias("object"),
        "time_us",
    ).drop_nulls()
    users = mine.select("user").unique()
    storage = graph.storage(job.config.training.target)[users.get_column("user").to_numpy()]
    known = users.with_columns(pl.Series("storage", storage, dtype=pl.Int64))
    found = acts.join(known.lazy(), on="storage", how="inner").drop("storage").unique().collect()
    touched = found.select("object").unique().lazy()
    crowd = (
        acts.join(touched, on="object", how="semi")
        .group_by("object")
        .agg(pl.col("storage").n_unique().cast(pl.Int64).alias("users"))
    )
    named = found.join(crowd.collect(), on="object").with_columns(pl.lit(log).alias("log"))
    return named.select(list(ACT))


def _named(
    job: Job, graph: HeteroGraph, acts: pl.DataFrame, kind: str, mine: pl.DataFrame
) -> pl.DataFrame:
    """Acts that members of one ring have in common, with keys and the events' names."""
    common = acts_in_common(mine.join(acts, on="user", how="inner"))
    common = common.with_columns(pl.lit(kind).alias("object_type")).rename({"object": "storage"})
    return _told(job, graph, job.workspace.ids(kind).decode(common, "storage", "object"))

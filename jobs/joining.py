"""Users who join a night's rings by what they did on the rings' own objects.

Who is known to be bad joins where few of the bad come by chance; and who came to a post beside a
ring joins where more came than strangers explain.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.config.sections import TraceConfig
from graphguard.config.values import day_us
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.acts import births, window_span
from graphguard.jobs.context import Job
from graphguard.jobs.ring_channels import RingChannel
from graphguard.jobs.told import Told
from graphguard.rings.arrivals import fit_arrivals
from graphguard.rings.beside import NEVER_US, Crowd, beside_members, ring_calls
from graphguard.rings.evidence import BESIDE, KNOWN
from graphguard.rings.fusion import set_evidence
from graphguard.rings.joining import grown, homes, joining_links
from graphguard.rings.known import known_members, known_sets
from graphguard.rings.set_terms import ToldSet
from graphguard.tables.events import TIMELESS_US, EventLog, scan_events

Ints = NDArray[np.int64]


def join_rings(
    job: Job,
    graph: HeteroGraph,
    channels: Sequence[RingChannel],
    groups: list[Ints],
    asked: tuple[Ints, float],
) -> tuple[list[Ints], list[Told]]:
    """The groups with the users who join them, and by which channels.

    Args:
        job: The run.
        graph: Its graph.
        channels: Who came to what in the window.
        groups: Members of each told group; no user in two.
        asked: Users known to be bad at the cutoff; and the number of all pairs of users.
    """
    if not groups:
        return groups, []
    bad, num_pairs = asked
    rate = float(np.log10(job.config.rings.false_discovery_rate))
    known = known_members([one.visits for one in channels], groups, bad, rate)
    larger = grown(groups, known)
    crowds = [crowd for one in channels if (crowd := _crowd(job, graph, one, larger)) is not None]
    near, sets = beside_members(crowds, larger, rate)
    whole = grown(larger, near)
    told = []
    for one in channels:
        mine, alone = known_sets(one.visits, groups, known)
        told += _told(one, KNOWN, (whole, num_pairs), mine, alone)
        name = one.visits.channel
        mine = near.filter(pl.col("channel") == name)
        told += _told(one, BESIDE, (whole, num_pairs), mine, sets.get(name, []))
    for found, reason in (
        (known, "known to be bad joined rings by where they acted"),
        (near, "users joined rings by coming beside them"),
    ):
        job.reporter.note(f"{found.get_column('user').n_unique()} {reason}")
    return whole, told


def _told(
    channel: RingChannel,
    prefix: str,
    whole: tuple[list[Ints], float],
    near: pl.DataFrame,
    sets: list[ToldSet],
) -> list[Told]:
    if not sets:
        return []
    visits, name = channel.visits, f"{prefix}{channel.visits.channel}"
    links = joining_links(visits, whole[0], near, whole[1])
    evidence = set_evidence(links, name, visits.reach_us)
    window_us = None if channel.trace is None else visits.reach_us
    return [Told(name, evidence, sets, window_us, channel.names)]


def _crowd(job: Job, graph: HeteroGraph, channel: RingChannel, groups: list[Ints]) -> Crowd | None:
    """Who came to the calls of a trace; None where nothing tells when its objects were made."""
    trace, visits = channel.trace, channel.visits
    if trace is None or trace.near is not None:
        return None
    calls = ring_calls(visits, groups)
    made = births(job, trace, job.as_of) if calls.height else None
    if made is None:
        return None
    objects, born_us = made
    kept = np.flatnonzero(homes(groups, visits.user)[visits.user] < 0)
    place = _places(objects, channel.stored[visits.object[kept]])
    seen = place >= 0
    since_us = _stored_since(job, trace.log)
    begin_us, until_us = window_span(job, job.as_of)
    span = max(begin_us, since_us), until_us
    arrivals = fit_arrivals(born_us, place[seen], visits.time_us[kept[seen]], span)
    called = channel.stored[calls.get_column("object").to_numpy()]
    place = _places(objects, called)
    born = np.where(place >= 0, born_us[np.maximum(place, 0)], NEVER_US)
    known = born <= calls.get_column("begin_us").to_numpy()
    calls, called, born = calls.filter(pl.Series(known)), called[known], born[known]
    life = _life(job, graph, trace, pl.DataFrame({"stored": called, "object": calls["object"]}))
    return Crowd(visits, calls, born, life, arrivals, since_us, until_us)


def _stored_since(job: Job, log: str) -> int:
    """First time of a log's stored events, the timeless aside; the cutoff if there is none."""
    firsts = [first for first, _ in EventLog(job.run, log).units.values() if first > TIMELESS_US]
    return min(firsts, default=day_us(job.as_of))


def _life(job: Job, graph: HeteroGraph, trace: TraceConfig, things: pl.DataFrame) -> pl.DataFrame:
    """Who came when to some objects (`stored`, `object`): `Crowd.life` of all stored days."""
    schema = dict.fromkeys(("object", "user", "time_us", "first_us"), pl.Int64)
    actor = job.config.actor_column(trace.log)
    events = scan_events(job.run, trace.log, 0, day_us(job.as_of))
    if actor is None or events is None:
        return pl.DataFrame(schema=schema)
    acts = events.select(user=actor, stored=trace.object, time_us="time_us").drop_nulls()
    asked = things.get_column("stored").unique().implode()
    time_us = pl.col("time_us")
    late = time_us.filter(time_us >= window_span(job, job.as_of)[0]).min()
    first = (
        acts.filter(pl.col("stored").is_in(asked))
        .group_by("user", "stored")
        .agg(pl.coalesce(late, time_us.min()).alias("time_us"), first_us=time_us.min())
        .collect(engine="streaming")
    )
    user = graph.dense(job.config.training.target, first.get_column("user").to_numpy())
    # Who left before the days of the graph came all the same.
    beyond = graph.num_nodes[job.config.training.target] + first.get_column("user").to_numpy()
    since_us = window_span(job, job.as_of)[0]
    named = first.with_columns(pl.Series("user", np.where(user >= 0, user, beyond)))
    known = pl.Series(user >= 0) | (named.get_column("time_us") < since_us)
    named = named.filter(known)
    named = named.join(things.unique(), on="stored")
    return named.select(pl.col(name).cast(kind) for name, kind in schema.items())


def _places(objects: Ints, asked: Ints) -> Ints:
    """Place of each asked one in `objects`, which are in order; -1 where it is not there."""
    if not len(objects):
        return np.full(len(asked), -1, dtype=np.int64)
    place = np.minimum(np.searchsorted(objects, asked), len(objects) - 1)
    return np.where(objects[place] == asked, place, -1)

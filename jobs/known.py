"""Accounts known to be bad that join a night's rings by where they acted."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.acts import known_acts
from graphguard.jobs.context import Job
from graphguard.jobs.link import shared_objects
from graphguard.jobs.object_names import Names, stored_names, trace_names
from graphguard.jobs.told import Told
from graphguard.rings.evidence import KNOWN, SHARED
from graphguard.rings.fusion import set_evidence
from graphguard.rings.known import Visits, known_links, known_members

Ints = NDArray[np.int64]


def join_known(
    job: Job, graph: HeteroGraph, groups: list[Ints], bad: Ints, num_pairs: float
) -> tuple[list[Ints], list[Told]]:
    """The groups with the bad users who join them, and by which channels.

    Args:
        job: The run.
        graph: Its graph.
        groups: Members of each told group; no user in two.
        bad: Users known to be bad at the cutoff.
        num_pairs: All pairs of users.
    """
    if not groups or not len(bad):
        return groups, []
    channels = _channels(job, graph)
    rate = float(np.log10(job.config.rings.false_discovery_rate))
    found = known_members([visits for visits, _ in channels], groups, bad, rate)
    told = []
    for visits, names in channels:
        links, sets = known_links(visits, groups, found, num_pairs)
        if sets:
            name, reach_us = f"{KNOWN}{visits.channel}", visits.reach_us
            window_us = None if visits.channel.startswith(SHARED) else reach_us
            evidence = set_evidence(links, name, reach_us)
            told.append(Told(name, evidence, sets, window_us, names))
    added = found.select("group", "user").unique()
    joined = [
        np.union1d(group, added.filter(pl.col("group") == number).get_column("user").to_numpy())
        for number, group in enumerate(groups)
    ]
    job.reporter.note(f"{added.height} bad users joined rings by where they acted")
    return joined, told


def _channels(job: Job, graph: HeteroGraph) -> list[tuple[Visits, Names]]:
    """First acts of each user on each object of the window, and what the objects are called."""
    settings = job.config.rings
    reach_us = settings.windows[-1].us if settings.windows else 0
    found = []
    for trace in settings.traces:
        made = known_acts(job, graph, trace, job.as_of)
        if made is None:
            continue
        acts, _, objects = made
        first = acts.first_touches
        columns = (first.user, first.object, first.time_us)
        visits = Visits(f"{trace.log}.{trace.object}", *columns, reach_us)
        found.append((visits, trace_names(job, graph, trace, acts, objects)))
    for shared in settings.shared:
        user, objects = shared_objects(job, graph, shared, job.as_of)
        few = np.bincount(objects)[objects] <= settings.max_sharers
        at = np.zeros(int(few.sum()), dtype=np.int64)
        visits = Visits(f"{SHARED}{shared}", user[few], objects[few], at, 0)
        found.append((visits, stored_names(job, shared, graph.storage(shared))))
    return found

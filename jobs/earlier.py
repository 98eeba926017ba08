"""Groups of the windows before tonight's, and what their users came to together again."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.config.values import day_us
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.audiences import trace_tastes
from graphguard.jobs.context import Job
from graphguard.jobs.featurize import anchor_names
from graphguard.jobs.ring_channels import RingChannel
from graphguard.jobs.told import Told
from graphguard.rings.earlier import Channel, links_again, meet_again, whole_groups
from graphguard.rings.evidence import EARLIER
from graphguard.rings.fusion import set_evidence
from graphguard.rings.tastes import Tastes
from graphguard.tables.events import read_groups

Ints = NDArray[np.int64]


def earlier_links(
    job: Job,
    graph: HeteroGraph,
    asked: tuple[Sequence[RingChannel], list[Ints]],
    num_pairs: float,
) -> list[Told]:
    """What users of earlier groups came to together again, and the pairs of these.

    Args:
        job: The run.
        graph: Its graph.
        asked: Who came to what in the window; and the groups of windows before it.
        num_pairs: All pairs of users.
    """
    channels, groups = asked
    if not groups:
        return []
    rate = float(np.log10(job.config.rings.false_discovery_rate))
    visited = [Channel(one.visits, _tastes(job, graph, one)) for one in channels]
    told = []
    for one, sets in zip(channels, meet_again(visited, groups, rate), strict=True):
        channel = f"{EARLIER}{one.visits.channel}"
        window_us = None if one.trace is None else job.config.graph.window.us
        links = set_evidence(links_again(sets, num_pairs), channel, window_us or 0)
        told.append(Told(channel, links, sets, window_us, one.names))
    users = [one.users for each in told for one in each.sets]
    number = len(np.unique(np.concatenate(users))) if users else 0
    job.reporter.note(f"{len(groups)} earlier groups; {number} of their users met again")
    return told


def earlier_groups(job: Job, graph: HeteroGraph) -> list[Ints]:
    """Dense users of each group of a window that ended before tonight's began; none if not asked.

    A night knows the windows of its own anchors.
    """
    if not job.config.rings.earlier:
        return []
    since_us = day_us(job.as_of) - job.config.graph.window.us
    found = []
    for name, anchor in anchor_names(job).items():
        if anchor is None or day_us(anchor) > since_us:
            continue
        rows = read_groups(job.run, name)
        user = graph.dense(job.config.training.target, rows.get_column("entity").to_numpy())
        named = rows.select("group").with_columns(pl.Series("user", user))
        # Who left before the days of the graph meets nobody.
        named = named.filter(pl.col("user") >= 0).group_by("group").agg(pl.col("user").sort())
        found += [np.array(users, dtype=np.int64) for users in named.sort("group")["user"]]
    return whole_groups([users for users in found if len(users) > 1])


def _tastes(job: Job, graph: HeteroGraph, channel: RingChannel) -> Tastes | None:
    """What users like by authors, where a trace has any."""
    # Who made what before the window is told by all days that the run has stored.
    made = None if channel.trace is None else trace_tastes(job, graph, channel.trace, since_us=0)
    return None if made is None else made[0]

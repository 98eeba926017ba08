"""Deal the night's acts anew, and see that the tests find nothing in what is left.

Those of links, and whether groups of earlier windows meet again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.keyed import KeyHashes
from graphguard.graph.ranges import distinct
from graphguard.jobs.acts import authors, known_acts
from graphguard.jobs.context import Job
from graphguard.jobs.link import link_rules, shared_objects
from graphguard.jobs.ring_channels import RingChannel
from graphguard.rings.earlier import Channel, earlier_shard
from graphguard.rings.evidence import EARLIER, SHARED
from graphguard.rings.joining import Visits
from graphguard.rings.link import LinkRules, coaction_links, sharing_links
from graphguard.rings.meetings import Acts
from graphguard.rings.nulls import NullShard, calibration, dealt, dealt_links, some_objects
from graphguard.rings.significance import all_pairs

Ints = NDArray[np.int64]
Deal = Callable[[int], NullShard]
"""What a channel's test says of a dealt night, by its seed."""


def ring_nulls(
    job: Job, graph: HeteroGraph, channels: Sequence[RingChannel], earlier: Sequence[Ints]
) -> dict[str, Any]:
    """`Calibration` by channel, and all `alarms` in one list.

    Args:
        job: The run.
        graph: Its graph.
        channels: Who came to what in the window.
        earlier: Groups of windows before it.
    """
    settings = job.config.rings
    if not settings.null_nights:
        return {"channels": {}, "alarms": []}
    rules = link_rules(job, KeyHashes(graph.keys(job.config.training.target)))
    rate = float(np.log10(settings.false_discovery_rate))
    seeds = range(job.config.training.seed, job.config.training.seed + settings.null_nights)
    told = {
        name: asdict(calibration([deal(seed) for seed in seeds], rate))
        for name, deal in [
            *_link_deals(job, graph, rules),
            *_earlier_deals(job, channels, earlier),
        ]
    }
    alarms = [f"{name}: {one}" for name, found in told.items() for one in found["alarms"]]
    return {"channels": told, "alarms": alarms}


def _earlier_deals(
    job: Job, channels: Sequence[RingChannel], groups: Sequence[Ints]
) -> Iterator[tuple[str, Deal]]:
    for one in channels if groups else ():
        visits = one.visits
        acts = Acts(visits.user, visits.object, visits.time_us)
        some = some_objects(acts, job.config.rings.null_acts)
        yield f"{EARLIER}{visits.channel}", partial(_deal_groups, some, groups)


def _deal_groups(acts: Acts, groups: Sequence[Ints], seed: int) -> NullShard:
    first = dealt(acts, seed).first_touches
    visits = Visits("", first.user, first.object, first.time_us, 0)
    # By lot nobody likes anything, so the authors tell nothing.
    return earlier_shard(Channel(visits, None), groups)


def _link_deals(job: Job, graph: HeteroGraph, rules: LinkRules) -> Iterator[tuple[str, Deal]]:
    settings = job.config.rings
    for trace in settings.traces:
        found = known_acts(job, graph, trace, job.as_of)
        if found is None:
            continue
        acts, born_us, objects = found
        made_by = authors(job, graph, trace, (objects, job.as_of))
        search = partial(coaction_links, born_us=born_us, rules=rules, author=made_by)
        deal = partial(_deal_acts, some_objects(acts, settings.null_acts), search)
        yield f"{trace.log}.{trace.object}", deal
    for shared in settings.shared:
        links = shared_objects(job, graph, shared, job.as_of)
        yield f"{SHARED}{shared}", partial(_deal_links, links, rules)


def _deal_acts(acts: Acts, search: Callable[[Acts], pl.DataFrame], seed: int) -> NullShard:
    return _shard(search(dealt(acts, seed)), acts.user)


def _deal_links(links: tuple[Ints, Ints], rules: LinkRules, seed: int) -> NullShard:
    user, objects = dealt_links(*links, seed)
    return _shard(sharing_links(user, objects, rules), links[0])


def _shard(links: pl.DataFrame, users: Ints) -> NullShard:
    return NullShard(links.get_column("log10_p").to_numpy(), all_pairs(len(distinct(users))))

"""Deal the night's acts anew, and see that the tests of links find nothing in what is left."""

from collections.abc import Callable, Iterator
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
from graphguard.rings.evidence import SHARED
from graphguard.rings.link import LinkRules, coaction_links, sharing_links
from graphguard.rings.meetings import Acts
from graphguard.rings.nulls import NullShard, calibration, dealt, dealt_links, some_objects
from graphguard.rings.significance import all_pairs

Ints = NDArray[np.int64]
Deal = Callable[[int], tuple[pl.DataFrame, int]]
"""Links of a dealt night by its seed, and the users in it."""


def ring_nulls(job: Job, graph: HeteroGraph) -> dict[str, Any]:
    """`Calibration` by channel, and all `alarms` in one list."""
    settings = job.config.rings
    rules = link_rules(job, KeyHashes(graph.keys(job.config.training.target)))
    rate = float(np.log10(settings.false_discovery_rate))
    channels: dict[str, Any] = {}
    for channel, deal in _channels(job, graph, rules) if settings.null_nights else ():
        shards = []
        for number in range(settings.null_nights):
            links, num_users = deal(job.config.training.seed + number)
            p = links.get_column("log10_p").to_numpy()
            shards.append(NullShard(p, all_pairs(num_users)))
        channels[channel] = asdict(calibration(shards, rate))
    alarms = [f"{name}: {one}" for name, found in channels.items() for one in found["alarms"]]
    return {"channels": channels, "alarms": alarms}


def _channels(job: Job, graph: HeteroGraph, rules: LinkRules) -> Iterator[tuple[str, Deal]]:
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


def _deal_acts(
    acts: Acts, search: Callable[[Acts], pl.DataFrame], seed: int
) -> tuple[pl.DataFrame, int]:
    return search(dealt(acts, seed)), len(distinct(acts.user))


def _deal_links(links: tuple[Ints, Ints], rules: LinkRules, seed: int) -> tuple[pl.DataFrame, int]:
    user, objects = dealt_links(*links, seed)
    return sharing_links(user, objects, rules), len(distinct(links[0]))

"""Deal the night's acts anew, and see that the tests of links find nothing in what is left."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.keyed import key_hash
from graphguard.jobs.acts import authors, known_acts
from graphguard.jobs.context import Job
from graphguard.jobs.link import link_rules, shared_objects
from graphguard.rings.evidence import SHARED
from graphguard.rings.link import LinkRules, coaction_links, sharing_links
from graphguard.rings.nulls import calibration, dealt, dealt_links, null_shard, some_objects
from graphguard.rings.significance import all_pairs

Deal = Callable[[int], tuple[pl.DataFrame, int]]
"""Links of a dealt night by its seed, and the users in it."""


def ring_nulls(job: Job, graph: HeteroGraph) -> dict[str, Any]:
    """`Calibration` by channel, and all `alarms` in one list."""
    settings = job.config.rings
    rules = link_rules(job, key_hash(graph.keys(job.config.training.target)))
    rate = float(np.log10(settings.false_discovery_rate))
    channels: dict[str, Any] = {}
    for channel, deal in _channels(job, graph, rules) if settings.null_nights else ():
        shards = []
        for number in range(settings.null_nights):
            links, num_users = deal(job.config.training.seed + number)
            shards.append(null_shard(links, all_pairs(num_users)))
        channels[channel] = asdict(calibration(shards, rate))
    alarms = [f"{name}: {one}" for name, found in channels.items() for one in found["alarms"]]
    return {"channels": channels, "alarms": alarms}


def _channels(job: Job, graph: HeteroGraph, rules: LinkRules) -> Iterator[tuple[str, Deal]]:
    settings = job.config.rings
    for trace in settings.traces:
        found = known_acts(job, graph, trace, job.as_of)
        if found is None:
            continue
        made_by = authors(job, graph, trace, (found[2], job.as_of))
        about = (found[1], rules, made_by)
        acts = some_objects(found[0], settings.null_acts)

        def deal_acts(seed: int, acts: Any = acts, about: Any = about) -> Any:
            links = coaction_links(dealt(acts, seed), *about)
            return links, len(np.unique(acts.user))

        yield f"{trace.log}.{trace.object}", deal_acts
    for shared in settings.shared:
        both = shared_objects(job, graph, shared, job.as_of)

        def deal_links(seed: int, both: Any = both) -> Any:
            user, objects = dealt_links(both[0], both[1], seed)
            return sharing_links(user, objects, rules), len(np.unique(both[0]))

        yield f"{SHARED}{shared}", deal_links

"""Who came to what in the window before the cutoff, channel by channel."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphguard.config.sections import TraceConfig
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.acts import known_acts
from graphguard.jobs.context import Job
from graphguard.jobs.link import shared_objects
from graphguard.jobs.object_names import Names, stored_names, trace_names
from graphguard.rings.evidence import SHARED
from graphguard.rings.joining import Visits

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class RingChannel:
    """Who came to what in the window, and what the objects are called.

    Attributes:
        visits: First acts of each user on each object.
        names: Of objects.
        trace: The trace; None of a shared entity.
        stored: Storage index of each object; of near values there is none.
    """

    visits: Visits
    names: Names
    trace: TraceConfig | None
    stored: Ints


def ring_channels(job: Job, graph: HeteroGraph) -> list[RingChannel]:
    """All channels that users can be on the same objects by: traces, and what is shared."""
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
        names = trace_names(job, graph, trace, acts, objects)
        found.append(RingChannel(visits, names, trace, objects))
    for shared in settings.shared:
        user, objects = shared_objects(job, graph, shared, job.as_of)
        few = np.bincount(objects)[objects] <= settings.max_sharers
        at = np.zeros(int(few.sum()), dtype=np.int64)
        visits = Visits(f"{SHARED}{shared}", user[few], objects[few], at, 0)
        storage = graph.storage(shared)
        found.append(RingChannel(visits, stored_names(job, shared, storage), None, storage))
    return found

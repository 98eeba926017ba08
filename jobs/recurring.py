"""Sets of users of a run that met within a minute: on two objects of a trace, or once for good."""

import numpy as np

from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.acts import known_acts
from graphguard.jobs.context import Job
from graphguard.jobs.object_names import trace_names
from graphguard.jobs.told import Told
from graphguard.rings.coaction import calm_meetings
from graphguard.rings.evidence import AGAIN, ONCE
from graphguard.rings.fusion import set_evidence
from graphguard.rings.gatherings import gathered_links, gatherings
from graphguard.rings.recurrence import find_bursts, links_within, recurring_sets
from graphguard.rings.timing_null import timing_null

MINUTE_US = 60_000_000


def recurring_pairs(job: Job, graph: HeteroGraph, num_pairs: float) -> list[Told]:
    """These sets in the window before the cutoff, trace by trace, and the pairs inside.

    Args:
        job: The run.
        graph: Its graph.
        num_pairs: All pairs of users: the sets' p are put on their scale.
    """
    settings = job.config.rings
    windows = [window.us for window in settings.windows]
    short = max((window for window in windows if window <= MINUTE_US), default=0)
    told = []
    rate = float(np.log10(settings.false_discovery_rate / max(len(settings.traces), 1)))
    for trace in settings.traces if short else ():
        found = known_acts(job, graph, trace, job.as_of)
        if found is None:
            continue
        acts, born_us, objects = found
        calm = calm_meetings(acts, short, windows[-1], settings.max_burst)
        null = timing_null(acts, calm, born_us, [short])
        bursts = find_bursts(acts, short, settings.max_burst)
        again = recurring_sets(acts, bursts, null, 0, rate)
        once = gatherings(acts, bursts, null, 0, short, rate)
        names = trace_names(job, graph, trace, acts, objects)
        for prefix, links, sets in (
            (AGAIN, links_within(again, num_pairs), again.told("again")),
            (ONCE, gathered_links(once, num_pairs), once.told()),
        ):
            channel = f"{prefix}{trace.log}.{trace.object}"
            told.append(Told(channel, set_evidence(links, channel, short), sets, short, names))
    return told

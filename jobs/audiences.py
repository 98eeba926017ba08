"""Rings of a run that act slowly: sets of users who are the audience of several objects."""

import numpy as np
from numpy.typing import NDArray

from graphguard.config.sections import TraceConfig
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.acts import authors, known_acts
from graphguard.jobs.context import Job
from graphguard.jobs.object_names import trace_names
from graphguard.jobs.told import Told
from graphguard.rings.audiences import audience_companies, company_links
from graphguard.rings.evidence import AUDIENCE
from graphguard.rings.fusion import set_evidence
from graphguard.rings.interest import SLOW_US
from graphguard.rings.meetings import Acts
from graphguard.rings.tastes import Tastes, find_tastes

Ints = NDArray[np.int64]


def audience_links(
    job: Job, graph: HeteroGraph, num_pairs: float, since_us: int | None = None
) -> list[Told]:
    """These sets in the window before the cutoff, trace by trace, and the pairs inside.

    Traces without known authors tell nothing, and neither do nights without a slow window.

    Args:
        job: The run.
        graph: Its graph.
        num_pairs: All pairs of users: the sets' p are put on their scale.
        since_us: From when on acts may have made an object; the window's beginning if None. What is
            stored by window, as features are, must not know more than its window.
    """
    settings = job.config.rings
    rate = float(np.log10(settings.false_discovery_rate / max(len(settings.traces), 1)))
    told = []
    slow = settings.windows[-1].us >= SLOW_US
    for trace in settings.traces if slow else ():
        made = trace_tastes(job, graph, trace, since_us)
        if made is None:
            continue
        tastes, acts, objects = made
        found = audience_companies(tastes, rate)
        channel, window = f"{AUDIENCE}{trace.log}.{trace.object}", job.config.graph.window.us
        links = set_evidence(company_links(tastes, found, num_pairs), channel, window)
        names = trace_names(job, graph, trace, acts, objects)
        told.append(Told(channel, links, [one.told(tastes) for one in found], window, names))
    return told


def trace_tastes(
    job: Job, graph: HeteroGraph, trace: TraceConfig, since_us: int | None = None
) -> tuple[Tastes, Acts, Ints] | None:
    """What users like by authors in the window before the cutoff, where a trace has any.

    Returns:
        Tastes, the acts that they are of, and the storage index of each object; None without acts
        or authors. Nearly equal texts have no author, and take long to be found.
    """
    if trace.near is not None:
        return None
    made = known_acts(job, graph, trace, job.as_of)
    search = None if made is None else (made[2], job.as_of)
    author = None if search is None else authors(job, graph, trace, search, since_us)
    if made is None or author is None:
        return None
    num_users = graph.num_nodes[job.config.training.target]
    return find_tastes(made[0], author, num_users, job.config.rings.max_burst), made[0], made[2]

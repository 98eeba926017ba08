"""Rings of a run that act slowly: sets of users who are the audience of several objects."""

import numpy as np
import polars as pl

from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.acts import authors, known_acts
from graphguard.jobs.context import Job
from graphguard.rings.audiences import audience_pairs
from graphguard.rings.evidence import AUDIENCE
from graphguard.rings.fusion import set_evidence
from graphguard.rings.interest import SLOW_US
from graphguard.rings.tastes import find_tastes


def audience_links(
    job: Job, graph: HeteroGraph, num_pairs: float, since_us: int | None = None
) -> list[pl.DataFrame]:
    """Pairs inside these sets in the window before the cutoff, trace by trace, with `bits`.

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
    frames = []
    slow = settings.windows[-1].us >= SLOW_US
    for trace in settings.traces if slow else ():
        # Nearly equal texts have no author, and take long to be found.
        if trace.near is not None:
            continue
        made = known_acts(job, graph, trace, job.as_of)
        search = None if made is None else (made[2], job.as_of)
        author = None if search is None else authors(job, graph, trace, search, since_us)
        if made is None or author is None:
            continue
        num_users = graph.num_nodes[job.config.training.target]
        tastes = find_tastes(made[0], author, num_users, settings.max_burst)
        links = audience_pairs(tastes, rate, num_pairs)
        channel = f"{AUDIENCE}{trace.log}.{trace.object}"
        frames.append(set_evidence(links, channel, job.config.graph.window.us))
    return frames

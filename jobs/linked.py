"""Which users are linked, so that a ring's rows are split, proven and counted together."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.config.anchors import calendar_anchors
from graphguard.graph.components import linked_components
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.context import Job
from graphguard.tables.events import read_pairs


def linked_groups(job: Job, graph: HeteroGraph, *, every: bool = False) -> NDArray[np.int32]:
    """Component of every target node over significant pairs.

    Links of the window before the newest mature anchor tie the rings of its rows, links since then
    those members who met inside the horizon that the labels tell of.

    Args:
        job: The night.
        graph: Its graph.
        every: Take the links of all anchors: to count what was enforced together at any of them.

    Returns:
        Shape [num_nodes of the target], int32; a user without links is its own component.
    """
    days = [job.as_of]
    if job.config.training.calendar:
        anchors = calendar_anchors(job.config, job.as_of)
        days = list(anchors.all()) if every else [anchors.calibrate, job.as_of]
    pairs = pl.concat([read_pairs(job.run, f"anchor={day.isoformat()}") for day in days])
    limit = np.log10(job.config.rings.false_discovery_rate)
    strong = pairs.filter(pl.col("log10_q") <= limit)
    target = job.config.training.target
    ends = [
        graph.dense(target, strong.get_column(name).to_numpy()) for name in ("user_a", "user_b")
    ]
    return linked_components(graph.num_nodes[target], ends[0], ends[1])

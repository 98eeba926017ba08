"""Rings that act over a day: cores of links in slow windows."""

import numpy as np
import polars as pl

from graphguard.config.values import day_us
from graphguard.jobs.context import Job
from graphguard.jobs.told import Told
from graphguard.rings.cores import WEAK, core_links, told_cores
from graphguard.rings.evidence import CORE
from graphguard.rings.fusion import channel_bits
from graphguard.rings.interest import SLOW_US
from graphguard.tables.events import scan_events


def slow_cores(job: Job, pairs: pl.DataFrame, num_pairs: float) -> list[Told]:
    """Links within cores, trace by trace; their p is put on the scale of all pairs.

    Args:
        job: The run.
        pairs: PAIRS of the cutoff with dense users.
        num_pairs: All pairs of users.
    """
    settings = job.config.rings
    rate = float(np.log10(settings.false_discovery_rate / max(len(settings.traces), 1)))
    told = []
    for trace in settings.traces:
        channel = f"{trace.log}.{trace.object}"
        slow = (pl.col("channel") == channel) & (pl.col("window_us") >= SLOW_US)
        links = pairs.filter(slow)
        if not links.height:
            continue
        num_users = _users(job, trace.log)
        core = core_links(links, num_users, rate)
        weak = links.filter(pl.col("log10_p") <= WEAK).height
        value = pl.col("log10_q") - np.log10(max(num_pairs, 1.0))
        name = f"{CORE}{channel}"
        found = core.drop("part", "connected").with_columns(
            pl.lit(name).alias("channel"), value.alias("log10_p")
        )
        found = found.with_columns(channel_bits(pl.col("log10_p")).alias("bits"))
        # What a core met on is told by the acts of its links.
        told.append(Told(name, found, told_cores(core, weak, num_users), None, lambda _: []))
    return told


def _users(job: Job, log: str) -> int:
    """Users of a log within the window before the cutoff."""
    actor = job.config.actor_column(log)
    until = day_us(job.as_of)
    events = scan_events(job.run, log, until - job.config.graph.window.us, until)
    if actor is None or events is None:
        return 0
    return int(events.select(pl.col(actor).n_unique()).collect().item())

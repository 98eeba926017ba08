"""Groups of users at an anchor, by links alone: before any model, so that models may read them."""

from dataclasses import replace
from datetime import date

import polars as pl

from graphguard.features.groups import SCHEMA, TOLD
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.acts import active_users
from graphguard.jobs.audiences import audience_links
from graphguard.jobs.context import Job, Silent
from graphguard.jobs.recurring import recurring_pairs
from graphguard.jobs.slow import slow_cores
from graphguard.jobs.texts import alike_links
from graphguard.rings.around import groups_around
from graphguard.rings.fusion import channel_bits
from graphguard.rings.grouping import GroupRules
from graphguard.rings.significance import all_pairs
from graphguard.tables.events import read_pairs

PAIR = ("user_a", "user_b")
KEPT = [*PAIR, "channel", "weight", "a_first", "log10_p", "log10_q"]
"""Columns of links that groups and removals need."""


def links_at(job: Job, graph: HeteroGraph, anchor: date) -> pl.DataFrame:
    """All links of the window before an anchor: of pairs, recurring sets, like texts, slow rings.

    Returns:
        The columns KEPT, users as storage indices; one row a pair and channel.

    Cost: seconds a million acts: sets of users are looked for anew.
    """
    there = replace(job, as_of=anchor, reporter=Silent())
    target = job.config.training.target
    pairs = read_pairs(job.run, f"anchor={anchor.isoformat()}")
    dense = {name: graph.dense(target, pairs.get_column(name).to_numpy()) for name in PAIR}
    pairs = pairs.with_columns(pl.Series(name, values) for name, values in dense.items())
    num_pairs = all_pairs(active_users(job, graph, anchor))
    told = [
        *recurring_pairs(there, graph, num_pairs),
        *alike_links(there, graph, num_pairs),
        *slow_cores(there, pairs, num_pairs),
        *audience_links(there, graph, num_pairs),
    ]
    parts = [pairs, *(one.links for one in told)]
    every = pl.concat([part.select(KEPT) for part in parts if part.height])
    storage = graph.storage(target)
    ends = {name: storage[every.get_column(name).to_numpy()] for name in PAIR}
    return every.with_columns(pl.Series(name, values) for name, values in ends.items())


def groups_at(job: Job, graph: HeteroGraph, anchor: date, links: pl.DataFrame) -> pl.DataFrame:
    """GROUPS of an anchor: what each user in a group has there (`features/groups.py`).

    Args:
        job: The night.
        graph: Its graph.
        anchor: The day.
        links: Of `links_at`, or what is left of them.
    """
    if not links.height:
        return pl.DataFrame(schema=SCHEMA)
    target, settings = job.config.training.target, job.config.rings
    dense = {name: graph.dense(target, links.get_column(name).to_numpy()) for name in PAIR}
    found = groups_around(
        links.with_columns(
            *(pl.Series(name, values) for name, values in dense.items()),
            channel_bits(pl.col("log10_p")).alias("bits"),
        ),
        active_users(job, graph, anchor),
        settings.false_discovery_rate,
        GroupRules(min_members=settings.min_members),
    )
    entity = graph.storage(target)[found.get_column("user").to_numpy()]
    return found.select(pl.Series("entity", entity), *TOLD)

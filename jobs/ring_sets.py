"""The sets behind a night's rings: whom each test found together, on what, and on what terms."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.context import Job
from graphguard.jobs.told import Told
from graphguard.ring_schema import RING_SETS
from graphguard.rings.set_terms import ToldSet, plain

Ints = NDArray[np.int64]
IN_ORDER = ("audience",)
"""Tests whose terms name objects by their place."""


def ring_sets(
    job: Job, graph: HeteroGraph, evidence: pl.DataFrame, found: Sequence[Told]
) -> pl.DataFrame:
    """RING_SETS but for the rings' names, and `ring`.

    Args:
        job: The night.
        graph: Its graph.
        evidence: `ring`, `channel`, `user_a` and `user_b` (dense) of all evidence within rings.
        found: All sets that were told.
    """
    keys = graph.keys(job.config.training.target)
    ends = [
        evidence.select("ring", "channel", pl.col(one).alias("user"))
        for one in ("user_a", "user_b")
    ]
    linked = pl.concat(ends).unique().group_by("ring", "channel").agg("user").sort("ring")
    rows = []
    for told in found:
        mine = linked.filter(pl.col("channel") == told.channel).select("ring", "user")
        inside = [(ring, np.array(users, dtype=np.int64)) for ring, users in mine.iter_rows()]
        here = [(one, _shared(one.users, inside)) for one in told.sets]
        held = [(one, shared) for one, shared in here if shared]
        names = _names(told, [one for one, _ in held])
        for one, shared in held:
            kind, objects = _objects(one, names)
            facts = (told.channel, one.test, told.window_us, kind, objects, one.size)
            terms = json.dumps(plain(one.terms), sort_keys=True)
            for ring, users in shared:
                named = sorted(keys[int(user)] for user in users)
                rows.append((ring, *facts, named, one.log10_q, terms))
    columns = [name for name in RING_SETS.columns if name not in ("ring_id", "number")]
    schema = {"ring": pl.Int64} | {name: RING_SETS.empty().schema[name] for name in columns}
    table = pl.DataFrame(rows, schema=schema, orient="row")
    table = table.sort("ring", "channel", "log10_q", "test", "terms", "keys", "objects")
    number = pl.int_range(pl.len(), dtype=pl.Int64).over("ring", "channel")
    return table.with_columns(number.alias("number"))


def told_acts(found: Sequence[Told], members: pl.DataFrame) -> pl.DataFrame:
    """The acts of sets that rest on no acts of a trace: `ring`, `channel`, their type and name.

    Args:
        found: All sets that were told.
        members: `ring` and `user` (dense) of the night's rings.

    Returns:
        `ring`, `channel`, `user`, `object_type`, `object`, `users`, `time_us`, `log`; each once.
    """
    parts = []
    for told in found:
        acts = told.acts
        if acts is None:
            continue
        names = _names(told, told.sets)
        for one in told.sets:
            kind, objects = _objects(one, names)
            about = acts.filter(pl.col("object") == int(one.objects[0]))
            mine = about.join(pl.DataFrame({"user": one.users}), on="user", how="semi")
            named = mine.with_columns(
                pl.lit(told.channel).alias("channel"),
                pl.lit(kind).alias("object_type"),
                pl.lit(objects[0]).alias("object"),
            ).join(members.select("ring", "user"), on="user")
            # Of whom no other of the set is in the ring nothing is shown.
            parts.append(named.filter(pl.col("user").n_unique().over("ring") > 1))
    return pl.concat(parts).unique() if parts else pl.DataFrame()


def _shared(users: Ints, inside: Sequence[tuple[int, Ints]]) -> list[tuple[int, Ints]]:
    """The rings that hold two or more of some users, or the one there is, and which."""
    here = [(ring, np.intersect1d(users, members)) for ring, members in inside]
    return [(ring, both) for ring, both in here if len(both) >= min(2, len(users))]


def _names(told: Told, sets: Sequence[ToldSet]) -> dict[int, tuple[str, str]]:
    """Type and name of all objects of some sets: a dictionary of keys is read once."""
    objects = np.unique(np.concatenate([np.zeros(0, np.int64), *(one.objects for one in sets)]))
    return dict(zip(objects.tolist(), told.names(objects), strict=False))


def _objects(one: ToldSet, names: Mapping[int, tuple[str, str]]) -> tuple[str, list[str]]:
    """Type and names of what a set met on."""
    named = [names[thing] for thing in one.objects.tolist()]
    keys = [key for _, key in named]
    return (named[0][0] if named else ""), (keys if one.test in IN_ORDER else sorted(keys))

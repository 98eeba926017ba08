"""What the objects of a search are called in the tables of rings."""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.config.sections import TraceConfig
from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.keyed import key_hash
from graphguard.jobs.context import Job
from graphguard.rings.evidence import NEAR
from graphguard.rings.meetings import Acts

Ints = NDArray[np.int64]
Names = Callable[[Ints], list[tuple[str, str]]]
"""Type and name of objects, by their numbers in a search; of an erased one no name but ''."""


def trace_names(
    job: Job, graph: HeteroGraph, trace: TraceConfig, acts: Acts, objects: Ints
) -> Names:
    """Names of a trace's objects.

    Args:
        job: The night.
        graph: Its graph.
        trace: The trace.
        acts: Its acts.
        objects: Storage index of each object; empty where near values are one object.
    """
    if trace.near is None:
        return stored_names(job, job.config.entity_columns(trace.log)[trace.object], objects)

    def named(places: Ints) -> list[tuple[str, str]]:
        mine = np.flatnonzero(np.isin(acts.object, places))
        rows = {"object": acts.object, "user": acts.user, "time_us": acts.time_us}
        first = first_acts_of(pl.DataFrame({name: every[mine] for name, every in rows.items()}))
        both = (first.get_column(name).to_list() for name in ("maker", "first"))
        marks = near_marks(job, graph, *both)
        known = dict(zip(first.get_column("object").to_list(), marks, strict=True))
        return [(f"{NEAR}{trace.near}", known[place]) for place in places.tolist()]

    return named


def stored_names(job: Job, kind: str, objects: Ints) -> Names:
    """Names of objects of a type, by their place among these storage indices."""

    def named(places: Ints) -> list[tuple[str, str]]:
        rows = pl.DataFrame({"storage": objects[places].astype(np.int64)})
        keys = job.workspace.ids(kind).decode(rows, "storage", "key").get_column("key")
        return [(kind, key) for key in keys.fill_null("")]

    return named


def first_acts_of(acts: pl.DataFrame) -> pl.DataFrame:
    """The first act on each object: `object`, its `maker` (dense) and when (`first`)."""
    first = acts.sort("object", "time_us", "user").unique("object", keep="first")
    return first.select("object", maker="user", first="time_us")


def near_marks(
    job: Job, graph: HeteroGraph, makers: Sequence[int], first: Sequence[int]
) -> list[str]:
    """A name for each near object that says who began it without naming him."""
    keys = graph.keys(job.config.training.target)
    rows = zip(makers, first, strict=True)
    marks = key_hash([f"{keys[int(maker)]}\x1f{time}" for maker, time in rows])
    return [f"{mark:016x}" for mark in marks.tolist()]

"""Co-action on an engine: objects are paired bucket by bucket, pairs are put together by joins.

Gives what `find_coactions` gives, for acts that no one process holds. The kernel is the same; what
spans objects (which pairs are nominated, how many objects a pair shares) is relational.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import narwhals as nw
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from graphguard.rings.coaction import ObjectPairs, pair_on_objects
from graphguard.rings.meetings import TOUCHED, Acts, meet
from graphguard.tables.engine import Bucketed, Engine, Frame

TOUCH, SAMPLED, LOUD, VISITS, VISIT_PAIRS = range(5)
"""Kinds of rows that the kernel returns."""
PAIR = ("user_a", "user_b")
FOUND = pa.schema(
    [(name, pa.int64()) for name in ("kind", *PAIR, "object", "value", "lead_us", "first_us")]
)
"""`value` is the gap of a pair, the time of a loud act, the number of visits; where a row has no
users `user_b` is the number of the window."""


@dataclass(frozen=True)
class CoactionTables:
    """As `Coactions`, in tables of the engine.

    Attributes:
        pairs: `user_a`, `user_b`, and `weight_i`, `a_first_i` of each window.
        touches: `user_a`, `user_b`, `object`, `gap_us`, `lead_us`, `first_us` of these pairs.
        meetings: `object`, `gap_us` and `first_us` of each, on objects without a burst.
        visits: `user`, `visits`.
        visit_pairs: `window`, `visit_pairs`.
        burst_objects: `object`.
    """

    pairs: Frame
    touches: Frame
    meetings: Frame
    visits: Frame
    visit_pairs: Frame
    burst_objects: Frame


def coaction_tables(
    engine: Engine, acts: Frame, windows_us: Sequence[int], max_burst: int = 200, buckets: int = 64
) -> CoactionTables:
    """Pair the users that acted on one object at most a window apart.

    Args:
        engine: The engine that made `acts`.
        acts: `user`, `object` and `time_us`, int64, 0 or more, and `user_hash`, the bits of the
            hash of the user's key as int64.
        windows_us: Ascending windows, closed.
        max_burst: Acts on one object within the widest window above which pairs are nominated.
        buckets: Parts that objects are spread over; a part must fit one process.
    """
    kernel = partial(_found_on_objects, windows_us=list(windows_us), max_burst=max_burst)
    found = engine.hold(engine.map_buckets(acts, kernel, Bucketed("object", buckets, FOUND)))
    calm = _of_kind(found, TOUCH).select(*PAIR, "object", "lead_us", "first_us", gap_us="value")
    candidates = nw.concat([calm.select(*PAIR), _of_kind(found, SAMPLED).select(*PAIR)])
    counted = candidates.group_by(*PAIR).agg(nw.len().alias("objects"))
    nominated = counted.filter(nw.col("objects") >= 2).select(*PAIR)
    loud = _of_kind(found, LOUD).select("object", user="user_a", time_us="value")
    verified = _verified(loud, nominated, windows_us[-1])
    touches = engine.hold(nw.concat([calm.select(*TOUCHED), verified.select(*TOUCHED)]))
    pairs = engine.hold(_pairs(touches, windows_us))
    visits = _of_kind(found, VISITS).group_by("user_a")
    visit_pairs = _of_kind(found, VISIT_PAIRS).group_by("user_b")
    return CoactionTables(
        pairs,
        touches.join(pairs.select(*PAIR), on=list(PAIR), how="semi"),
        calm.select("object", "gap_us", "first_us"),
        visits.agg(visits=nw.col("value").sum()).rename({"user_a": "user"}),
        visit_pairs.agg(visit_pairs=nw.col("value").sum()).rename({"user_b": "window"}),
        loud.select("object").unique(),
    )


def _of_kind(found: Frame, kind: int) -> Frame:
    return found.filter(nw.col("kind") == kind)


def _verified(loud: Frame, nominated: Frame, window_us: int) -> Frame:
    """Compare the nominated pairs' acts on burst objects, act by act."""
    first = loud.select("object", user_a="user", time_a="time_us")
    second = loud.select("object", user_b="user", time_b="time_us")
    sides = nominated.join(first, on="user_a", how="inner").join(
        second, on=["user_b", "object"], how="inner"
    )
    compared = sides.with_columns(lead_us=nw.col("time_b") - nw.col("time_a")).with_columns(
        gap_us=nw.col("lead_us").abs(), first_us=nw.min_horizontal("time_a", "time_b")
    )
    near = compared.filter(nw.col("gap_us") <= window_us)
    # Of a pair's acts on an object the least gap counts; of equal gaps the earliest.
    for column in ("gap_us", "first_us", "lead_us"):
        least = nw.col(column).min().over(*PAIR, "object")
        near = near.with_columns(least=least).filter(nw.col(column) == nw.col("least"))
    return near.select(*TOUCHED).unique()


def _pairs(touches: Frame, windows_us: Sequence[int]) -> Frame:
    inside = [nw.col("gap_us") <= window for window in windows_us]
    weights = [
        one.cast(nw.Int64).sum().alias(f"weight_{number}") for number, one in enumerate(inside)
    ]
    firsts = [
        (one & (nw.col("lead_us") > 0)).cast(nw.Int64).sum().alias(f"a_first_{number}")
        for number, one in enumerate(inside)
    ]
    grouped = touches.group_by(*PAIR).agg(*weights, *firsts)
    return grouped.filter(nw.col(f"weight_{len(inside) - 1}") >= 2)


def _found_on_objects(rows: pa.Table, windows_us: list[int], max_burst: int) -> pa.Table:
    """The kernel: all acts on a bucket's objects, to rows of every kind."""
    # Order of users is kept, so that the smaller of two stays the smaller.
    users, first, local = np.unique(rows["user"].to_numpy(), return_index=True, return_inverse=True)
    hashes = rows["user_hash"].to_numpy()[first].view(np.uint64)
    acts = Acts(local.astype(np.int64), rows["object"].to_numpy(), rows["time_us"].to_numpy())
    found = pair_on_objects(acts, windows_us, hashes, max_burst)
    return pa.concat_tables([*_pair_rows(found, users, windows_us[-1]), *_total_rows(found, users)])


def _pair_rows(found: ObjectPairs, users: NDArray[np.int64], widest_us: int) -> list[pa.Table]:
    parts = []
    for kind, met in ((TOUCH, found.meetings), (SAMPLED, meet(found.sample, widest_us))):
        frame = met.touches()
        a, b, item, gap, lead, first = (frame.get_column(name).to_numpy() for name in TOUCHED)
        parts.append(_rows(kind, users[a], users[b], item, gap, lead, first))
    loud = found.loud
    nothing = np.zeros_like(loud.user)
    parts.append(
        _rows(LOUD, users[loud.user], nothing, loud.object, loud.time_us, nothing, nothing)
    )
    return parts


def _total_rows(found: ObjectPairs, users: NDArray[np.int64]) -> list[pa.Table]:
    nothing = np.zeros_like(users)
    visits = _rows(VISITS, users, nothing, nothing, found.visits, nothing, nothing)
    window = np.arange(len(found.visit_pairs))
    nothing = np.zeros_like(window)
    pairs = _rows(VISIT_PAIRS, nothing, window, nothing, found.visit_pairs, nothing, nothing)
    return [visits, pairs]


def _rows(kind: int, *columns: NDArray[np.int64]) -> pa.Table:
    kinds = np.full(len(columns[0]), kind, dtype=np.int64)
    return pa.Table.from_arrays([pa.array(one) for one in (kinds, *columns)], schema=FOUND)

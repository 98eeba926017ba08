"""Co-action: pairs of users that act on one object within a short time, exactly and streamed.

Events are sorted by (object, time); a binary search gives each event's partners within the widest
window, so no pair outside a window is ever made. Objects are taken in blocks of bounded work. An
object with a burst of more than `max_burst` events within the window is not paired in full: a keyed
sample of its events nominates pairs, and a nominated pair's acts on bursts are then compared
exactly. Method: Pacheco et al. 2021, "Uncovering Coordinated Networks on Social Media"; closed
windows as in CooRTweet.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.graph.interop import ranges
from graphguard.graph.keyed import mix, seeded

Ints = NDArray[np.int64]
PAIRS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Acts:
    """Events of one trace, shape [num_events] each, any order.

    Attributes:
        user: Dense index of the user.
        object: Index of the object.
        time_us: Microseconds since 1970 UTC.
    """

    user: Ints
    object: Ints
    time_us: Ints

    def ordered(self) -> "Acts":
        """The same acts by object, time and user."""
        order = np.lexsort((self.user, self.time_us, self.object))
        return Acts(self.user[order], self.object[order], self.time_us[order])


@dataclass(frozen=True)
class Coactions:
    """Pairs and what their significance is made of.

    Attributes:
        pairs: One row per pair: `user_a` < `user_b`; per window i `weight_i` (distinct objects
            acted on within it) and `a_first_i` (of these, where a was first).
        touches: One row per pair and object within the widest window: `user_a`, `user_b`,
            `object`, `gap_us` (least), `lead_us` (b's time less a's, at the least gap).
        slots: Per window, number of distinct (user, object) with another user's act within it,
            shape [windows, num_users].
        slot_pairs: Per window, ordered pairs of such slots, shape [windows].
        burst_objects: Objects whose pairs were nominated by a sample.
    """

    pairs: pl.DataFrame
    touches: pl.DataFrame
    slots: Ints
    slot_pairs: Ints
    burst_objects: Ints


@dataclass(frozen=True)
class ObjectPairs:
    """What the acts on a set of objects say by themselves; sets of other objects add up with it.

    Attributes:
        touches: As in `Coactions`, of objects without a burst.
        sampled: The same of the samples of bursts: they only nominate pairs.
        loud: Acts on objects with a burst.
        slots: As in `Coactions`.
        slot_pairs: As in `Coactions`.
        burst_objects: As in `Coactions`.
    """

    touches: pl.DataFrame
    sampled: pl.DataFrame
    loud: Acts
    slots: Ints
    slot_pairs: Ints
    burst_objects: Ints


def find_coactions(
    acts: Acts, windows_us: list[int], user_hash: NDArray[np.uint64], max_burst: int = 200
) -> Coactions:
    """Pair the users that acted on one object at most a window apart.

    Args:
        acts: Events of one trace.
        windows_us: Ascending windows, closed: a gap equal to the window counts.
        user_hash: Hash of each user's key, shape [num_users]: the sample of a burst follows keys,
            not indices.
        max_burst: Events of one object within the widest window above which pairs are nominated.

    Returns:
        Pairs that share two objects or more, with the totals that a null model needs (made from all
        acts, also of pairs that share one object).

    Cost: O(N log N + pairs within the widest window); memory one block of pairs and the result.
    """
    each = pair_on_objects(acts, windows_us, user_hash, max_burst)
    touches = each.touches
    if len(each.burst_objects):
        nominated = _nominated(touches, each.sampled)
        touches = pl.concat([touches, _verified(each.loud, nominated, windows_us[-1])])
    pairs = _pairs(touches, windows_us)
    return Coactions(pairs, touches, each.slots, each.slot_pairs, each.burst_objects)


def pair_on_objects(
    acts: Acts, windows_us: list[int], user_hash: NDArray[np.uint64], max_burst: int
) -> ObjectPairs:
    """The part of `find_coactions` that looks at one object at a time; same arguments."""
    acts = acts.ordered()
    widest = windows_us[-1]
    last = _ends(acts, widest)
    burst = _burst_objects(acts, last, max_burst)
    in_burst = np.isin(acts.object, burst)
    calm = Acts(acts.user[~in_burst], acts.object[~in_burst], acts.time_us[~in_burst])
    loud = Acts(acts.user[in_burst], acts.object[in_burst], acts.time_us[in_burst])
    sample = _sample(loud, last[in_burst] - np.flatnonzero(in_burst), user_hash, max_burst)
    slots, slot_pairs = _slot_totals(acts, windows_us, len(user_hash))
    return ObjectPairs(
        _pair_objects(calm, widest), _pair_objects(sample, widest), loud, slots, slot_pairs, burst
    )


def coaction_pairs(user: Any, object_id: Any, time: Any, *, window_us: int) -> Any:
    """Pair the users that touched one object at most `window_us` apart.

    Args:
        user: User index of each event, shape [num_events], int64.
        object_id: Object index of each event, shape [num_events], int64.
        time: Event time in microseconds, shape [num_events], int64.
        window_us: Largest gap, inclusive; at least 0.

    Returns:
        Edge index, shape [2, num_edges], int64: row 0 < row 1, no repeats, sorted.

    Raises:
        ValueError: `window_us` is negative.

    >>> user, time = np.array([7, 8, 9]), np.array([100, 104, 200])
    >>> coaction_pairs(user, np.array([0, 0, 0]), time, window_us=10)
    array([[7],
           [8]])
    """
    if window_us < 0:
        message = f"window_us must be 0 or more, got {window_us}"
        raise ValueError(message)
    touches = _pair_objects(Acts(user, object_id, time).ordered(), window_us)
    pairs = touches.select("user_a", "user_b").unique().sort("user_a", "user_b")
    return pairs.to_numpy().T.astype(np.int64)


def _ends(acts: Acts, window_us: int) -> Ints:
    """End of each event's partners: first position that is of another object or too late."""
    if not len(acts.user):
        return np.zeros(0, dtype=np.int64)
    _, dense = np.unique(acts.object, return_inverse=True)
    low = int(acts.time_us.min())
    span = int(acts.time_us.max()) - low + window_us + 2
    # One number for (object, time): objects lie farther apart than any window reaches. Seconds of
    # a century times a billion objects overflow microseconds, so it is kept in parts there.
    if span * (int(dense[-1]) + 1) < 2**62:
        line = dense * span + (acts.time_us - low)
        return np.searchsorted(line, line + window_us, side="right")
    starts = np.flatnonzero(np.diff(dense, prepend=-1))
    ends = np.append(starts[1:], len(dense))
    result = np.empty(len(dense), dtype=np.int64)
    for start, end in zip(starts, ends, strict=True):
        times = acts.time_us[start:end]
        result[start:end] = start + np.searchsorted(times, times + window_us, side="right")
    return result


def _burst_objects(acts: Acts, last: Ints, max_burst: int) -> Ints:
    crowded = last - np.arange(len(last)) > max_burst
    return np.unique(acts.object[crowded])


def _sample(loud: Acts, crowd: Ints, user_hash: NDArray[np.uint64], max_burst: int) -> Acts:
    """Keep about `max_burst` events of each window's crowd, chosen by hash of user and object."""
    # The object is told by its first time, not by its index, which depends on storage.
    starts = np.flatnonzero(np.diff(loud.object, prepend=-1))
    first = np.repeat(loud.time_us[starts], np.diff(np.append(starts, len(loud.user))))
    marks = seeded(mix(user_hash[loud.user], first.astype(np.uint64)), 1)
    share = np.minimum(1.0, max_burst / np.maximum(crowd, 1))
    kept = marks.astype(np.float64) / 2.0**64 < share
    return Acts(loud.user[kept], loud.object[kept], loud.time_us[kept])


def _pair_objects(acts: Acts, window_us: int) -> pl.DataFrame:
    """Pairs and objects within the window, one row each, with the least gap and who led."""
    last = _ends(acts, window_us)
    counts = last - np.arange(len(last)) - 1
    running = np.cumsum(counts)
    parts = []
    start = 0
    while start < len(counts):
        done = int(running[start - 1]) if start else 0
        end = int(np.searchsorted(running, done + PAIRS_AT_ONCE, side="right"))
        end = _object_end(acts.object, max(end, start + 1))
        parts.append(_block(acts, last, (start, end)))
        start = end
    return pl.concat([_block(acts, last, (0, 0)), *parts])


def _object_end(objects: Ints, place: int) -> int:
    """The end of the object that holds the event before `place`."""
    if place >= len(objects):
        return len(objects)
    return int(np.searchsorted(objects, objects[place - 1], side="right"))


def _block(acts: Acts, last: Ints, block: tuple[int, int]) -> pl.DataFrame:
    start, end = block
    first = np.arange(start, end)
    one = np.repeat(first, last[start:end] - first - 1)
    other = ranges(first + 1, last[start:end])
    kept = acts.user[one] != acts.user[other]
    one, other = one[kept], other[kept]
    gap = acts.time_us[other] - acts.time_us[one]
    swapped = acts.user[one] > acts.user[other]
    frame = pl.DataFrame(
        {
            "user_a": np.where(swapped, acts.user[other], acts.user[one]).astype(np.int64),
            "user_b": np.where(swapped, acts.user[one], acts.user[other]).astype(np.int64),
            "object": acts.object[one].astype(np.int64),
            "gap_us": gap.astype(np.int64),
            "lead_us": np.where(swapped, -gap, gap).astype(np.int64),
            "first_us": acts.time_us[one].astype(np.int64),
        }
    )
    # Of equal gaps the earliest counts, so that the order of rows changes nothing.
    return frame.sort("user_a", "user_b", "object", "gap_us", "first_us", "lead_us").unique(
        ["user_a", "user_b", "object"], keep="first", maintain_order=True
    )


def _slot_totals(acts: Acts, windows_us: list[int], num_users: int) -> tuple[Ints, Ints]:
    """Windowed slots per user, and ordered slot pairs, for every window."""
    slots = np.zeros((len(windows_us), num_users), dtype=np.int64)
    pairs = np.zeros(len(windows_us), dtype=np.int64)
    # A user's repeats on an object count once: the first act stands for them.
    order = np.lexsort((acts.time_us, acts.user, acts.object))
    user, objects = acts.user[order], acts.object[order]
    new = np.ones(len(user), dtype=np.bool_)
    new[1:] = (user[1:] != user[:-1]) | (objects[1:] != objects[:-1])
    kept = order[new]
    once = Acts(acts.user[kept], acts.object[kept], acts.time_us[kept]).ordered()
    for number, window in enumerate(windows_us):
        last = _ends(once, window)
        after = last - np.arange(len(last)) - 1
        before = np.zeros(len(last) + 1, dtype=np.int64)
        np.add.at(before, np.arange(len(last)) + 1, 1)
        np.add.at(before, last, -1)
        partners = after + np.cumsum(before)[:-1]
        slots[number] = np.bincount(once.user[partners > 0], minlength=num_users)
        pairs[number] = 2 * int(after.sum())
    return slots, pairs


def _nominated(calm: pl.DataFrame, sampled: pl.DataFrame) -> pl.DataFrame:
    """Pairs worth an exact look at their acts on bursts: two objects or more by what is known."""
    pair = ["user_a", "user_b"]
    both = pl.concat([calm.select(pair), sampled.select(pair)])
    return both.group_by(pair).len().filter(pl.col("len") >= 2).select(pair).sort(pair)


def _verified(loud: Acts, nominated: pl.DataFrame, window_us: int) -> pl.DataFrame:
    """Compare the nominated pairs' acts on burst objects, act by act."""
    acts = pl.DataFrame({"user": loud.user, "object": loud.object, "time_us": loud.time_us})
    sides = nominated.join(
        acts.rename({"user": "user_a", "time_us": "time_a"}), on="user_a", how="inner"
    ).join(
        acts.rename({"user": "user_b", "time_us": "time_b"}), on=["user_b", "object"], how="inner"
    )
    lead = pl.col("time_b") - pl.col("time_a")
    return (
        sides.with_columns(lead.alias("lead_us"), lead.abs().alias("gap_us"))
        .filter(pl.col("gap_us") <= window_us)
        .with_columns(pl.min_horizontal("time_a", "time_b").alias("first_us"))
        .select("user_a", "user_b", "object", "gap_us", "lead_us", "first_us")
        .sort("user_a", "user_b", "object", "gap_us", "first_us", "lead_us")
        .unique(["user_a", "user_b", "object"], keep="first", maintain_order=True)
    )


def _pairs(touches: pl.DataFrame, windows_us: list[int]) -> pl.DataFrame:
    inside = [pl.col("gap_us") <= window for window in windows_us]
    return (
        touches.group_by("user_a", "user_b")
        .agg(
            *(one.sum().cast(pl.Int64).alias(f"weight_{n}") for n, one in enumerate(inside)),
            *(
                (one & (pl.col("lead_us") > 0)).sum().cast(pl.Int64).alias(f"a_first_{n}")
                for n, one in enumerate(inside)
            ),
        )
        .filter(pl.col(f"weight_{len(windows_us) - 1}") >= 2)
        .sort("user_a", "user_b")
    )

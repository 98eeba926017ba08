"""Co-action: pairs of users that act on two objects or more, each time within a short time.

All meetings of users are found first (`rings/meetings.py`); tables are made of those pairs that met
on two objects. An object with a burst of more than `max_burst` events within the widest window is
not paired in full: a keyed sample of its events nominates pairs, and a nominated pair's acts on
bursts are then compared exactly. Method: Pacheco et al. 2021, "Uncovering Coordinated Networks on
Social Media".
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.graph.keyed import Hashes, mix, seeded
from graphguard.graph.ranges import distinct, ranges
from graphguard.rings.meetings import (
    Acts,
    Meetings,
    Partners,
    Places,
    meet,
    meetings_in_parts,
    partner_ends,
    stretches,
)
from graphguard.rings.twice import met_twice
from graphguard.rings.verified import verified

Ints = NDArray[np.int64]
WHO = 2**32 - 1
"""Bits of `Meetings.keys` that name the second user."""


@dataclass(frozen=True)
class Coactions:
    """Pairs and what their significance is made of.

    Attributes:
        pairs: One row per pair that met on two objects or more within the widest window: `user_a`
            < `user_b`; per window i `weight_i` (distinct objects acted on within it) and
            `a_first_i` (of these, where a was first).
        touches: One row per such pair and object: `user_a`, `user_b`, `object`, `gap_us` (least),
            `lead_us` (b's time less a's, at the least gap), `first_us`; in no order.
        meetings: All meetings on objects without a burst, of other pairs too.
        visits: How often each user came to an object, shape [num_users]: acts on it that follow
            one another within the widest window are one visit.
        visit_pairs: Per window, ordered pairs of visits to one object within it, shape [windows].
        burst_objects: Objects whose pairs were nominated by a sample, ascending.
    """

    pairs: pl.DataFrame
    touches: pl.DataFrame
    meetings: Meetings
    visits: Ints
    visit_pairs: Ints
    burst_objects: Ints


@dataclass(frozen=True)
class ObjectPairs:
    """What the acts on a set of objects say by themselves; sets of other objects add up with it.

    Attributes:
        meetings: On objects without a burst.
        sample: Acts of the samples of bursts, in order: their meetings only nominate pairs.
        loud: Acts on objects with a burst, in order.
        visits: As in `Coactions`.
        visit_pairs: As in `Coactions`.
        burst_objects: As in `Coactions`.
    """

    meetings: Meetings
    sample: Acts
    loud: Acts
    visits: Ints
    visit_pairs: Ints
    burst_objects: Ints


@dataclass(frozen=True)
class CalmMeetings:
    """What the timing null needs of acts: as in `ObjectPairs`."""

    meetings: Meetings
    burst_objects: Ints


def find_coactions(
    acts: Acts, windows_us: list[int], user_hash: Hashes, max_burst: int = 200
) -> Coactions:
    """Pair the users that acted on two objects or more at most a window apart.

    Args:
        acts: Events of one trace.
        windows_us: Ascending windows, closed: a gap equal to the window counts.
        user_hash: Hash of each user's key, shape [num_users]: the sample of a burst follows keys,
            not indices.
        max_burst: Events of one object within the widest window above which pairs are nominated.

    Returns:
        The pairs, with the totals that a null model needs (made from all acts, also of pairs that
        share one object).

    Cost: O(N log N + pairs within the widest window); memory eight bytes for each meeting outside
        of bursts, what `met_twice` needs, and the result.
    """
    each = pair_on_objects(acts, windows_us, user_hash, max_burst)
    touches = _touches(each, windows_us[-1])
    totals = each.meetings, each.visits, each.visit_pairs, each.burst_objects
    # The acts in bursts are needed no more, and what follows needs room.
    del each
    return Coactions(pair_weights(touches, windows_us), touches, *totals)


def _touches(each: ObjectPairs, window_us: int) -> pl.DataFrame:
    """`Coactions.touches`."""
    partners = Partners.of(each.sample, window_us)
    sampled = partial(meetings_in_parts, each.sample, window_us, partners)
    calm, nominated = met_twice(each.meetings, sampled, int(partners.number.sum()))
    touches = each.meetings.touches(calm)
    if not len(each.burst_objects):
        return touches
    more = verified(each.loud, split_keys(nominated), window_us)
    return pl.concat([touches, more.touches()])


def pair_on_objects(
    acts: Acts, windows_us: list[int], user_hash: Hashes, max_burst: int
) -> ObjectPairs:
    """The part of `find_coactions` that looks at one object at a time; same arguments."""
    acts = acts.ordered()
    widest = windows_us[-1]
    partners = Partners.of(acts, widest)
    burst = _burst_objects(acts, partners, max_burst)
    visits, visit_pairs = _totals(acts, partners, windows_us, len(user_hash))
    loud = sample = acts[:0]
    if len(burst):
        inside = _acts_on(acts, burst)
        loud, crowd = acts[inside], partners.number[inside] + 1
        sample = _sample(loud, crowd, user_hash, max_burst)
        # Nobody is a partner there: acts that make no meeting need not be taken away.
        partners.number[inside] = 0
    calm = meet(acts, widest, partners)
    return ObjectPairs(calm, sample, loud, visits, visit_pairs, burst)


def calm_meetings(acts: Acts, window_us: int, widest_us: int, max_burst: int) -> CalmMeetings:
    """The meetings of `pair_on_objects` within a shorter window, and nothing else.

    Args:
        acts: Events of one trace.
        window_us: Largest gap of a meeting, at most `widest_us`.
        widest_us: Window within which bursts are counted.
        max_burst: As for `find_coactions`.

    Cost: O(N log N + pairs within the shorter window).
    """
    acts = acts.ordered()
    burst = _burst_objects(acts, Partners.of(acts, widest_us), max_burst)
    calm = acts[~np.isin(acts.object, burst)] if len(burst) else acts
    return CalmMeetings(meet(calm, window_us), burst)


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
    return split_keys(distinct(meet(Acts(user, object_id, time).ordered(), window_us).keys()))


def split_keys(keys: Ints) -> Ints:
    """Both users of `Meetings.keys`, shape [2, num_keys]."""
    return np.stack([keys >> 32, keys & WHO])


def pair_weights(touches: pl.DataFrame, windows_us: list[int]) -> pl.DataFrame:
    """`Coactions.pairs` of the touches of pairs; those that met on one object only are left out."""
    inside = [pl.col("gap_us") <= window for window in windows_us]
    key = pl.col("user_a") * 2**32 + pl.col("user_b")
    return (
        touches.group_by(key.alias("key"))
        .agg(
            pl.col("user_a", "user_b").first(),
            *(one.sum().cast(pl.Int64).alias(f"weight_{n}") for n, one in enumerate(inside)),
            *(
                (one & (pl.col("lead_us") > 0)).sum().cast(pl.Int64).alias(f"a_first_{n}")
                for n, one in enumerate(inside)
            ),
        )
        .filter(pl.col(f"weight_{len(windows_us) - 1}") >= 2)
        .sort("key")
        .drop("key")
    )


def _burst_objects(acts: Acts, partners: Partners, max_burst: int) -> Ints:
    """Objects of acts in order where so many follow one within the window of its partners."""
    return distinct(acts.object[partners.number >= max_burst]).astype(np.int64)


def _acts_on(acts: Acts, objects: Ints) -> Ints:
    """Places of the acts, which lie in order, on some objects."""
    objects = objects.astype(acts.object.dtype)
    begin, end = (np.searchsorted(acts.object, objects, side) for side in ("left", "right"))
    places: Ints = ranges(begin, end)
    return places


def _sample(loud: Acts, crowd: Places, user_hash: Hashes, max_burst: int) -> Acts:
    """Keep about `max_burst` events of each window's crowd, chosen by hash of user and object."""
    # The object is told by its first time, not by its index, which depends on storage.
    starts = loud.object_starts
    first = np.repeat(loud.time_us[starts[:-1]], np.diff(starts))
    marks = seeded(mix(user_hash[loud.user], first.astype(np.uint64)), 1)
    share = np.minimum(1.0, max_burst / np.maximum(crowd, 1))
    return loud[marks.astype(np.float64) / 2.0**64 < share]


def _totals(
    acts: Acts, partners: Partners, windows_us: list[int], num_users: int
) -> tuple[Ints, Ints]:
    """Visits of each user, and for every window the ordered pairs of visits within it."""
    visits = np.zeros(num_users, dtype=np.int64)
    pairs = np.zeros(len(windows_us), dtype=np.int64)
    for stretch in stretches(acts, windows_us[-1]):
        here, mine = acts[stretch], partners[stretch]
        begins = _visits(here, mine.again, windows_us[-1])
        visits += np.bincount(here.user[begins], minlength=num_users)
        each = here[begins] if len(windows_us) > 1 else here[:0]
        place = np.arange(len(each))
        for number, window in enumerate(windows_us[:-1]):
            pairs[number] += 2 * int((partner_ends(each, window) - place - 1).sum())
        pairs[-1] += 2 * mine.pairs(begins)
    return visits, pairs


def _visits(acts: Acts, again: NDArray[np.bool_], window_us: int) -> NDArray[np.bool_]:
    """Acts in order that follow no act of the same user on the same object soon."""
    begins = np.ones(len(acts), dtype=np.bool_)
    several = np.flatnonzero(again)
    some = acts[several]
    before, after = some.repeats()
    soon = some.time_us[after] - some.time_us[before] <= window_us
    begins[several[after[soon]]] = False
    return begins

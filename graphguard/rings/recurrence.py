"""Sets of users that meet again: bursts on two objects that share three users or more.

A ring that made two calls in a window leaves no pair that stands out among all pairs of users:
each met twice. But thirteen users within a minute on one post, and seven of them within a minute
on another, is one event and not a hundred pairs, and it is tested as one, under the two nulls of
pairs: who is in how many bursts keeps that number, and who touched both objects did so when he
did, give or take the age class of the object.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import gammaln

from graphguard.rings.meetings import Acts
from graphguard.rings.set_terms import OF_SET, Numbers, Terms, ToldSet, standing, stood
from graphguard.rings.significance import LN10, log10_poisson_tail, log10_q
from graphguard.rings.timing_null import TimingNull

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

LEAST_USERS = 3
"""Two users on two objects are a pair, and are tested as one."""
LEAST_CHANCE = 1e-12
"""No two touches are less likely to meet than that, whatever was never seen to meet."""


@dataclass(frozen=True)
class Bursts:
    """Groups of users within one window on one object, apart from each other.

    Attributes:
        object: Object of each burst, shape [num_bursts].
        start: Where each begins in `user`, shape [num_bursts + 1].
        user: Users of the bursts, one after another.
        time_us: When each touched the object.
    """

    object: Ints
    start: Ints
    user: Ints
    time_us: Ints

    def __len__(self) -> int:
        return len(self.object)


@dataclass(frozen=True)
class Sets:
    """Sets of users that met.

    Attributes:
        users: Members of each set, sorted.
        objects: On which they met, shape [num_sets, objects of a set].
        log10_q: Of each set, shape [num_sets].
        terms: What it follows from, set by set.
    """

    users: list[Ints]
    objects: Ints
    log10_q: Floats
    terms: list[Terms] = field(default_factory=list)

    def told(self, test: str) -> list[ToldSet]:
        """One by one, of the named test."""
        rows = zip(self.users, self.objects, self.log10_q.tolist(), self.terms, strict=True)
        return [ToldSet(test, users, on, len(users), q, terms) for users, on, q, terms in rows]


@dataclass(frozen=True)
class Overlaps:
    """Pairs of bursts on two objects that share enough users, shape [num_overlaps] each.

    Attributes:
        one: Place of a burst.
        other: Place of the other.
        shared: Users they share.
        busy: In how many bursts the users of each are together, shape [2, num_overlaps].
        sizes: Users of each, likewise.
        touches: Users of all bursts together.
        log10_p: Of sharing so many.
    """

    one: Ints
    other: Ints
    shared: Ints
    busy: Floats
    sizes: Ints
    touches: float
    log10_p: Floats

    def terms(self, place: int) -> Terms:
        """What `log10_shared` needs to know of one of them but for the users they share."""
        return {
            "busy": self.busy[:, place].tolist(),
            "sizes": self.sizes[:, place].tolist(),
            "touches": self.touches,
        }


def find_bursts(acts: Acts, window_us: int, most: int) -> Bursts:
    """Bursts of three users or more, the largest of an object first, none overlapping.

    Args:
        acts: Events of the trace; a user's first act on an object counts.
        window_us: Longest time from the first to the last of a burst.
        most: Users above which a burst is a crowd, and left out.

    Cost: O(events log events).
    """
    first = acts.first_touches
    order = np.lexsort((first.user, first.time_us, first.object))
    user, thing, time_us = first.user[order], first.object[order], first.time_us[order]
    # One line of time per object, far enough apart that no window reaches into the next.
    line = time_us - (time_us.min() if len(time_us) else 0)
    line = line + thing.astype(np.int64) * (line.max(initial=0) + window_us + 1)
    size = np.searchsorted(line, line + window_us, side="right") - np.arange(len(line))
    begins = np.flatnonzero((size >= LEAST_USERS) & (size <= most))
    taken = np.zeros(len(line), dtype=np.bool_)
    chosen: list[int] = []
    for begin in begins[np.lexsort((begins, -size[begins]))].tolist():
        inside = slice(begin, begin + int(size[begin]))
        if not taken[inside].any():
            taken[inside] = True
            chosen.append(begin)
    kept = np.sort(np.array(chosen, dtype=np.int64))
    sizes = size[kept]
    start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    place = np.repeat(kept - start[:-1], sizes) + np.arange(start[-1])
    return Bursts(thing[kept], start, user[place], time_us[place])


def recurring_sets(
    acts: Acts, bursts: Bursts, null: TimingNull, window: int, log10_rate: float
) -> Sets:
    """Sets whose meeting twice is unlikely under both nulls.

    Sharing so many users is tested among all pairs of bursts. Meeting within the window is tested
    among all pairs of objects that three users or more touched both: who touched what is given.

    Args:
        acts: Events of the trace.
        bursts: Its bursts.
        null: How often touches of given ages meet.
        window: Which of the null's windows the bursts were found with.
        log10_rate: log10 of the false-discovery rate.

    Cost: O(sum over users of the square of their bursts).
    """
    tests = max(len(bursts) * (len(bursts) - 1) / 2, 1.0)
    every = overlaps(bursts)
    activity_q = log10_q(every.log10_p, tests)
    hopeful = np.flatnonzero(activity_q <= log10_rate)
    pairs = np.stack([every.one[hopeful], every.other[hopeful]])
    touched = _touched(acts)
    crowds = _common_users(touched, bursts.object[pairs])
    users, chances, timing = _timing(bursts, pairs, crowds, null, window)
    together = _touched_together(touched)
    q = np.maximum(log10_q(timing, together), activity_q[hopeful])
    found = np.flatnonzero(q <= log10_rate)
    stands = zip(
        standing(every.log10_p, tests, hopeful[found]),
        standing(timing, together, found),
        strict=True,
    )
    terms: list[Terms] = [
        {
            "activity": every.terms(int(hopeful[place])) | shared,
            "timing": {"crowd": int(crowds[place]), "chances": chances[place]} | met,
        }
        for place, (shared, met) in zip(found.tolist(), stands, strict=True)
    ]
    return Sets(
        [users[place] for place in found], bursts.object[pairs[:, found]].T, q[found], terms
    )


def again_numbers(users: int, terms: Mapping[str, Any]) -> Numbers:
    """What the terms of `recurring_sets` say of so many users: each test's p, and q of both."""
    activity, timing = terms["activity"], terms["timing"]
    shared = _shared_p(users, activity)
    sides = np.array([[log10_all_meet(np.array(each))] for each in timing["chances"]])
    twice = float(log10_twice(np.array([timing["crowd"]]), np.array([users]), sides)[0])
    numbers = stood(shared, activity, "activity") | stood(twice, timing, "timing")
    both = max(numbers["activity", "log10_q"], numbers["timing", "log10_q"])
    return numbers | {OF_SET: both}


def links_within(sets: Sets, num_pairs: float) -> pl.DataFrame:
    """The pairs inside the sets: `user_a`, `user_b`, `weight`, `log10_p`, `log10_q`, sorted.

    The family of sets is smaller than that of pairs: a pair's q is that of its best set, and its
    p is put on the scale of all pairs, so that both say the same. `weight` counts objects.
    """
    rows = [
        (a, b, thing, value)
        for members, things, value in zip(sets.users, sets.objects, sets.log10_q, strict=True)
        for a, b in combinations(members.tolist(), 2)
        for thing in things.tolist()
    ]
    names = {"user_a": pl.Int64, "user_b": pl.Int64, "object": pl.Int64, "least": pl.Float64}
    found = (
        pl.DataFrame(rows, schema=names, orient="row")
        .group_by("user_a", "user_b")
        .agg(pl.col("object").n_unique().cast(pl.Int64).alias("weight"), pl.col("least").min())
    )
    return found.select(
        "user_a",
        "user_b",
        "weight",
        (pl.col("least") - np.log10(max(num_pairs, 1.0))).alias("log10_p"),
        pl.col("least").alias("log10_q"),
    ).sort("user_a", "user_b")


def overlaps(bursts: Bursts) -> Overlaps:
    """Pairs of bursts on two objects that share enough users, and log10 p of sharing so many."""
    number = len(bursts)
    burst = np.repeat(np.arange(number), np.diff(bursts.start))
    num_users = int(bursts.user.max(initial=-1)) + 1
    shape = (number, max(num_users, 1))
    held = csr_array((np.ones(len(burst), dtype=np.int32), (burst, bursts.user)), shape=shape)
    common = (held @ held.T).tocoo()
    right = (common.row < common.col) & (common.data >= LEAST_USERS)
    one, other = common.row[right].astype(np.int64), common.col[right].astype(np.int64)
    apart = bursts.object[one] != bursts.object[other]
    one, other, shared = one[apart], other[apart], common.data[right][apart].astype(np.int64)
    order = np.lexsort((other, one))
    ends, shared = np.stack([one[order], other[order]]), shared[order]
    degree = np.bincount(bursts.user, minlength=shape[1]).astype(np.float64)
    busy = np.bincount(burst, degree[bursts.user], minlength=number)[ends]
    sizes, touches = np.diff(bursts.start)[ends], float(degree.sum())
    log10_p = log10_shared(shared, busy, sizes, touches)
    return Overlaps(ends[0], ends[1], shared, busy, sizes, touches, log10_p)


def log10_shared(shared: Ints, busy: Floats, sizes: Ints, touches: float) -> Floats:
    """log10 p of two bursts to share so many users, given who is in how many, and their sizes.

    Args:
        shared: Users they share, shape [n].
        busy: In how many bursts the users of each are together, shape [2, n].
        sizes: Users of each, shape [2, n].
        touches: Users of all bursts together.
    """
    # Whose places are drawn anew is a choice; the likelier of both answers counts.
    expected = np.maximum(busy[0] * sizes[1], busy[1] * sizes[0]) / max(touches, 1)
    return log10_poisson_tail(shared, expected)


def _shared_p(shared: int, terms: Mapping[str, Any]) -> float:
    """As `log10_shared`, of one pair of bursts by its terms."""
    busy, sizes = np.array([terms["busy"]]).T, np.array([terms["sizes"]]).T
    return float(log10_shared(np.array([shared]), busy, sizes, terms["touches"])[0])


def log10_overlap(terms: Mapping[str, Any]) -> float:
    """log10 p of an overlap by its terms, and `shared`."""
    return _shared_p(terms["shared"], terms)


def log10_all_meet(chances: Floats) -> Floats:
    """log10 of the chance that a user meets all others, given that for each; by rows."""
    met: Floats = np.log10(np.maximum(chances, LEAST_CHANCE)).sum(axis=-1)
    return met


def log10_twice(crowds: Ints, sizes: Ints, sides: Floats) -> Floats:
    """log10 p of so many of a crowd to meet twice.

    Args:
        crowds: Users who touched both objects, shape [n].
        sizes: Members among them, shape [n].
        sides: `log10_all_meet` of one member with the others on each object, shape [2, n].
    """
    # Added in order of size: objects' numbers are arbitrary, and a sum's last bit is not.
    choice = np.log10(crowds) + _log10_choose(crowds - 1, sizes - 1)
    twice: Floats = np.minimum(choice + sides.min(axis=0) + sides.max(axis=0), 0.0)
    return twice


def _timing(
    bursts: Bursts, pairs: Ints, crowds: Ints, null: TimingNull, window: int
) -> tuple[list[Ints], list[list[list[float]]], Floats]:
    """Members of both bursts of each pair, their chances, and log10 p, given the crowds.

    One member's times are given, the others meet him; which of those who touched both objects are
    the members, and who is given, may be chosen.

    Args:
        bursts: All bursts.
        pairs: Places of two bursts each, shape [2, num_pairs].
        crowds: Users who touched both objects, shape [num_pairs].
        null: As in `recurring_sets`.
        window: As in `recurring_sets`.
    """
    age = null.classes(np.repeat(bursts.object, np.diff(bursts.start)), bursts.time_us)
    members: list[Ints] = []
    chances: list[list[list[float]]] = []
    meeting = np.zeros((2, pairs.shape[1]))
    for place, pair in enumerate(pairs.T.tolist()):
        parts = [slice(bursts.start[at], bursts.start[at + 1]) for at in pair]
        one, other = (bursts.user[part] for part in parts)
        mine, *places = np.intersect1d(one, other, assume_unique=True, return_indices=True)
        members.append(mine)
        given = []
        for side, (part, at) in enumerate(zip(parts, places, strict=True)):
            ages = age[part][np.sort(at)]
            each = null.rate[window][np.ix_(ages, ages)]
            # Himself he meets for certain.
            np.fill_diagonal(each, 1.0)
            met = log10_all_meet(each)
            meeting[side, place] = met.max()
            best = int(met.argmax())
            given.append(sorted(np.delete(each[best], best).tolist()))
        chances.append(sorted(given))
    sizes = np.array([len(mine) for mine in members], dtype=np.int64)
    return members, chances, log10_twice(crowds, sizes, meeting)


def _touched(acts: Acts) -> csr_array:
    """Who touched what, once each: objects as rows, users as columns."""
    first = acts.first_touches
    shape = (int(first.object.max(initial=0)) + 1, int(first.user.max(initial=0)) + 1)
    once = (np.ones(len(first), dtype=np.int32), (first.object, first.user))
    return csr_array(once, shape=shape)


def _common_users(touched: csr_array, things: Ints, block: int = 1_000) -> Ints:
    """Users who touched both of two objects, shape [num_pairs]; `things` is [2, num_pairs]."""
    common = np.zeros(things.shape[1], dtype=np.int64)
    for start in range(0, len(common), block):
        part = slice(start, start + block)
        both = touched[things[0, part]].multiply(touched[things[1, part]])
        common[part] = np.asarray(both.sum(axis=1)).reshape(-1)
    return common


def _touched_together(touched: csr_array, block: int = 2_000) -> float:
    """Pairs of objects that enough users touched both, counted a block of objects at a time."""
    held = touched[np.flatnonzero(np.diff(touched.indptr) >= LEAST_USERS)]
    number = held.shape[0]
    columns = csr_array(held.T)
    pairs = 0
    for start in range(0, number, block):
        common = held[start : start + block] @ columns
        pairs += int((common.data >= LEAST_USERS).sum())
    # Each pair was seen from both sides, and each object with itself.
    return float(max((pairs - number) / 2, 1.0))


def _log10_choose(n: Ints, k: Ints) -> Floats:
    chosen: Floats = (gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)) / LN10
    return chosen

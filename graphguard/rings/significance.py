"""How likely is a pair's common activity by chance: p-values under nulls, and their discovery rate.

Everything is kept as log10, since a ring's p underflows. Where several tests are made of one pair
the smallest p counts times their number; Benjamini-Hochberg then goes over all pairs of users, not
only over those that were seen together.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import gammaln, pdtrc

from graphguard.rings.coaction import Coactions, ObjectPairs
from graphguard.rings.meetings import Acts, Meetings

Floats = NDArray[np.float64]
LN10 = np.log(10.0)
AGE_EDGES_S = np.array([0.0, *np.logspace(4, 22, 19, base=2.0), np.inf])
"""Ages of an object in seconds, by powers of two from 16 s to seven weeks."""

NUM_AGES = len(AGE_EDGES_S) - 1
NUM_SIZES = 24
"""Classes of objects of unknown birth, by powers of two of their users."""

LOUDEST, FEW = 4.0, 3.0
"""An object's meetings count at most this many times what is usual for it, and so many more."""
FINE = 2.0**20
ROUNDS = 12
"""Rounds in which the usual and the loud settle."""


def log10_poisson_tail(count: NDArray[Any], expected: NDArray[Any]) -> Floats:
    """log10 of the chance of `count` or more where `expected` are expected.

    Above the mean a geometric series bounds the tail from above by its first term: exact to a few
    percent there, and still a number where the tail itself underflows.

    >>> np.round(log10_poisson_tail(np.array([3]), np.array([1e-3])), 2).tolist()
    [-9.78]
    """
    count, mean = np.broadcast_arrays(
        np.asarray(count, dtype=np.float64),
        np.maximum(np.asarray(expected, dtype=np.float64), 1e-300),
    )
    far = count > mean + 1
    tail: Floats = np.empty(count.shape)
    # Each formula only where it holds: nearly all pairs lie on one side.
    high, usual = count[far], mean[far]
    first = high * np.log(usual) - usual - gammaln(high + 1)
    tail[far] = first - np.log1p(-np.minimum(usual / (high + 1), 1 - 1e-12))
    # None or more is certain, which the function does not say of -1.
    below = count[~far] - 1
    tail[~far] = np.log(np.where(below < 0, 1.0, pdtrc(np.maximum(below, 0), mean[~far])))
    result: Floats = np.minimum(tail / LN10, 0.0)
    return result


def log10_binomial_tail(
    count: NDArray[Any], trials: NDArray[Any], expected: NDArray[Any]
) -> Floats:
    """log10 of the chance of `count` or more of `trials` like coins where `expected` are expected.

    Above the mean a geometric series bounds the tail from above by its first term.

    >>> tail = log10_binomial_tail(np.array([3]), np.array([3]), np.array([0.3]))
    >>> np.round(tail, 2).tolist()
    [-3.0]
    """
    count, trials = np.asarray(count, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    mean = np.clip(expected, 1e-300, np.maximum(trials * (1 - 1e-9), 1e-300))
    tail: Floats = np.zeros(len(count))
    # More meetings than objects touched both cannot be; it would be an error of the caller's.
    far = (count > mean + 1) & (count <= trials)
    k, n, share = count[far], trials[far], mean[far] / trials[far]
    first = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    first += k * np.log(share) + (n - k) * np.log1p(-share)
    ratio = (n - k) / (k + 1) * share / (1 - share)
    tail[far] = first - np.log1p(-np.minimum(ratio, 1 - 1e-12))
    result: Floats = np.minimum(tail / LN10, 0.0)
    return result


def expected_weights(coactions: Coactions, window: int) -> Floats:
    """Objects that each pair would share within a window by chance: d_a d_b S / D^2.

    d are the windowed slots of each user, D their sum and S the ordered slot pairs within the
    window: who acts keeps his activity, and every object its crowd. Summed over all pairs this is
    S/2, less what falls on one and the same user.

    Args:
        coactions: What `find_coactions` found.
        window: Which of the windows.

    Returns:
        Shape [num_pairs].
    """
    slots = coactions.slots[window].astype(np.float64)
    total = max(slots.sum(), 1.0)
    a = coactions.pairs.get_column("user_a").to_numpy()
    b = coactions.pairs.get_column("user_b").to_numpy()
    scale: Floats = slots[a] * slots[b] * coactions.slot_pairs[window] / total**2
    return scale


@dataclass(frozen=True)
class TimingNull:
    """How often two touches of an object fall within each window, given the class of each touch.

    An object's first hours are crowded, so two fans that are both there within minutes are often
    seconds apart by chance; two users who meet within a minute on a post of yesterday are not. So
    a touch's class is the object's age. Of an object first seen in a touch of the trace itself
    nobody knows the age: a ring that comes first would be its birth, and meet by necessity. There
    the class is how many users touched it. The rates are pooled over all objects, or a ring would
    be most of its own object and mask itself.

    Attributes:
        rate: Shape [windows, classes, classes], share of pairs of touches in the window.
        born_us: First sight of each object, shape [num_objects].
        crowd: Class of each object of unknown birth, -1 for others, shape [num_objects], int8.
    """

    rate: Floats
    born_us: NDArray[np.int64]
    crowd: NDArray[np.int8]

    def classes(self, objects: NDArray[Any], time_us: NDArray[Any]) -> NDArray[np.int64]:
        """Class of touches, below `NUM_AGES` + `NUM_SIZES`."""
        return _touch_classes(self.born_us, self.crowd, objects, time_us)


def _touch_classes(
    born_us: NDArray[np.int64],
    crowd: NDArray[np.int8],
    objects: NDArray[Any],
    time_us: NDArray[Any],
) -> NDArray[np.int64]:
    # An age below 0 counts as 0.
    age_s = np.maximum((time_us - born_us[objects]) / 1e6, 0.0)
    age = np.searchsorted(AGE_EDGES_S, age_s, side="right") - 1
    held = crowd[objects].astype(np.int64)
    classes: NDArray[np.int64] = np.where(held >= 0, NUM_AGES + held, age)
    return classes


def _unknown_births(first: Acts, born_us: NDArray[np.int64]) -> NDArray[np.int8]:
    """`TimingNull.crowd`: objects that nothing told of before their first touch, by their users."""
    touched = np.full(len(born_us), 2**62, dtype=np.int64)
    np.minimum.at(touched, first.object, first.time_us)
    users = np.bincount(first.object, minlength=len(born_us))
    size = np.minimum(np.log2(np.maximum(users, 1)).astype(np.int8), NUM_SIZES - 1)
    crowd: NDArray[np.int8] = np.where(touched <= born_us, size, -1).astype(np.int8)
    return crowd


def timing_null(
    acts: Acts,
    found: Coactions | ObjectPairs,
    born_us: NDArray[np.int64],
    windows_us: list[int],
) -> TimingNull:
    """Pool over all objects how often touches of given classes meet within each window.

    Args:
        acts: All events of the trace.
        found: Its meetings within the widest window; bursts are left out on both sides.
        born_us: First sight of each object, shape [num_objects].
        windows_us: The windows.

    Cost: O(events + meetings); memory seven bytes a meeting.
    """
    first = acts.first_touches
    crowd = _unknown_births(first, born_us)
    num = NUM_AGES + NUM_SIZES
    null = TimingNull(np.zeros((len(windows_us), num, num)), born_us, crowd)
    calm = ~np.isin(first.object, found.burst_objects)
    objects, place = np.unique(first.object[calm], return_inverse=True)
    classes = null.classes(first.object[calm], first.time_us[calm])
    counts = np.bincount(place * num + classes, minlength=len(objects) * num).astype(np.float64)
    counts = counts.reshape(len(objects), num)
    met = _met(found.meetings, objects, null, windows_us)
    for number, window in enumerate(windows_us):
        null.rate[number] = _pooled_rate(counts, met.within(number), _prior(window))
    return null


@dataclass(frozen=True)
class _Met:
    """What the null needs of each meeting, shape [num_meetings] each.

    Attributes:
        place: Row of the object.
        classes: Classes of the earlier and of the later act, in one number.
        window: The smallest window that holds it.
    """

    place: NDArray[np.int32]
    classes: NDArray[np.uint16]
    window: NDArray[np.uint8]

    def within(self, number: int) -> "_Met":
        inside = self.window <= number
        return self if inside.all() else _Met(*(one[inside] for one in self._columns))

    @property
    def _columns(self) -> tuple[NDArray[Any], ...]:
        return self.place, self.classes, self.window


def _met(
    meetings: Meetings, objects: NDArray[Any], null: TimingNull, windows_us: list[int]
) -> _Met:
    """Objects, classes and windows of meetings, made a block at a time."""
    acts, size = meetings.acts, len(meetings)
    met = _Met(np.empty(size, np.int32), np.empty(size, np.uint16), np.empty(size, np.uint8))
    for part in meetings.blocks():
        one, other = meetings.one[part], meetings.other[part]
        thing = acts.object[one]
        both = [null.classes(thing, acts.time_us[place]) for place in (one, other)]
        met.place[part] = np.searchsorted(objects, thing)
        met.classes[part] = both[0] * (NUM_AGES + NUM_SIZES) + both[1]
        met.window[part] = np.searchsorted(windows_us, meetings.gap_us(part))
    return met


def _pooled_rate(counts: Floats, met: _Met, prior: Floats) -> Floats:
    """Share of pairs of touches that meet, by their classes; no object speaks louder than it may.

    Pooling is not enough where rings are a fair part of a small platform: twenty members on ten
    posts are most of all meetings, and hide themselves. An object's meetings therefore count at
    most `LOUDEST` times what its touches let expect (and a few), until that settles.
    """
    chances = counts.T @ counts - np.diag(counts.sum(axis=0))
    # Where nobody met there is nothing to weigh.
    held, place = np.unique(met.place, return_inverse=True)
    counts = counts[held]
    tally = np.bincount(place, minlength=len(held)).astype(np.float64)
    weight = np.ones(len(held))
    rate = prior
    for _ in range(ROUNDS):
        # Weights are whole parts of 2**20, so that their sum has one value in any order.
        weight = np.floor(weight * FINE) / FINE
        loud = np.bincount(met.classes, weight[place], prior.size).reshape(prior.shape)
        rate = np.minimum(1.0, (loud + loud.T + 0.5 * prior) / np.maximum(chances + 0.5, 0.5))
        # Pairs of distinct touches of one object, each once.
        usual = 0.5 * (((counts @ rate) * counts).sum(axis=1) - counts @ np.diag(rate))
        weight = np.minimum(1.0, (LOUDEST * usual + FEW) / tally)
    return rate


def timing_p(
    acts: Acts, pairs: pl.DataFrame, weights: NDArray[np.int64], window: int, null: TimingNull
) -> Floats:
    """log10 p of meeting `weights` times within a window, given all objects the two both touched.

    Args:
        acts: All events of the trace.
        pairs: `user_a`, `user_b` of the pairs to test (those that passed the first test).
        weights: Objects on which each pair met within the window.
        window: Which of the null's windows.
        null: Pooled rates.

    Returns:
        Shape [num_pairs]. The number of meetings is a sum of unlike coins; above the mean its tail
        is bounded from above by that of as many like ones (Hoeffding 1956).
    """
    first = acts.first_touches
    table = pl.DataFrame({"user": first.user, "object": first.object, "time_us": first.time_us})
    numbered = pairs.select("user_a", "user_b").with_row_index("pair")
    common = numbered.join(table, left_on="user_a", right_on="user", how="inner").join(
        table, left_on=["user_b", "object"], right_on=["user", "object"], suffix="_b", how="inner"
    )
    objects = common.get_column("object").to_numpy()
    chance = null.rate[
        window,
        null.classes(objects, common.get_column("time_us").to_numpy()),
        null.classes(objects, common.get_column("time_us_b").to_numpy()),
    ]
    pair = common.get_column("pair").to_numpy()
    expected = np.bincount(pair, chance, len(pairs))
    return log10_binomial_tail(weights, np.bincount(pair, minlength=len(pairs)), expected)


def sharing_p(
    user: NDArray[Any], objects: NDArray[Any], pairs: pl.DataFrame, num_users: int
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """log10 p of sharing so many objects so rare, and what was expected.

    Under a degree-preserving null a pair shares d_a d_b S(n) / D^2 objects of at most n users,
    where S(n) = sum of n_o (n_o - 1) over these objects. The rarest classes are tried by powers of
    two, the smallest p counts times their number: a café of hundreds says nothing, a device of
    three says much.

    Args:
        user: User of each distinct (user, object), shape [m].
        objects: Object of it, shape [m].
        pairs: `user_a`, `user_b`, and the list `sizes`: users of each object they share.
        num_users: Number of users.

    Returns:
        log10 p, expected number and number shared in the class that decided; shape [pairs] each.
    """
    degree = np.bincount(user, minlength=num_users).astype(np.float64)
    total = max(degree.sum(), 1.0)
    _, sizes = np.unique(objects, return_counts=True)
    classes = 2 ** np.arange(1, max(int(np.ceil(np.log2(max(sizes.max(initial=2), 2)))), 1) + 1)
    a, b = (pairs.get_column(name).to_numpy() for name in ("user_a", "user_b"))
    best = np.zeros(len(pairs))
    expected, shared = np.zeros(len(pairs)), np.zeros(len(pairs), dtype=np.int64)
    per_pair = pairs.get_column("sizes").list.len().to_numpy()
    pair = np.repeat(np.arange(len(pairs)), per_pair)
    size = pairs.get_column("sizes").explode(keep_nulls=False, empty_as_null=False).to_numpy()
    counted = np.zeros(len(pairs), dtype=np.int64)
    for below, limit in zip(np.append(0, classes[:-1]), classes, strict=True):
        held = sizes[sizes <= limit].astype(np.float64)
        meetings = (held * (held - 1)).sum()
        new = pair[(size > below) & (size <= limit)]
        counted += np.bincount(new, minlength=len(pairs))
        # More is expected in every wider class, so only a pair that shares more may gain.
        more = np.unique(new)
        mean = degree[a[more]] * degree[b[more]] * meetings / total**2
        log_p = log10_poisson_tail(counted[more], mean)
        better = log_p < best[more]
        gained = more[better]
        best[gained] = log_p[better]
        expected[gained], shared[gained] = mean[better], counted[gained]
    return np.minimum(best + np.log10(len(classes)), 0.0), expected, shared


def log10_q(log10_p: NDArray[Any], num_tests: float) -> Floats:
    """Benjamini-Hochberg over `num_tests` tests, of which only the smallest p are given.

    Args:
        log10_p: Shape [n].
        num_tests: All tests made, seen or not; at least n.

    Returns:
        log10 of the smallest false-discovery rate at which each is a discovery, at most 0.

    >>> np.round(log10_q(np.array([-10.0, -3.0]), 1000), 2).tolist()
    [-7.0, -0.3]
    """
    order = np.argsort(log10_p, kind="stable")
    rank = np.arange(1, len(order) + 1)
    raised = log10_p[order] + np.log10(max(num_tests, 1.0)) - np.log10(rank)
    lowest = np.minimum.accumulate(raised[::-1])[::-1]
    result = np.empty(len(order))
    result[order] = np.minimum(lowest, 0.0)
    return result


def all_pairs(num_users: int) -> float:
    """Pairs of users, U (U - 1) / 2."""
    return num_users * (num_users - 1) / 2


def _prior(window_us: int) -> Floats:
    """Chance of meeting where little was seen: both anywhere in their ages, or in a day."""
    ages = np.diff(np.append(AGE_EDGES_S[:-1], 2 * AGE_EDGES_S[-2]))
    width = np.concatenate([ages, np.full(NUM_SIZES, 86_400.0)])
    chance: Floats = np.minimum(1.0, 2 * window_us / 1e6 / np.maximum.outer(width, width))
    return chance

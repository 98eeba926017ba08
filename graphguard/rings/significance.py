"""How likely is a pair's common activity by chance: p-values under nulls, and their discovery rate.

Everything is kept as log10, since a ring's p underflows. Where several tests are made of one pair
the smallest p counts times their number; Benjamini-Hochberg then goes over all pairs of users, not
only over those that were seen together.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.graph.ranges import distinct
from graphguard.rings.coaction import Coactions

Floats = NDArray[np.float64]
LN10 = np.log(10.0)
STIRLING = (
    8.11614167470508450300e-4,
    -5.95061904284301438324e-4,
    7.93650340457716943945e-4,
    -2.77777777730099687205e-3,
    8.33333333333331927722e-2,
)
"""Cephes' coefficients of Stirling's series below a thousand, of the highest power first."""
STIRLING_FAR = (7.9365079365079365079365e-4, -2.7777777777777777777778e-3, 1 / 12)
HALF_LOG_2PI = 0.91893853320467274178


def log_factorial(number: NDArray[Any]) -> Floats:
    """Natural logarithm of n!, n whole and 0 or more, as `scipy.special.gammaln(n + 1)` has it.

    Not by SciPy, since importing that much takes as long as all tests of a million acts; and not
    by `math.lgamma`, whose last bit differs.

    >>> log_factorial(np.array([1, 3])).round(6).tolist()
    [0.0, 1.791759]
    """
    known, place = np.unique(number, return_inverse=True)
    values = np.array([_log_factorial(float(one)) for one in known.tolist()], dtype=np.float64)
    return values[place]


def _log_factorial(number: float) -> float:
    if number < 12:
        return math.log(math.factorial(int(number)))
    x = number + 1.0
    power, series = 1.0 / (x * x), 0.0
    for one in STIRLING if x < 1000 else STIRLING_FAR:
        series = series * power + one
    return (x - 0.5) * math.log(x) - x + HALF_LOG_2PI + series / x


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
    first = high * np.log(usual) - usual - log_factorial(high)
    tail[far] = first - np.log1p(-np.minimum(usual / (high + 1), 1 - 1e-12))
    if not far.all():
        tail[~far] = _log_usual_tail(count[~far], mean[~far])
    result: Floats = np.minimum(tail / LN10, 0.0)
    return result


def _log_usual_tail(count: Floats, mean: Floats) -> Floats:
    # SciPy takes long to import, and who asks for what is unlikely only never comes here.
    from scipy.special import pdtrc

    # None or more is certain, which the function does not say of -1.
    below = count - 1
    tail: Floats = np.log(np.where(below < 0, 1.0, pdtrc(np.maximum(below, 0), mean)))
    return tail


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
    first = log_factorial(n) - log_factorial(k) - log_factorial(n - k)
    first += k * np.log(share) + (n - k) * np.log1p(-share)
    ratio = (n - k) / (k + 1) * share / (1 - share)
    tail[far] = first - np.log1p(-np.minimum(ratio, 1 - 1e-12))
    result: Floats = np.minimum(tail / LN10, 0.0)
    return result


def expected_weights(coactions: Coactions, window: int) -> Floats:
    """Objects that each pair would share within a window by chance: d_a d_b S / D^2.

    d are the visits of each user, D their sum and S the ordered pairs of visits within the
    window: who acts keeps his activity, and every object its crowd. Summed over all pairs this is
    S/2, less what falls on one and the same user. All visits count, not only those that somebody
    else was near: else a ring that meets where nobody else does is the rate, and hides itself.

    Args:
        coactions: What `find_coactions` found.
        window: Which of the windows.

    Returns:
        Shape [num_pairs].
    """
    visits = coactions.visits.astype(np.float64)
    total = max(visits.sum(), 1.0)
    a = coactions.pairs.get_column("user_a").to_numpy()
    b = coactions.pairs.get_column("user_b").to_numpy()
    weights: Floats = visits[a] * visits[b] * coactions.visit_pairs[window] / total**2
    return weights


@dataclass(frozen=True)
class SecondTest:
    """What the null of timing, or that of interest, says of pairs, shape [num_pairs] each.

    Attributes:
        together: Objects that both touched, whenever; -1 where that was not asked.
        expected: On how many they would meet within the window by chance.
        log10_p: Of meeting as often as they did.
    """

    together: NDArray[np.int64]
    expected: Floats
    log10_p: Floats


@dataclass(frozen=True)
class SharingTest:
    """What chance says of pairs that share objects, shape [num_pairs] each but `tests`.

    Attributes:
        most_users: Users of an object up to which it counts, in the class that decided.
        shared: Objects of the class that the pair shares.
        expected: How many it would share by chance.
        log10_p: Of the pair, over all classes.
        tests: Number of classes.
    """

    most_users: NDArray[np.int64]
    shared: NDArray[np.int64]
    expected: Floats
    log10_p: Floats
    tests: int


def sharing_test(
    user: NDArray[Any], objects: NDArray[Any], pairs: pl.DataFrame, num_users: int
) -> SharingTest:
    """How likely is it to share so many objects so rare?

    Under a degree-preserving null a pair shares d_a d_b S(n) / D^2 objects of at most n users,
    where S(n) = sum of n_o (n_o - 1) over these objects. The rarest classes are tried by powers of
    two, the smallest p counts times their number: a café of hundreds says nothing, a device of
    three says much.

    Args:
        user: User of each distinct (user, object), shape [m].
        objects: Object of it, shape [m].
        pairs: `user_a`, `user_b`, and the list `sizes`: users of each object they share.
        num_users: Number of users.
    """
    degree = np.bincount(user, minlength=num_users).astype(np.float64)
    total = max(degree.sum(), 1.0)
    _, sizes = np.unique(objects, return_counts=True)
    classes = 2 ** np.arange(1, max(int(np.ceil(np.log2(max(sizes.max(initial=2), 2)))), 1) + 1)
    a, b = (pairs.get_column(name).to_numpy() for name in ("user_a", "user_b"))
    best = np.zeros(len(pairs))
    expected, shared = np.zeros(len(pairs)), np.zeros(len(pairs), dtype=np.int64)
    most = np.full(len(pairs), classes[-1], dtype=np.int64)
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
        more = distinct(new)
        mean = degree[a[more]] * degree[b[more]] * meetings / total**2
        log_p = log10_poisson_tail(counted[more], mean)
        better = log_p < best[more]
        gained = more[better]
        best[gained] = log_p[better]
        expected[gained], shared[gained] = mean[better], counted[gained]
        most[gained] = limit
    log10_p = np.minimum(best + np.log10(len(classes)), 0.0)
    return SharingTest(most, shared, expected, log10_p, len(classes))


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
    raised = log10_q_at(log10_p[order], num_tests, np.arange(1, len(order) + 1))
    result = np.empty(len(order))
    result[order] = np.minimum.accumulate(raised[::-1])[::-1]
    return result


def log10_q_at(log10_p: NDArray[Any], num_tests: float, rank: NDArray[Any]) -> Floats:
    """log10 of the share of chance among the `rank` least likely of so many tests, at most 0."""
    q: Floats = np.minimum(log10_p + np.log10(max(num_tests, 1.0)) - np.log10(rank), 0.0)
    return q


def q_steps(log10_p: NDArray[Any], num_tests: float) -> tuple[Floats, NDArray[np.int64]]:
    """From which test each takes its q of `log10_q`: log10 p of that test, and its rank.

    It is the test itself, or one that is likelier, and yet has less of chance among those up to it.

    >>> q_steps(np.array([-10.0, -3.0, -2.9]), 1000)[1].tolist()
    [1, 3, 3]
    """
    order = np.argsort(log10_p, kind="stable")
    p, rank = log10_p[order], np.arange(1, len(order) + 1)
    at = lowest_after(log10_q_at(p, num_tests, rank))
    steps, ranks = np.empty(len(order)), np.empty(len(order), dtype=np.int64)
    steps[order], ranks[order] = p[at], rank[at]
    return steps, ranks


def lowest_after(values: Floats) -> NDArray[np.int64]:
    """Place of the lowest value from each place on; of equal ones the first.

    >>> lowest_after(np.array([3.0, 1.0, 2.0, 2.0])).tolist()
    [1, 1, 2, 3]
    """
    lowest = np.minimum.accumulate(values[::-1])[::-1]
    places = np.where(values == lowest, np.arange(len(values)), len(values))
    first: NDArray[np.int64] = np.minimum.accumulate(places[::-1])[::-1]
    return first


def all_pairs(num_users: int) -> float:
    """Pairs of users, U (U - 1) / 2."""
    return num_users * (num_users - 1) / 2

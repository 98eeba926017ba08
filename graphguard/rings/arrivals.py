"""How many strangers come to an object at its ages: pooled over objects, and of each what it drew.

An object of a given age draws so many users an hour, in the evening more than at night, and the
loved more than others, of which most draw none: a gamma that is
fitted to how many came to each (Greenwood and Yule 1920). What came to an object at other times
tells how loved it is, and so how many are to be expected while somebody looks (negative binomial).
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from graphguard.rings.significance import LN10, Floats
from graphguard.rings.timing_rate import AGE_EDGES_S, NUM_AGES

Ints = NDArray[np.int64]

EDGES_US = np.append(AGE_EDGES_S[:-1], 2.0**40) * 1e6
HOUR_US = 3_600_000_000
LEAST_EXPECTED = 0.05
"""Objects that were looked at for less than this say nothing of how unlike they are."""
CELLS = 200
"""Classes of expectation, by which objects of one count are put together."""
TOGETHER = 4
"""How many times as far as it is asked for a sum's tail is followed."""
NEARLY = 1e-9
"""A tail below this is summed up, and not what is left of 1."""
LEAST_SHAPE, MOST_SHAPE = np.exp(-5.0), np.exp(5.0)


@dataclass(frozen=True)
class Arrivals:
    """What strangers do.

    Attributes:
        rate: Users a microsecond that come to an object, by class of age, shape [NUM_AGES].
        shape: Of the gamma by which objects differ, its mean being 1.
        hours: How many times as many come in each hour of the day (UTC), shape [24], mean 1.
    """

    rate: Floats
    shape: float
    hours: Floats = field(default_factory=lambda: np.ones(24))

    def expected(self, born_us: Ints, since_us: Ints, until_us: Ints) -> Floats:
        """Users that come to usual objects in a span, shape [num_objects]."""
        total = np.zeros(len(born_us))
        for number in range(NUM_AGES):
            total += self.rate[number] * _looked_at(number, born_us, since_us, until_us)
        return total * self._of_day(since_us, until_us)

    def _of_day(self, since_us: Ints, until_us: Ints) -> Floats:
        """How busy the hours of a span are beside those of a whole day."""
        done = np.append(0.0, np.cumsum(self.hours)) * HOUR_US
        edges = np.arange(25) * float(HOUR_US)

        def until(time_us: Ints) -> Floats:
            day, rest = np.divmod(time_us, 24 * HOUR_US)
            whole: Floats = day * float(24 * HOUR_US) + np.interp(rest, edges, done)
            return whole

        length = np.maximum(until_us - since_us, 1)
        busy: Floats = (until(since_us + length) - until(since_us)) / length
        return busy


def fit_arrivals(born_us: Ints, thing: Ints, time_us: Ints, span: tuple[int, int]) -> Arrivals:
    """Learn how many come at which age, and how unlike objects are.

    Args:
        born_us: When each object was made, shape [num_objects]: those without a touch too.
        thing: Object of each touch of the span, shape [num_touches]; a user once on each.
        time_us: When.
        span: Its beginning and end.

    Cost: O(objects + touches), twenty passes over the objects.
    """
    age = time_us - born_us[thing]
    old = age >= 0
    number = np.searchsorted(EDGES_US, age[old], side="right") - 1
    touches = np.bincount(number, minlength=NUM_AGES).astype(np.float64)
    since, until = np.array([span[0]]), np.array([span[1]])
    looked = np.array([_looked_at(one, born_us, since, until).sum() for one in range(NUM_AGES)])
    hour = time_us[old] // HOUR_US % 24
    # One is added to each, so that few touches say little.
    hours = np.bincount(hour, minlength=24) + 1.0
    arrivals = Arrivals(touches / np.maximum(looked, 1.0), 1.0, hours / hours.mean())
    expected = arrivals.expected(born_us, since, until)
    counts = np.bincount(thing[old], minlength=len(born_us))
    return replace(arrivals, shape=_shape(counts, expected))


def log10_strangers_tail(others: Ints, came: Ints, shape: Floats, expected: Floats) -> Floats:
    """log10 of the chance that so many strangers or more come to an object in a span.

    Above the mean a geometric series bounds the tail from above by its first term.

    Args:
        others: How many came in the span, shape [n] or [k, n].
        came: How many came at other times.
        shape: `Arrivals.shape`.
        expected: Of a usual object, in the span and at other times, shape [2, n].

    >>> tail = log10_strangers_tail(*np.array([[3], [0]]), np.array([1.0]), np.array([[1.0], [0]]))
    >>> np.round(tail, 3).tolist()
    [-0.903]
    """
    from scipy.special import betainc, gammaln

    others, size = np.broadcast_arrays(others, came + shape)
    share = np.maximum(expected[0], 1e-12) / (shape + expected.sum(axis=0))
    share = np.broadcast_to(np.minimum(share, 1 - 1e-12), others.shape)
    # No term is more than so many times the one before it.
    ratio = share * np.maximum((others + size) / (others + 1), 1.0)
    far = (others > 0) & (ratio < 0.5)
    tail = np.zeros(others.shape)
    near = (others > 0) & ~far
    tail[near] = np.log(np.maximum(betainc(others[near], size[near], share[near]), 1e-300))
    first = gammaln(others + size) - gammaln(size) - gammaln(others + 1.0)
    first = first + others * np.log(share) + size * np.log1p(-share)
    tail[far] = first[far] - np.log1p(-ratio[far])
    result: Floats = np.minimum(tail / LN10, 0.0)
    return result


def log10_together_tails(came: Ints, shape: Floats, expected: Floats, most: int) -> Floats:
    """log10 of the chance that a stranger or more, two or more and so on come to several objects.

    Counted over all objects together, shape [most].

    Args:
        came: How many came to each object at other times, shape [n].
        shape: `Arrivals.shape`.
        expected: Of usual objects, in the span and at other times, shape [2, n].
        most: Up to how many.

    Cost: O(n (4 most)^2).

    >>> tails = log10_together_tails(np.array([0]), np.ones(1), np.array([[1.0], [0.0]]), 3)
    >>> np.round(tails, 3).tolist()
    [-0.301, -0.602, -0.903]
    """
    from scipy.stats import nbinom

    share = np.maximum(expected[0], 1e-12) / (shape + expected.sum(axis=0))
    counts = np.arange(TOGETHER * most)
    every = np.ones(1)
    for each in nbinom.pmf(counts[:, np.newaxis], came + shape, 1 - share).T:
        every = np.convolve(every, each)[: len(counts)]
    fewer = np.cumsum(every)[:most]
    # A small tail is summed up, since 1 less nearly 1 is nothing; of a large one the end may lie
    # beyond the counts.
    summed = np.cumsum(every[::-1])[::-1][1 : most + 1]
    tail = np.where(fewer < 1 - NEARLY, 1 - fewer, summed)
    result: Floats = np.minimum(np.log10(np.maximum(tail, 1e-300)), 0.0)
    return result


def strangers(came: Ints, shape: Floats, expected: Floats) -> Floats:
    """How many strangers are to be expected in a span; arguments as in `log10_strangers_tail`."""
    mean: Floats = (shape + came) / (shape + expected[1]) * expected[0]
    return mean


def _looked_at(number: int, born_us: Ints, since_us: Ints, until_us: Ints) -> Floats:
    """Microseconds of a span in which objects were of a class of age, shape [num_objects]."""
    begin = np.maximum(born_us + EDGES_US[number], since_us)
    end = np.minimum(born_us + EDGES_US[number + 1], until_us)
    looked: Floats = np.maximum(end - begin, 0.0)
    return looked


def _shape(counts: Ints, expected: Floats) -> float:
    """The gamma's likeliest shape where each object was to have so many touches, and had these."""
    from scipy.optimize import minimize_scalar
    from scipy.special import gammaln

    held = expected >= LEAST_EXPECTED
    if not held.any():
        return 1.0
    steps = np.round(np.log(expected[held]) * (CELLS / 20)).astype(np.int64)
    least, width = steps.min(), np.ptp(steps) + 1
    cells, times = np.unique(counts[held] * width + (steps - least), return_counts=True)
    count, mean = cells // width, np.exp((cells % width + least) * (20 / CELLS))

    def unlikely(log_shape: float) -> float:
        shape = np.exp(log_shape)
        each = gammaln(count + shape) - gammaln(shape) + shape * np.log(shape / (shape + mean))
        each += count * np.log(mean / (shape + mean))
        return float(-(each * times).sum())

    bounds = (np.log(LEAST_SHAPE), np.log(MOST_SHAPE))
    return float(np.exp(minimize_scalar(unlikely, bounds=bounds, method="bounded").x))

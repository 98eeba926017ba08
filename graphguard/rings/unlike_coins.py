"""How likely are so many heads of coins that are unlike each other (the Poisson binomial)?

The chance of each number of heads is made coin by coin, for many sets of coins at once. Every term
is positive, so the tail has full relative precision, however small it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphguard.rings.meetings import blocks_of
from graphguard.rings.significance import LN10

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
LEAST_CHANCE = 1e-100
"""No coin is taken to be less likely, which errs on the safe side."""
LEAST_TAIL = -250.0
"""log10 of what may become smaller only by way of other coins, or it would underflow."""
HALVINGS = 24
MOST_STEPS = 1 << 20
"""Coins times heads of a set above which its tail is bounded and not made."""
CELLS_AT_ONCE = 1 << 20


def log10_coins_tail(count: NDArray[np.int64], owner: Ints, chance: Floats) -> Floats:
    """log10 of the chance of `count` heads or more, of each set of coins.

    A set of more than `MOST_STEPS` coins times heads gets Chernoff's bound, which is above it.

    Args:
        count: Heads of each set, shape [num_sets].
        owner: Set of each coin, shape [num_coins], any order.
        chance: Of its head, in [0, 1].

    Returns:
        Shape [num_sets], at most 0; 0 too where a set has fewer coins than heads, which is an error
        of the caller's and shall surprise nobody.

    Cost: time O(sum of coins times heads), memory some tens of megabytes.

    >>> tail = log10_coins_tail(np.array([2]), np.array([0, 0]), np.array([0.1, 0.01]))
    >>> np.round(tail, 6).tolist()
    [-3.0]
    """
    count = count.astype(np.int64)
    number = np.bincount(owner, minlength=len(count))
    begin = np.cumsum(number) - number
    coins = np.clip(chance[np.argsort(owner, kind="stable")], LEAST_CHANCE, 1.0)
    tail = np.zeros(len(count))
    asked = np.flatnonzero((count > 0) & (count <= number))
    # Sets of like size share a table without much of it empty.
    asked = asked[np.lexsort((count[asked], number[asked]))]
    size = (number + count)[asked]
    for part in blocks_of(size, CELLS_AT_ONCE):
        for mine in _alike(asked[part], number):
            sets = _Sets.of(coins, begin[mine], number[mine], count[mine])
            tail[mine] = sets.log_tail() / LN10
    result: Floats = np.minimum(tail, 0.0)
    return result


def _alike(sets: Ints, number: Ints) -> Iterator[Ints]:
    """Sets in order of their coins, in parts whose largest has at most twice as many and some."""
    while len(sets):
        most = 2 * number[sets[0]] + 8
        end = int(np.searchsorted(number[sets], most, side="right"))
        yield sets[:end]
        sets = sets[end:]


@dataclass(frozen=True)
class _Sets:
    """Some sets of coins, leaned towards their heads so that nothing underflows.

    A coin of chance p, leaned by t, has chance p e^t / m with m = 1 - p + p e^t. The chance of n
    heads is then that of the leaned coins times the product of all m, over e^(t n).

    Attributes:
        count: Heads of each set, shape [num_sets].
        leaned: Chance of each coin, leaned; shape [most coins, num_sets], 0 beyond a set's coins.
        log_m: Logarithm of m of each coin, same shape.
        lean: t of each set, 0 where nothing would underflow.
    """

    count: Ints
    leaned: Floats
    log_m: Floats
    lean: Floats

    @classmethod
    def of(cls, coins: Floats, begin: Ints, number: Ints, count: Ints) -> "_Sets":
        """The sets whose coins begin at these places of `coins`."""
        place = np.arange(int(number.max()))[:, None]
        inside = place < number
        chance = np.where(inside, coins[np.where(inside, begin + place, 0)], 0.0)
        least = np.where(inside, chance, 1.0).min(axis=0)
        deep = count * np.log10(least) < LEAST_TAIL
        deep |= number * count > MOST_STEPS
        lean = np.zeros(len(count))
        lean[deep] = _lean(chance[:, deep], count[deep])
        m = 1.0 + chance * np.expm1(lean)
        return cls(count, chance * np.exp(lean) / m, np.log(m), lean)

    def log_tail(self) -> Floats:
        """Logarithm of each tail, or of a bound of it."""
        bound: Floats = self.log_m.sum(axis=0) - self.lean * self.count
        large = (self.leaned > 0).sum(axis=0) * self.count > MOST_STEPS
        exact = np.flatnonzero(~large)
        if len(exact):
            bound[exact] += np.log(self._beyond(exact))
        return bound

    def _beyond(self, sets: Ints) -> Floats:
        """Leaned chance of each number of heads from `count` on, less t for each one more."""
        heads, fall = self.leaned[:, sets], np.exp(-self.log_m[:, sets])
        tails = 1.0 - heads
        most = int(self.count[sets].max())
        # All sets count up to one number: who asks for fewer begins with a lead.
        state = np.zeros((most, len(sets)))
        state[most - self.count[sets], np.arange(len(sets))] = 1.0
        enough = np.zeros(len(sets))
        for head, tail, less in zip(heads, tails, fall, strict=True):
            enough = enough * less + state[-1] * head
            moved = state[:-1] * head
            state *= tail
            state[1:] += moved
        return enough


def _lean(chance: Floats, count: Ints) -> Floats:
    """The t with which a set's mean is about `count`; any t of at least 0 gives a right answer."""
    low, high = np.zeros(len(count)), np.full(len(count), -2 * np.log(LEAST_CHANCE) / 1.5)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        more = np.exp(middle) * chance
        below = (more / (1.0 + chance * np.expm1(middle))).sum(axis=0) < count - 0.5
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return low

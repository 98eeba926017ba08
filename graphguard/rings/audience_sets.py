"""Several objects that share one audience, none two of which share enough to be told.

A set begins with two objects, and the object whose audience holds most unlikely many of their users
joins it, and so on. Each object is held against all users of those before it, under the null of
`rings/tastes.py`: given these, its audience is chance. So the p of a set of k are k - 1 draws, and
chance makes so many sets whose product is as small: the ways to begin and to go on, times the
chance that k - 1 even draws have so small a product (Fisher's).
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csc_array

from graphguard.rings.significance import LN10, all_pairs, log10_poisson_tail, log_factorial
from graphguard.rings.tastes import Tastes

Ints = NDArray[np.int64]
MOST_THINGS = 12
"""Objects of a set; groups of objects are extended later."""
NO_MORE = -3.0
"""log10 p from which on an object that joins last is no longer worth its place."""
MOST_SEEDS = 20_000
"""Pairs that a set is grown from, the most unlikely first."""


@dataclass(frozen=True)
class AudienceSet:
    """Objects that share one audience.

    Attributes:
        things: Places of the audiences, in the order in which they joined.
        log10_q: Expected number of sets that chance makes of as unlikely objects.
        draws: log10 p of the first two, and of each that joined.
    """

    things: Ints
    log10_q: float
    draws: tuple[float, ...]


def audience_sets(tastes: Tastes, pairs: pl.DataFrame, log10_rate: float) -> list[AudienceSet]:
    """Sets that chance does not make, grown from pairs.

    Args:
        tastes: All audiences.
        pairs: `object_a`, `object_b` (places), `log10_p`: where sets may begin.
        log10_rate: log10 of the expected number of sets told by chance.

    Returns:
        Sets with at most that `log10_q`, of three objects or more. A pair inside one begins none.

    Cost: of a pair, O(touches of its users) for each object that joins.
    """
    by_user = csc_array(tastes.users)
    seeds = pairs.sort("log10_p", "object_a", "object_b").head(MOST_SEEDS)
    found: list[AudienceSet] = []
    inside: set[int] = set()
    for one, other, p in seeds.select("object_a", "object_b", "log10_p").iter_rows():
        if one in inside and other in inside:
            continue
        grown = _grown(tastes, by_user, (one, other), p)
        if grown is not None and grown.log10_q <= log10_rate:
            found.append(grown)
            inside |= set(grown.things.tolist())
    return found


def log10_sets(log10_p: float, size: int, num_things: int) -> float:
    """log10 of the expected number of sets of so many objects with so small a product, at most.

    >>> round(log10_sets(-30.0, 3, 1_000), 2)
    -18.43
    """
    begin = np.log10(all_pairs(num_things)) + (size - 2) * np.log10(num_things)
    return float(begin + _log10_product(log10_p, size - 1) + np.log10(MOST_THINGS))


def _log10_product(log10_p: float, draws: int) -> float:
    """log10 of the chance that even draws have a product as small."""
    number = np.arange(draws)
    terms = number * np.log(max(-log10_p * LN10, 1e-9)) - log_factorial(number)
    return float(min(log10_p + np.logaddexp.reduce(terms) / LN10, 0.0))


def _grown(
    tastes: Tastes, by_user: csc_array, seed: tuple[int, int], log10_p: float
) -> AudienceSet | None:
    """The least likely of the sets that a pair grows into; None where nothing joins it."""
    things = list(seed)
    users = np.union1d(*(tastes.audience(thing) for thing in things))
    best: AudienceSet | None = None
    draws = [log10_p]
    while len(things) < MOST_THINGS:
        came = np.bincount(by_user[:, users].indices, minlength=len(tastes))
        # What one author makes has one audience.
        others = ~np.isin(tastes.source, tastes.source[things])
        near = np.flatnonzero((came >= 2) & others)
        if not len(near):
            return best
        expected = tastes.of_set(users, near, came[near], np.array(things))
        p = log10_poisson_tail(came[near], expected)
        chosen = int(p.argmin())
        draws.append(float(p[chosen]))
        log10_p += draws[-1]
        things.append(int(near[chosen]))
        q = log10_sets(log10_p, len(things), len(tastes))
        if best is None or q < best.log10_q:
            best = AudienceSet(np.array(things), q, tuple(draws))
        if p[chosen] > NO_MORE:
            return best
        users = np.union1d(users, tastes.audience(things[-1]))
    return best

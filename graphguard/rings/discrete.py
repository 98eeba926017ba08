"""The false-discovery rate of counts, few of which can be unlikely.

A test that counts whole things has few p that it can have, and most tests where hardly anything is
expected can have no low one at all. So the discoveries at a p are held against what chance gives
there in all tests together (Heyse, A false discovery rate procedure for categorical data, 2011),
not against their number.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphguard.rings.significance import lowest_after

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Steps(NamedTuple):
    """From which discovery each takes its q: how many chance gives down to it (log10), its rank."""

    log10_false: Floats
    rank: Ints


def discrete_steps(log10_p: Floats, log10_tails: Floats, tests: Floats) -> Steps:
    """What chance gives in all tests down to each p, where that is the least share.

    Args:
        log10_p: Of the discoveries.
        log10_tails: The p that a test has of one, of two and so on, shape [most, n], falling: it
            has a p of at most t with the largest of them that is no more.
        tests: How many tests are such, shape [n].

    >>> found = np.array([-3.0, -2.0])
    >>> steps = discrete_steps(found, np.array([[-3.0]]), np.array([10.0]))
    >>> np.round(10 ** log10_discrete_q(found, *steps), 4).tolist()
    [0.005, 0.005]
    """
    share = 10**log10_tails
    # A tail adds to what chance gives at it what the next one has not given before.
    gives = (share - np.append(share[1:], np.zeros((1, share.shape[1])), axis=0)) * tests
    ascending = np.argsort(log10_tails, axis=None)
    false = np.concatenate([[0.0], np.cumsum(gives.ravel()[ascending])])
    # The same tail made twice may differ in its last bits.
    below = np.searchsorted(log10_tails.ravel()[ascending], log10_p + 1e-9, side="right")
    order = np.argsort(log10_p, kind="stable")
    rank = np.searchsorted(log10_p[order], log10_p, side="right")
    with np.errstate(divide="ignore"):
        expected = np.maximum(np.log10(false[below]), log10_p)[order]
    at = lowest_after(expected - np.log10(rank[order]))
    steps = Steps(np.empty(len(order)), np.empty(len(order), dtype=np.int64))
    steps.log10_false[order], steps.rank[order] = expected[at], rank[order][at]
    return steps


def log10_discrete_q(log10_p: Floats, log10_false: Floats, rank: Ints) -> Floats:
    """log10 of the expected share of false discoveries of tests with these steps."""
    q: Floats = np.minimum(np.maximum(log10_false, log10_p) - np.log10(rank), 0.0)
    return q

"""Groups of near things: each is near its group's centre, so nothing chains.

Reads pairs, writes nothing. In order of rank a thing that has no centre becomes one, and takes what
is near it and free. Method: Ailon, Charikar, Newman 2008, "Aggregating Inconsistent Information":
in a random order this is a 3-approximation of correlation clustering.
"""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def centres(rank: Ints, pairs: Ints) -> Ints:
    """The centre of each thing's group, itself where it is one.

    Args:
        rank: Order of the things, a permutation of 0 .. num_things - 1.
        pairs: Near pairs, shape [2, num_pairs].

    Returns:
        Shape [num_things].

    Cost: O(pairs) a round, as many rounds as the longest chain of falling ranks: for ranks that say
        nothing of the things O(log num_things).

    >>> centres(np.array([1, 0, 2, 3]), np.array([[0, 1, 2], [1, 2, 3]])).tolist()
    [1, 1, 1, 3]
    """
    number = len(rank)
    thing = np.argsort(rank)
    source = np.concatenate([pairs[0], pairs[1]])
    target_rank = rank[np.concatenate([pairs[1], pairs[0]])]
    # Until it is known whether a thing is a centre (-1), those of higher rank near it must wait.
    centre = np.full(number, -1, dtype=np.int64)
    waiting = np.arange(number)
    while len(waiting):
        best = np.full(number, number, dtype=np.int64)
        np.minimum.at(best, source, target_rank)
        first = best[waiting]
        leads = first > rank[waiting]
        centre[waiting[leads]] = waiting[leads]
        other = thing[np.minimum(first, number - 1)]
        joins = ~leads & (centre[other] == other)
        centre[waiting[joins]] = other[joins]
        waiting = waiting[centre[waiting] < 0]
        # Members of a group are nobody's centre; settled things look for none.
        settled = centre[source] >= 0
        end = thing[target_rank]
        member = (centre[end] >= 0) & (centre[end] != end)
        kept = ~settled & ~member
        source, target_rank = source[kept], target_rank[kept]
    return centre

"""Which integers occur more than once, found without sorting those that do not."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

ODD = np.int64(0x1E3779B97F4A7C15)
"""Spreads a number over all bits (a product with an odd number is one to one)."""
SPARE_BITS = 2
"""Room for four times as many as there are: few meet by chance."""


def repeated_places(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of all keys that occur twice or more, key by key, those of one key in order.

    Args:
        keys: Shape [n].

    Returns:
        Shape [places].

    Cost: O(n), and a sort of those that share their place in a table of 4 n.

    >>> repeated_places(np.array([8, 5, 3, 5, 8, 5])).tolist()
    [1, 3, 5, 0, 4]
    """
    bits = max(len(keys), 2).bit_length() + SPARE_BITS
    at = ((keys * ODD).view(np.uint64) >> np.uint64(64 - bits)).view(np.int64)
    slots = np.empty(1 << bits, dtype=np.int32)
    number = np.arange(len(keys), dtype=np.int32)
    slots[at] = number
    # Who does not find itself met another, and so did the one it finds.
    met = slots.take(at) != number
    met[slots[at[met]]] = True
    return _of_many(keys, np.flatnonzero(met))


def _of_many(keys: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of `places` whose key stands at another of them, key by key."""
    if not len(places):
        return places
    bits = np.uint64(max(int(places[-1]), 1).bit_length())
    marks = (keys[places] * ODD).view(np.uint64) >> bits << bits
    marks |= places.view(np.uint64)
    # In this thread: a sort of Polars' own would wait for what they have to do.
    marks = pl.Series(marks).sort(multithreaded=False).to_numpy()
    same = marks[1:] >> bits == marks[:-1] >> bits
    order = (marks & ((np.uint64(1) << bits) - np.uint64(1))).view(np.int64)
    own = keys[order]
    if (own[1:][same] != own[:-1][same]).any():
        # Two keys share what is left of their hash, which few million ever will.
        order = places[np.argsort(keys[places], kind="stable")]
        own = keys[order]
        same = own[1:] == own[:-1]
    many: NDArray[np.int64] = order[np.r_[False, same] | np.r_[same, False]]
    return many

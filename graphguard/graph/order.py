"""Orders of integers, found by sorting numbers that carry their place.

Sorting numbers takes a quarter of the time of sorting their places, and a place fits in the lower
bits of most numbers that are sorted here. Polars sorts: it needs a third of NumPy's time where a
processor has wide but slow instructions, and about as much elsewhere.
"""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Ints = NDArray[np.int64]
BITS = 63
"""Bits of an int64 that is 0 or more."""
ODD = np.int64(0x1E3779B97F4A7C15)
"""Spreads a number over all bits (a product with an odd number is one to one)."""


def ascending(values: NDArray[Any]) -> NDArray[Any]:
    """The values in order, of the same kind; not to be written to."""
    return pl.Series(values).sort().to_numpy()


def order_of(keys: NDArray[Any]) -> Ints:
    """Places of keys in ascending order, equal keys by place; shape as given.

    >>> order_of(np.array([5, 3, 5])).tolist()
    [1, 0, 2]
    """
    if not len(keys):
        return np.zeros(0, dtype=np.int64)
    bits = (len(keys) - 1).bit_length()
    if int(keys.min()) < 0 or int(keys.max()).bit_length() + bits > BITS:
        return np.argsort(keys, kind="stable")
    held = keys.astype(np.int64)
    held <<= bits
    held |= np.arange(len(keys))
    order: Ints = ascending(held) & ((1 << bits) - 1)
    return order


def order_by(*keys: NDArray[Any]) -> Ints:
    """Places in order of the first keys, where those are equal of the next, and so on.

    >>> order_by(np.array([1, 0, 1]), np.array([7, 8, 6])).tolist()
    [1, 2, 0]
    """
    order = order_of(keys[-1])
    for each in keys[-2::-1]:
        order = order[order_of(each[order])]
    return order


def repeated(keys: Ints) -> NDArray[np.bool_]:
    """Which keys occur twice or more, of int64.

    >>> repeated(np.array([5, 3, 5])).tolist()
    [True, False, True]
    """
    found = np.zeros(len(keys), dtype=np.bool_)
    if len(keys) < 2:
        return found
    # Most keys are told apart by some bits of a hash.
    bits = np.uint64((len(keys) - 1).bit_length())
    marks = (keys * ODD).view(np.uint64)
    marks >>= bits
    marks <<= bits
    marks |= np.arange(len(keys), dtype=np.uint64)
    marks = ascending(marks)
    same = np.flatnonzero(marks[1:] >> bits == marks[:-1] >> bits)
    alike = np.zeros(len(keys), dtype=np.bool_)
    alike[same + 1] = alike[same] = True
    places = (marks[alike] & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
    some = keys[places]
    order = np.argsort(some)
    ordered, places = some[order], places[order]
    same = ordered[1:] == ordered[:-1]
    found[places[1:][same]] = True
    found[places[:-1][same]] = True
    return found

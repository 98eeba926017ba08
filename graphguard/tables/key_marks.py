"""Marks of keys: the beginning of a key's 64-bit hash, and behind it the key's row.

In order they are a table of a dictionary's keys that can be mapped; each key met there is held
against the one that was asked for, since a hash proves nothing.
"""

import hashlib

import numpy as np
import polars as pl
from numpy.typing import NDArray

Marks = NDArray[np.uint64]
Rows = NDArray[np.int64]
Starts = NDArray[np.int32]
PROBES = [("ü0123456789abcde" * 20)[:length] for length in range(300)]
"""A key of every length that a hash may treat in a way of its own."""
NO_MARK = np.uint64(2**64 - 1)


def hashes_of(keys: pl.Series) -> Marks:
    """A 64-bit hash of each key; another Polars may give another."""
    hashes: Marks = keys.hash().to_numpy()
    return hashes


def marks_of(keys: pl.Series) -> Marks:
    """What a segment of these keys holds beside them."""
    below = row_bits_of(len(keys))
    marks = (hashes_of(keys) & ~below) | np.arange(len(keys), dtype=np.uint64)
    gone = keys.is_null()
    if gone.any():
        marks[gone.to_numpy()] = NO_MARK
    rising: Marks = pl.Series(marks).sort().to_numpy()
    return rising


def row_bits_of(number: int) -> np.uint64:
    """The bits of a mark that hold a row; all of them set are none."""
    return np.uint64((1 << number.bit_length()) - 1)


def start_bits(number: int) -> int:
    """How many bits of a mark have a place in `starts`: there is a mark or two for each."""
    return max(number.bit_length() - 1, 0)


def starts_of(marks: Marks) -> Starts:
    """Where the marks start that begin with each of some bits; as long as `marks`."""
    number, bits = len(marks), start_bits(len(marks))
    starts = np.full(number, number, dtype=np.int32)
    if bits:
        begins = (marks >> np.uint64(64 - bits)).view(np.int64)
        counts = np.bincount(begins, minlength=1 << bits)
        starts[0] = 0
        starts[1 : 1 << bits] = np.cumsum(counts[:-1])
    return starts


def hash_name() -> str:
    """What the hash of today makes of some keys."""
    return hashlib.sha256(hashes_of(pl.Series(PROBES)).data).hexdigest()[:16]

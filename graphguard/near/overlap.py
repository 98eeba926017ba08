"""How much sets have in common: exactly, and quickly where it cannot be enough.

Reads sets of shingles, writes nothing. Most pairs that agree in a band are not near. So each set is
also folded into a few words of bits: what two folded sets share bounds what the sets share, and
only pairs that may be near are compared exactly.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from graphguard.near.shingles import Shingles

Ints = NDArray[np.int64]
BITS = 1024
"""Bits that a set is folded into."""


@dataclass(frozen=True)
class Overlaps:
    """Sets, to be compared pair by pair.

    Attributes:
        held: Sets as rows of ones.
        folded: Column c of a set as bit c modulo BITS, shape [num_sets, BITS / 64].
        lost: Elements of each set that fold onto another's bit, shape [num_sets].
    """

    held: csr_array
    folded: NDArray[np.uint64]
    lost: Ints

    @classmethod
    def of(cls, sets: Shingles) -> "Overlaps":
        """Fold sets.

        Cost: O(shingles log shingles); memory twelve bytes a shingle and BITS bits a set.
        """
        held = as_rows(sets)
        bits = np.zeros((len(sets), BITS // 8), dtype=np.uint8)
        row, bit = np.repeat(np.arange(len(sets)), sets.sizes), held.indices % BITS
        np.bitwise_or.at(bits, (row, bit // 8), np.left_shift(1, bit % 8).astype(np.uint8))
        folded = bits.view(np.uint64)
        return cls(held, folded, sets.sizes - _counted(folded))

    def near(self, pairs: Ints, similarity: float) -> NDArray[np.bool_]:
        """Which pairs, shape [2, num_pairs], have a Jaccard similarity of that or more."""
        one, other = pairs
        size = np.diff(self.held.indptr)
        # Common elements are missed where both sets fold several onto one bit.
        most = _counted(self.folded[one] & self.folded[other])
        most += np.minimum(self.lost[one], self.lost[other])
        most = np.minimum(most, np.minimum(size[one], size[other]))
        found: NDArray[np.bool_] = (
            most / np.maximum(size[one] + size[other] - most, 1) >= similarity
        )
        maybe = np.flatnonzero(found)
        found[maybe] = jaccard(self.held, pairs[:, maybe]) >= similarity
        return found


def jaccard(held: csr_array, pairs: Ints) -> NDArray[np.float64]:
    """Jaccard similarity of pairs of rows of a matrix of ones, shape [num_pairs].

    Args:
        held: Sets as rows.
        pairs: Rows to compare, shape [2, num_pairs].
    """
    sizes = np.diff(held.indptr)
    common = np.asarray(held[pairs[0]].multiply(held[pairs[1]]).sum(axis=1)).reshape(-1)
    union = sizes[pairs[0]] + sizes[pairs[1]] - common
    similar: NDArray[np.float64] = common / np.maximum(union, 1)
    return similar


def as_rows(sets: Shingles) -> csr_array:
    """Sets as rows of ones; columns are the distinct shingles, ascending."""
    marks, column = np.unique(sets.mark, return_inverse=True)
    ones = np.ones(len(column), dtype=np.int32)
    held = csr_array((ones, column, sets.start), shape=(len(sets), max(len(marks), 1)))
    held.has_canonical_format = True
    return held


def _counted(words: NDArray[np.uint64]) -> Ints:
    """Bits set in each row."""
    counts: Ints = np.bitwise_count(words).sum(axis=1, dtype=np.int64)
    return counts

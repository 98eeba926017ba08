"""MinHash: short signatures whose agreement is the likeness of two sets, and bands that find it.

Reads shingles, writes nothing. Two sets share the least element under a random order with a chance
equal to their Jaccard similarity; a band of several orders that all agree is a key to group by.
Methods: Broder 1997; Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", chapter 3.
"""

from dataclasses import dataclass
from math import ceil, log1p

import numpy as np
from numpy.typing import NDArray

from graphguard.graph.keyed import mix, seeded
from graphguard.near.shingles import Shingles

Marks = NDArray[np.uint64]
SPREADS = 2.5
"""Standard deviations below its expectation from which on a sketch is believed."""


@dataclass(frozen=True)
class Banding:
    """How a signature is cut: `bands` keys made of `rows` orders each."""

    bands: int
    rows: int

    def chance(self, similarity: float) -> float:
        """Chance that two sets of a Jaccard similarity agree in a band.

        >>> round(Banding(23, 3).chance(0.5), 3)
        0.954
        """
        return float(1.0 - (1.0 - similarity**self.rows) ** self.bands)


def banding(threshold: float, recall: float, permutations: int) -> Banding:
    """The longest bands that still find a pair at the threshold with the stated chance.

    Long bands make few candidates that are none, so the longest is taken that the orders allow.

    Args:
        threshold: Jaccard similarity from which on pairs are wanted, above 0, below 1.
        recall: Chance with which a pair exactly at the threshold is a candidate.
        permutations: Orders at most.

    Raises:
        ValueError: So many orders cannot reach the recall at that threshold.

    >>> banding(0.5, 0.95, 128)
    Banding(bands=23, rows=3)
    """
    found = None
    for rows in range(1, permutations + 1):
        hit = threshold**rows
        bands = ceil(log1p(-recall) / log1p(-hit)) if hit > 1e-12 else permutations + 1
        if bands * rows <= permutations:
            found = Banding(max(bands, 1), rows)
    if found is None:
        message = (
            f"{permutations} permutations cannot find pairs of similarity {threshold} with a "
            f"chance of {recall}; raise the threshold or the permutations"
        )
        raise ValueError(message)
    return found


@dataclass(frozen=True)
class Signatures:
    """What is kept of sets.

    Attributes:
        keys: One key a set and band, shape [bands, num_sets]; sets with equal keys may be alike.
        sketch: Eight bits of the least element in each order, shape [num_sets, bands * rows].
    """

    keys: Marks
    sketch: NDArray[np.uint8]

    def likely(self, pairs: NDArray[np.int64], similarity: float) -> NDArray[np.bool_]:
        """Whether as many orders agree as nearly all pairs of a similarity have.

        Args:
            pairs: Shape [2, num_pairs].
            similarity: Jaccard similarity.

        Returns:
            Shape [num_pairs]; false for one pair in 160 of that similarity, at most.
        """
        orders = self.sketch.shape[1]
        spread = np.sqrt(similarity * (1 - similarity) * orders)
        same = self.sketch[pairs[0]] == self.sketch[pairs[1]]
        agreed = same.sum(axis=1, dtype=np.uint8 if orders < 2**8 else np.int64)
        near: NDArray[np.bool_] = agreed >= similarity * orders - SPREADS * spread
        return near


def signatures(sets: Shingles, cut: Banding, seed: int) -> Signatures:
    """Sign sets.

    Args:
        sets: Sets, none of them empty.
        cut: Bands and rows.
        seed: Of the orders.

    Cost: O(shingles) an order; nine bytes a set and order at most.
    """
    orders = cut.bands * cut.rows
    chosen = seeded(np.arange(2 * orders, dtype=np.uint64), seed)
    factor, shift = chosen[0::2] | np.uint64(1), chosen[1::2]
    keys = np.empty((cut.bands, len(sets)), dtype=np.uint64)
    sketch = np.empty((len(sets), orders), dtype=np.uint8)
    for band in range(cut.bands):
        mine = range(band * cut.rows, (band + 1) * cut.rows)
        least = [_least(sets, factor[order], shift[order]) for order in mine]
        keys[band] = mix(*least)
        for order, values in zip(mine, least, strict=True):
            # The least of many has small upper bits, and its last say nothing of the shingle.
            sketch[:, order] = (seeded(values, 0) >> np.uint64(56)).astype(np.uint8)
    return Signatures(keys, sketch)


def _least(sets: Shingles, factor: np.uint64, shift: np.uint64) -> Marks:
    """Least of each set in the order of `factor * mark + shift`; the marks are mixed already."""
    if not len(sets):
        return np.zeros(0, dtype=np.uint64)
    with np.errstate(over="ignore"):
        placed = sets.mark * factor + shift
    least: Marks = np.minimum.reduceat(placed, sets.start[:-1])
    return least

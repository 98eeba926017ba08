"""Thresholds to try, and what the rows above each prove about precision.

Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting".
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from graphguard.evaluate.ranking import Floats

_STEP = 1.15
"""Ratio of the rows above one threshold tried and the next."""
_STAKES = np.array([0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9])
"""Shares of the largest stake that cannot ruin a bettor; the wealth is their mean."""


@dataclass(frozen=True)
class Trials:
    """Thresholds to try, strictest first, shape [trials] each; no label had a say in them.

    `rows` and `hits` hold, a trial, the rows and positives of each group above the threshold.
    """

    threshold: Floats
    selected: NDArray[np.int64]
    positives: NDArray[np.int64]
    rows: tuple[Floats, ...]
    hits: tuple[Floats, ...]

    def viable(self, precision: float, level: float) -> "Trials":
        """Those that could pass at this level at all: if every row above them were positive."""
        keep = [
            place
            for place, rows in enumerate(self.rows)
            if chance_of(rows, rows, precision) <= level
        ]
        return Trials(
            self.threshold[keep],
            self.selected[keep],
            self.positives[keep],
            tuple(self.rows[place] for place in keep),
            tuple(self.hits[place] for place in keep),
        )

    def chances(self, precision: float) -> Floats:
        """Chance of as many positives, or evidence as strong, were the precision just this."""
        return np.array([self._chance(place, precision) for place in range(len(self.selected))])

    def proven(self, place: int, level: float) -> float:
        """Largest precision that the trial proves at this level, by bisection."""
        low, high = 0.0, 1.0
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (middle, high) if self._chance(place, middle) <= level else (low, middle)
        return low

    def _chance(self, place: int, precision: float) -> float:
        return chance_of(self.rows[place], self.hits[place], precision)


def chance_of(rows: Floats, hits: Floats, precision: float) -> float:
    """Chance of evidence as strong were the precision just this: a p-value.

    Args:
        rows: Rows of each group, shape [groups], above 0.
        hits: Positives of each group.
        precision: In (0, 1).

    Returns:
        Exact binomial where every group is one row; else 1 / wealth of the bettor.
    """
    largest = float(rows.max())
    if largest == 1.0:
        found, count = float(hits.sum()), len(rows)
        # P(Binomial(count, precision) >= found).
        return float(betainc(found, count - found + 1, precision)) if found else 1.0
    pays = (hits - precision * rows) / largest
    # No stake below 1 / precision loses all, since a group pays at least -precision.
    growth = np.sum(np.log1p(np.outer(_STAKES / max(precision, 1e-9), pays)), axis=1)
    wealth = float(np.mean(np.exp(np.minimum(growth, 700.0))))
    return min(1.0, 1.0 / wealth) if wealth > 0 else 1.0


def make_trials(
    score: NDArray[Any], label: NDArray[Any], group: NDArray[Any] | None, fewest: int
) -> Trials:
    """List the thresholds to try, strictest first.

    Args:
        score: Shape [n].
        label: 0 or 1, shape [n].
        group: Group of each row, shape [n]; None: each row is its own.
        fewest: Rows above the strictest threshold.
    """
    order = np.argsort(-score, kind="stable")
    ranked = score[order].astype(np.float64)
    # A threshold takes whole tie groups, so only their last rows can end a selection.
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], len(ranked) > 0)) + 1
    sizes = [fewest]
    while sizes[-1] < len(ranked):
        sizes.append(math.ceil(sizes[-1] * _STEP))
    reachable = [size for size in sizes if size <= len(ranked)]
    selected = np.unique(ends[np.searchsorted(ends, reachable)]) if reachable else ends[:0]
    names = np.arange(len(ranked)) if group is None else group[order]
    dense = np.unique(names, return_inverse=True)[1]
    hit = (label[order] == 1).astype(np.float64)
    rows: list[Floats] = []
    hits: list[Floats] = []
    for size in selected:
        counts = np.bincount(dense[:size]).astype(np.float64)
        rows.append(counts[counts > 0])
        hits.append(np.bincount(dense[:size], hit[:size]).astype(np.float64)[counts > 0])
    positives = np.cumsum(hit)[selected - 1].astype(np.int64)
    return Trials(ranked[selected - 1], selected, positives, tuple(rows), tuple(hits))

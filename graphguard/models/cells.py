"""Scores counted by class: what calibration is fitted to, and what it might have been.

A million rows are a few thousand cells of nearly one score. Positives come in rings, and other
rings could as well have been enforced: so the positives are also drawn anew, whole rings with
replacement (the bootstrap of Efron 1979, by cluster).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphguard.evaluate.ranking import Floats

Ints = NDArray[np.int64]

FOLDS = 5
DRAWS = 25
CELL = 1e-3
"""Scores whose log-odds agree to this are counted as one."""


@dataclass(frozen=True)
class Counted:
    """Rows by cell.

    Attributes:
        log_odds: Of the score of each cell, shape [cells], rising.
        positives: Shape [cells].
        negatives: Shape [cells].
        drawn: The positives of each draw, shape [draws, cells]; as many in all as there are.
    """

    log_odds: Floats
    positives: Floats
    negatives: Floats
    drawn: Floats


@dataclass(frozen=True)
class Cells:
    """Rows by cell and fold.

    Attributes:
        log_odds: Of the score of each cell, shape [cells], rising.
        positives: Shape [FOLDS, cells].
        negatives: Shape [FOLDS, cells].
        drawn: How often each positive row is drawn, shape [DRAWS, positives].
        place: Fold and cell of each positive row, shape [2, positives].
    """

    log_odds: Floats
    positives: Floats
    negatives: Floats
    drawn: Floats
    place: Ints

    def counted(self, kept: NDArray[np.bool_] | None = None) -> Counted:
        """The rows of the folds that are kept, shape [FOLDS]; None: of all."""
        kept = np.ones(FOLDS, dtype=np.bool_) if kept is None else kept
        positives, negatives = (part[kept].sum(axis=0) for part in (self.positives, self.negatives))
        fold, cell = self.place
        mine = kept[fold]
        drawn = np.stack(
            [np.bincount(cell[mine], one[mine], minlength=len(positives)) for one in self.drawn]
        )
        total = drawn.sum(axis=1, keepdims=True)
        # What is drawn tells the curve, and not how many are positive: that is known.
        drawn *= positives.sum() / np.maximum(total, 1.0)
        return Counted(self.log_odds, positives, negatives, drawn[total[:, 0] > 0])


def count_cells(
    log_odds: Floats,
    label: NDArray[Any],
    fold: Ints | None = None,
    group: NDArray[Any] | None = None,
) -> Cells:
    """Count rows by cell and fold, and draw the groups of the positives.

    Args:
        log_odds: Of the score of each row, shape [n].
        label: 0 or 1, shape [n].
        fold: Fold of each row, shape [n]; None: all are in the first.
        group: Ring or component of each row, shape [n], integer. None: rows are independent.

    Cost: O(n log n + DRAWS * positives).
    """
    fold = np.zeros(len(label), dtype=np.int64) if fold is None else fold
    cell, place = np.unique(np.round(log_odds / CELL), return_inverse=True)
    flat = fold * len(cell) + place
    positives, negatives = (
        np.bincount(flat[label == value], minlength=FOLDS * len(cell)).reshape(FOLDS, len(cell))
        for value in (1, 0)
    )
    bad = np.flatnonzero(label == 1)
    # Rows of one cell and fold are alike, so their order in the file tells nothing.
    bad = bad[np.lexsort((fold[bad], place[bad]))]
    names = np.arange(len(bad)) if group is None else np.unique(group[bad], return_inverse=True)[1]
    number = int(names.max(initial=-1)) + 1
    rng = np.random.default_rng(0)
    lots = rng.multinomial(number, np.full(number, 1.0 / max(number, 1)), DRAWS)
    return Cells(
        log_odds=cell * CELL,
        positives=positives.astype(np.float64),
        negatives=negatives.astype(np.float64),
        drawn=lots[:, names].astype(np.float64),
        place=np.stack([fold[bad], place[bad]]).astype(np.int64),
    )

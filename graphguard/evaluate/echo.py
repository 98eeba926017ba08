"""Columns that repeat the label: the first thing to ask of a result that is too good.

A column made from labels, or from what followed them (silence after a ban, somebody else's
moderation), ranks the positives almost perfectly alone, which honest behaviour hardly ever does.
Nothing is refused here: some platforms have such a tell. It is said, so that somebody looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

LIMIT = 0.985
"""AUROC of a single column, in either direction, from which it is suspected."""
FEWEST_POSITIVES = 10
"""With fewer positives a column may rank them all by luck."""
MOST_NEGATIVES = 5_000
"""Negatives looked at; evenly spread over the rows."""


@dataclass(frozen=True)
class Echo:
    """A column that ranks the label almost perfectly.

    Attributes:
        column: Its name.
        auroc: Chance that a positive lies on the far side of a negative, in [0.5, 1].
        by: 'value', or 'missing' where it is the absence of a value that tells.
    """

    column: str
    auroc: float
    by: str

    def __str__(self) -> str:
        told = "its value" if self.by == "value" else "its absence"
        return (
            f"column '{self.column}' alone ranks the labels at AUROC {self.auroc:.3f} by {told}: "
            f"make sure that it is not made from labels, or from what came after them"
        )


def label_echoes(
    x: NDArray[np.floating], label: NDArray[Any], names: Sequence[str]
) -> tuple[Echo, ...]:
    """Find the columns that rank the label by themselves.

    Args:
        x: Rows, shape [n, columns]; NaN is a missing value.
        label: 0 or 1, shape [n].
        names: Column names.

    Returns:
        Echoes, strongest first; none below 10 positives.

    Raises:
        ValueError: Names and columns differ in number.

    Cost: sorts each column of the positives and at most 5,000 negatives.
    """
    if x.shape[1] != len(names):
        message = f"label_echoes: {len(names)} names for {x.shape[1]} columns"
        raise ValueError(message)
    positives, negatives = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    if len(positives) < FEWEST_POSITIVES or not len(negatives):
        return ()
    step = max(1, len(negatives) // MOST_NEGATIVES)
    rows = np.concatenate([positives, negatives[::step]])
    found = []
    for place, name in enumerate(names):
        column = x[rows, place].astype(np.float64)
        for by, values in (("value", column), ("missing", np.isnan(column))):
            there = ~np.isnan(values) if by == "value" else np.ones(len(rows), dtype=np.bool_)
            auroc = _either_way(values, there, len(positives))
            if auroc >= LIMIT:
                found.append(Echo(name, auroc, by))
                break
    return tuple(sorted(found, key=lambda echo: (-echo.auroc, echo.column)))


def _either_way(values: NDArray[Any], there: NDArray[np.bool_], num_positives: int) -> float:
    """AUROC of the present values, the first `num_positives` being positive; or of its mirror.

    Rows without the value stand below all others on one side and above on the other: a column that
    is mostly missing cannot rank everybody.
    """
    best = 0.5
    for sign in (1.0, -1.0):
        ranked = np.where(there, sign * np.where(there, values, 0.0), -np.inf)
        rank = rankdata(ranked)
        negatives = len(values) - num_positives
        above = rank[:num_positives].sum() - num_positives * (num_positives + 1) / 2
        best = max(best, float(above / (num_positives * negatives)))
    return best

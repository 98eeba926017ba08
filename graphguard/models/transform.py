"""Inputs of networks: tails squeezed, values scaled, gaps marked; fitted on training rows."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from graphguard.errors import ColumnMissing
from graphguard.models.base import Rows

Floats = NDArray[np.float32]
FARTHEST = 5.0


@dataclass(frozen=True)
class InputTransform:
    """sign(x) log(1 + |x|), standardised and cut; a missing value is 0 with a mark beside.

    Attributes:
        names: Columns, in order.
        mean: Of the squeezed training values, shape [columns].
        scale: Their standard deviation, shape [columns]; 1 where it is 0.
        marked: Columns that had missing values in training, shape [marks], positions.
    """

    names: tuple[str, ...]
    mean: Floats
    scale: Floats
    marked: NDArray[np.int64]

    @classmethod
    def fit(cls, rows: Rows) -> Self:
        """Fit on training rows."""
        squeezed = _squeeze(rows.x)
        there = np.isfinite(squeezed)
        count = np.maximum(there.sum(axis=0), 1)
        filled = np.where(there, squeezed, 0.0)
        mean = filled.sum(axis=0) / count
        spread = np.sqrt((np.where(there, squeezed - mean, 0.0) ** 2).sum(axis=0) / count)
        marked = np.flatnonzero((~there).any(axis=0))
        scale = np.where(spread > 1e-6, spread, 1.0)
        return cls(rows.names, mean.astype(np.float32), scale.astype(np.float32), marked)

    @property
    def width(self) -> int:
        """Number of inputs made of a row."""
        return len(self.names) + len(self.marked)

    def apply(self, rows: Rows) -> Floats:
        """Inputs of rows, shape [n, width], float32.

        Raises:
            ColumnMissing: `rows` lacks a column.
        """
        x = rows.x
        if rows.names != self.names:
            place = {name: number for number, name in enumerate(rows.names)}
            for name in self.names:
                if name not in place:
                    table = "features"
                    raise ColumnMissing(table, name, list(rows.names))
            x = x[:, [place[name] for name in self.names]]
        squeezed = _squeeze(x)
        missing = ~np.isfinite(squeezed)
        scaled = np.clip((squeezed - self.mean) / self.scale, -FARTHEST, FARTHEST)
        parts = [np.where(missing, 0.0, scaled), missing[:, self.marked]]
        return np.concatenate(parts, axis=1).astype(np.float32)


def _squeeze(x: Floats) -> Floats:
    return (np.sign(x) * np.log1p(np.abs(x))).astype(np.float32)

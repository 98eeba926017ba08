"""Inputs of networks: tails squeezed, values scaled, gaps marked; fitted on training rows."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from graphguard.errors import ColumnMissing
from graphguard.models.base import Rows

Floats = NDArray[np.float32]
FARTHEST = 5.0
ROWS_AT_ONCE = 65_536


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
        size = len(rows.names)
        mean, scale = np.zeros(size, np.float32), np.ones(size, np.float32)
        gaps = np.zeros(size, dtype=np.bool_)
        # Column by column: a whole matrix in double precision would be the peak of a night.
        for place in range(size):
            squeezed = _squeeze(rows.x[:, place]).astype(np.float64)
            there = squeezed[np.isfinite(squeezed)]
            gaps[place] = len(there) < len(squeezed)
            if len(there):
                mean[place] = there.mean()
                spread = there.std()
                scale[place] = spread if spread > 1e-6 else 1.0
        return cls(rows.names, mean, scale, np.flatnonzero(gaps))

    @property
    def width(self) -> int:
        """Number of inputs made of a row."""
        return len(self.names) + len(self.marked)

    def apply(self, rows: Rows, out: Floats | None = None) -> Floats:
        """Inputs of rows, shape [n, width], float32, written into `out` if it is given.

        Raises:
            ColumnMissing: `rows` lacks a column.
        """
        chosen = self._places(rows)
        if out is None:
            out = np.empty((len(rows), self.width), dtype=np.float32)
        number = len(self.names)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            squeezed = _squeeze(rows.x[part][:, chosen])
            missing = ~np.isfinite(squeezed)
            scaled = np.clip((squeezed - self.mean) / self.scale, -FARTHEST, FARTHEST)
            out[part, :number] = np.where(missing, 0.0, scaled)
            out[part, number:] = missing[:, self.marked]
        return out

    def _places(self, rows: Rows) -> NDArray[np.int64]:
        place = {name: number for number, name in enumerate(rows.names)}
        for name in self.names:
            if name not in place:
                table = "features"
                raise ColumnMissing(table, name, list(rows.names))
        return np.array([place[name] for name in self.names], dtype=np.int64)


def _squeeze(x: Floats) -> Floats:
    return (np.sign(x) * np.log1p(np.abs(x))).astype(np.float32)

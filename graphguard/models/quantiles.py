"""Inputs of networks by quantiles: a column's rank as a normal score, and its share of each bin.

Networks learn poorly from skewed columns. A rank has no tails, and bins let a first layer bend
where trees would cut: Gorishniy et al. 2022, "On embeddings for numerical features in tabular deep
learning" (piecewise-linear encoding). Fitted on training rows.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from graphguard.models.base import Rows

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

KNOTS = 256
"""Most values of a column whose ranks are kept; between them ranks are interpolated."""
BINS = 8
FARTHEST = 1e-3
"""Ranks are cut to [FARTHEST, 1 - FARTHEST]: a normal score of 3.1 at most."""
ARRAYS = ("knots", "scores", "num_knots", "edges", "num_edges", "marked")


@dataclass(frozen=True)
class QuantileInputs:
    """Of each column in turn: its score, a mark where it is missing, and its bins.

    Attributes:
        names: Columns, in order.
        knots: Values whose rank is known, column after column, ascending in each, float32.
        scores: Normal score of each knot, float32.
        num_knots: Knots of each column, shape [columns]; 0 for one without a value.
        edges: Bounds of the bins, column after column, float32.
        num_edges: Bounds of each column, shape [columns]; 0 for one with a single value.
        marked: Whether a column had missing values in training, shape [columns], bool.
    """

    names: tuple[str, ...]
    knots: Floats
    scores: Floats
    num_knots: Ints
    edges: Floats
    num_edges: Ints
    marked: NDArray[np.bool_]

    @classmethod
    def fit(cls, rows: Rows) -> Self:
        """Fit on training rows.

        Cost: a sort of each column.
        """
        parts = [_fit_column(rows.x[:, place]) for place in range(len(rows.names))]
        missing = ~np.isfinite(rows.x)
        return cls(
            rows.names,
            knots=_joined([part[0] for part in parts]),
            scores=_joined([part[1] for part in parts]),
            num_knots=np.array([len(part[0]) for part in parts], dtype=np.int64),
            edges=_joined([part[2] for part in parts]),
            num_edges=np.array([len(part[2]) for part in parts], dtype=np.int64),
            marked=np.asarray(missing.any(axis=0)),
        )

    @property
    def widths(self) -> Ints:
        """Number of inputs made of each column, shape [columns]."""
        widths: Ints = 1 + self.marked + np.maximum(self.num_edges - 1, 0)
        return widths

    def apply(self, rows: Rows) -> Floats:
        """Inputs of rows, shape [n, sum of widths], float32; missing values are 0 but marked.

        Raises:
            ColumnMissing: `rows` lacks a column.

        Cost: about 0.1 microseconds a value.
        """
        x = rows.select(self.names).x
        ends = np.cumsum(self.widths)
        out = np.zeros((len(rows), int(ends[-1]) if len(ends) else 0), dtype=np.float32)
        knot_ends, edge_ends = np.cumsum(self.num_knots), np.cumsum(self.num_edges)
        for place, first in enumerate((ends - self.widths).tolist()):
            value = x[:, place]
            there = np.isfinite(value)
            knots = slice(knot_ends[place] - self.num_knots[place], knot_ends[place])
            if self.num_knots[place]:
                out[there, first] = np.interp(value[there], self.knots[knots], self.scores[knots])
            first += 1
            if self.marked[place]:
                out[~there, first] = 1.0
                first += 1
            edges = self.edges[edge_ends[place] - self.num_edges[place] : edge_ends[place]]
            for number in range(len(edges) - 1):
                low, high = edges[number], edges[number + 1]
                out[there, first + number] = np.clip((value[there] - low) / (high - low), 0.0, 1.0)
        return out


def _fit_column(x: Floats) -> tuple[Floats, Floats, Floats]:
    """Knots, their scores and the bounds of the bins of one column."""
    values = np.sort(x[np.isfinite(x)])
    knots = np.unique(values)
    if len(knots) > KNOTS:
        knots = np.unique(values[np.linspace(0, len(values) - 1, KNOTS).astype(np.int64)])
    below = np.searchsorted(values, knots, "left") + np.searchsorted(values, knots, "right")
    rank = below / max(2 * len(values), 1)
    scores = ndtri(np.clip(rank, FARTHEST, 1.0 - FARTHEST)).astype(np.float32)
    if len(knots) < 2:
        return knots, scores, knots[:0]
    edges = np.unique(values[np.linspace(0, len(values) - 1, BINS + 1).astype(np.int64)])
    # Nearly all values may be one: then a single bin holds the others.
    return knots, scores, edges if len(edges) > 1 else knots[[0, -1]]


def _joined(parts: list[Floats]) -> Floats:
    return np.concatenate([np.zeros(0, dtype=np.float32), *parts])

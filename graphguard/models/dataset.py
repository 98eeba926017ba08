"""From the features table to the arrays that models read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.errors import TooFewLabels
from graphguard.models.base import Rows
from graphguard.schema import FEATURES, ROW_TEXT

Span = tuple[int, int]
"""Half-open range of anchors, microseconds since 1970 UTC."""


@dataclass(frozen=True)
class Dataset:
    """All feature rows of a run, with labels; slices are masks over them.

    Attributes:
        rows: Every row, in order of anchor and key.
        keys: The entity's key of each row, shape [n].
        scored: Rows of users in good standing at their anchor, shape [n], bool; only these train
            and are scored, the others are neighbours.
    """

    rows: Rows
    keys: pl.Series
    scored: NDArray[np.bool_]

    def inside(self, spans: Sequence[Span]) -> NDArray[np.int64]:
        """Positions of the rows to learn from or score whose anchor lies in one of `spans`."""
        held = np.zeros(len(self.rows), dtype=np.bool_)
        for low, high in spans:
            held |= (self.rows.anchor_us >= low) & (self.rows.anchor_us < high)
        return np.flatnonzero(held & self.scored)

    def label_of(self, rows: NDArray[np.int64]) -> NDArray[np.int8]:
        """Labels of the rows at these positions, shape [rows].

        Raises:
            ValueError: The rows carry no label.
        """
        if self.rows.label is None:
            message = "the dataset carries no labels"
            raise ValueError(message)
        return self.rows.label[rows]


def make_dataset(
    features: pl.DataFrame, node: NDArray[np.int64], label: NDArray[np.bool_]
) -> Dataset:
    """Turn a features table into arrays.

    Args:
        features: FEATURES, in order of anchor and key.
        node: Dense index of each row's user in the run's graph, shape [rows].
        label: Whether each row is positive, shape [rows].
    """
    others = {*FEATURES.columns, ROW_TEXT}
    names = tuple(name for name in features.columns if name not in others)
    # Column by column into single precision: a matrix of doubles would double a night's memory.
    x = np.empty((features.height, len(names)), dtype=np.float32)
    for place, name in enumerate(names):
        value = features.get_column(name).cast(pl.Float32).to_numpy()
        x[:, place] = np.where(np.isfinite(value), value, np.float32(np.nan))
    rows = Rows(
        node=node,
        anchor_us=features.get_column("anchor_us").to_numpy().astype(np.int64, copy=True),
        x=x,
        names=names,
        label=label.astype(np.int8),
        text=_texts(features),
    )
    scored = features.get_column("scored").to_numpy().astype(np.bool_)
    return Dataset(rows.validate(), features.get_column("key"), scored)


def _texts(features: pl.DataFrame) -> NDArray[np.object_] | None:
    if ROW_TEXT not in features.columns:
        return None
    return np.array(features.get_column(ROW_TEXT).to_list(), dtype=np.object_)


def require_classes(where: str, rows: Rows, needed: int) -> None:
    """Refuse a slice with too few rows of a class.

    Raises:
        TooFewLabels: Fewer than `needed` positives or negatives.
    """
    positives = 0 if rows.label is None else int(rows.label.sum())
    if min(positives, len(rows) - positives) < needed:
        raise TooFewLabels(where, positives, len(rows) - positives, needed)

"""Inputs of the decoupled network: tokens of a user's own columns and of each relation and hop."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from graphguard.models.base import Rows
from graphguard.models.far_columns import FAR
from graphguard.models.quantiles import QuantileInputs

Floats = NDArray[np.float32]

OWN = "own"
MARKS = {FAR: "hop 2", ".nbr_": "hop 1", ".direct_": "hop 1, direct", ".label_": "labels"}
"""What in a column's name tells where it comes from; all others are the user's own."""


@dataclass(frozen=True)
class Token:
    """Inputs that are looked at together.

    Attributes:
        name: Where they come from.
        first: First column.
        last: End of the columns.
    """

    name: str
    first: int
    last: int


@dataclass(frozen=True)
class HopInputs:
    """Makes the inputs of rows, token after token.

    Attributes:
        quantiles: Makes inputs of the columns, which come in order of the tokens.
    """

    quantiles: QuantileInputs

    @classmethod
    def fit(cls, train: Rows) -> Self:
        """Fit on training rows."""
        groups = column_groups(train.names)
        ordered = tuple(name for columns in groups.values() for name in columns)
        return cls(QuantileInputs.fit(train.select(ordered)))

    @property
    def tokens(self) -> list[Token]:
        """The inputs in groups, the user's own first; they cover all columns."""
        width = dict(zip(self.quantiles.names, self.quantiles.widths.tolist(), strict=True))
        found, first = list[Token](), 0
        for name, columns in column_groups(self.quantiles.names).items():
            last = first + sum(width[column] for column in columns)
            if last > first:
                found.append(Token(name, first, last))
            first = last
        return found

    def apply(self, rows: Rows) -> Floats:
        """Inputs of rows, shape [n, end of the last token], float32.

        Raises:
            ColumnMissing: `rows` lacks a column.
        """
        return self.quantiles.apply(rows)


def column_groups(names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Columns by where they come from: the user's own first, then a group a relation.

    >>> column_groups(("all.num_events", "uses:device.nbr_mean.all.num_events"))
    {'own': ('all.num_events',), 'uses:device, hop 1': ('uses:device.nbr_mean.all.num_events',)}
    """
    groups: dict[str, list[str]] = {OWN: []}
    for name in names:
        mark = next((mark for mark in MARKS if mark in name), None)
        group = OWN if mark is None else f"{name.partition(mark)[0]}, {MARKS[mark]}"
        groups.setdefault(group, []).append(name)
    return {group: tuple(columns) for group, columns in groups.items()}

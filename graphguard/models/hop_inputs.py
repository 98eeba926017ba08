"""Inputs of the decoupled network: a user's own columns, and what each relation brings, hop by hop.

The first hop is in the rows: `features/neighbours.py` averages every relation. The second is made
here: the mean, over the users met through a relation, of what these met in turn through all
relations. A row sees no edge and no row at or after its anchor. Wu et al. 2019, "Simplifying graph
convolutional networks"; Frasca et al. 2020, "SIGN".
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from graphguard.graph.propagate import NEVER, NeighbourRows, neighbour_means
from graphguard.graph.relations import Relation, both_ways, relations_of, user_step
from graphguard.models.base import GraphContext, Rows
from graphguard.models.label_rates import MOST_ANCHORS
from graphguard.models.quantiles import QuantileInputs
from graphguard.models.transform import InputTransform

Floats = NDArray[np.float32]

OWN = "own"
FAR = ".hop2."
MARKS = {
    FAR: "hop 2",
    ".nbr_": "hop 1",
    ".direct_": "hop 1, direct",
    ".label_": "labels",
}
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


class HopInputs:
    """Makes the inputs of rows; fitted on training rows.

    Attributes:
        shown: A user's own columns as neighbours show them: squeezed, scaled, gaps marked.
        quantiles: Makes inputs of all columns, in order of the tokens.
        relations: Names of the relations of the second hop; empty without one.
        calendar: Whether rows share few anchors; else each has its own.
    """

    def __init__(
        self,
        shown: InputTransform,
        quantiles: QuantileInputs,
        relations: tuple[str, ...],
        *,
        calendar: bool,
    ) -> None:
        self.shown, self.quantiles = shown, quantiles
        self.relations, self.calendar = relations, calendar

    @classmethod
    def fit(cls, train: Rows, context: GraphContext, hops: int) -> tuple[Self, Floats]:
        """Fit on training rows; returns their inputs too."""
        shown = InputTransform.fit(train.select(column_groups(train.names)[OWN]))
        names = tuple(one.name for one in relations_of(context.graph, context.node_type))
        calendar = len(np.unique(context.rows.anchor_us)) <= MOST_ANCHORS
        none = QuantileInputs.fit(train.select(()))
        made = cls(shown, none, names if hops > 1 else (), calendar=calendar)
        whole = made.with_far(train, context)
        groups = column_groups(whole.names)
        ordered = tuple(name for columns in groups.values() for name in columns)
        made.quantiles = QuantileInputs.fit(whole.select(ordered))
        return made, made.quantiles.apply(whole)

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

    def apply(self, rows: Rows, context: GraphContext) -> Floats:
        """Inputs of rows, shape [n, end of the last token], float32.

        Raises:
            ColumnMissing: `rows` lacks a column.

        Cost: with a second hop also O(edges in the window * own columns) a relation and anchor.
        """
        return self.quantiles.apply(self.with_far(rows, context))

    def with_far(self, rows: Rows, context: GraphContext) -> Rows:
        """The rows with the columns of the second hop: means of what neighbours of neighbours show.

        A column's name is `<relation>.hop2.<column>`, with `missing.` before the column for the
        share of gaps, and `<relation>.hop2.rows` for the share of users that have a row.
        """
        if not self.relations:
            return rows
        shown = self.shown.names
        marks = [f"missing.{shown[place]}" for place in self.shown.marked]
        relations = relations_of(context.graph, context.node_type)
        far = np.zeros((len(rows), (self.shown.width + 1) * len(relations)), dtype=np.float32)
        if self.calendar:
            for anchor in np.unique(rows.anchor_us).tolist():
                mine = np.flatnonzero(rows.anchor_us == anchor)
                far[mine] = self._at(anchor, context, relations)[rows.node[mine]]
        else:
            far = self._of_own_windows(rows, context, relations)
        names = [
            f"{relation}{FAR}{column}"
            for relation in self.relations
            for column in (*shown, *marks, "rows")
        ]
        x = np.concatenate([rows.x, far], axis=1)
        return replace(rows, x=x, names=(*rows.names, *names))

    def _at(self, anchor: int, context: GraphContext, relations: list[Relation]) -> Floats:
        """The second hop of every node at one anchor."""
        shown = context.rows.take(context.rows.anchor_us == anchor)
        nodes = context.graph.num_nodes[context.node_type]
        values = np.zeros((nodes, self.shown.width + 1), dtype=np.float32)
        # The last column says whether there is a row at all.
        values[shown.node, :-1] = self.shown.apply(shown)
        values[shown.node, -1] = 1.0
        span = (anchor - context.window_us, anchor)
        steps = [user_step(relation, span) for relation in relations]
        ways = np.maximum(np.sum([step.reaches for step in steps], axis=0), 1)
        met = np.zeros_like(values)
        for step in steps:
            met += step.mean(values)
        met /= ways[:, None].astype(np.float32)
        return np.concatenate([step.mean(met) for step in steps], axis=1)

    def _of_own_windows(
        self, rows: Rows, context: GraphContext, relations: list[Relation]
    ) -> Floats:
        """The same for rows with anchors of their own: neighbours as they were before them."""
        every = context.rows
        values = np.ones((len(every), self.shown.width + 1))
        values[:, :-1] = self.shown.apply(every)
        nodes = context.graph.num_nodes[context.node_type]
        never = np.full(nodes, NEVER, dtype=np.int64)

        def around(shown: NDArray[np.float64]) -> Iterator[Floats]:
            for relation in relations:
                sides = (relation.out, relation.into)
                if relation.direct:
                    sides = (both_ways(relation),) * 2
                held = NeighbourRows(every.node, every.anchor_us, shown, never)
                means = neighbour_means(*sides, held, context.window_us).means
                yield np.nan_to_num(means, nan=0.0)

        first = np.stack(list(around(values)))
        met: NDArray[np.float64] = first.mean(axis=0, dtype=np.float64)
        far = np.concatenate(list(around(met)), axis=1)
        row_of = np.full(nodes, -1, dtype=np.int64)
        row_of[every.node] = np.arange(len(every))
        return far[row_of[rows.node]]


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

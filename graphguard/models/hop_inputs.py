"""Inputs of the decoupled network: a user's own columns, and what each relation brings, hop by hop.

The first hop is in the rows: `features/neighbours.py` averages every relation. The second is made
here: the mean, over the users met through a relation, of what these met in turn through all
relations. A row sees no edge and no row at or after its anchor. Wu et al. 2019, "Simplifying graph
convolutional networks"; Frasca et al. 2020, "SIGN".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from graphguard.graph.propagate import NEVER, NeighbourRows, neighbour_means
from graphguard.graph.relations import Relation, both_ways, relations_of, user_step
from graphguard.models.base import GraphContext, Rows
from graphguard.models.label_rates import MOST_ANCHORS
from graphguard.models.transform import FARTHEST, InputTransform

Floats = NDArray[np.float32]

OWN = "own"
LABELS = "labels"
MARKS = {".nbr_": "hop 1", ".direct_": "hop 1, direct", ".label_": LABELS}
"""What in a column's name tells where it comes from; all others are the user's own."""
SMALLEST = 1e-6


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
        columns: Columns of the rows by where they come from, in order of the tokens.
        transform: Squeezes and scales all columns.
        own: The same of the user's own columns, as neighbours show them.
        relations: Names of the relations of the second hop; empty without one.
        calendar: Whether rows share few anchors; else each has its own.
        mean: Of the second hop's inputs in training, shape [relations * width].
        scale: Their standard deviation.
    """

    def __init__(
        self,
        transforms: tuple[InputTransform, InputTransform],
        relations: tuple[str, ...],
        spread: tuple[Floats, Floats],
        *,
        calendar: bool,
    ) -> None:
        self.transform, self.own = transforms
        self.columns = column_groups(self.transform.names)
        self.relations, self.calendar = relations, calendar
        self.mean, self.scale = spread

    @classmethod
    def fit(cls, train: Rows, context: GraphContext, hops: int) -> tuple[Self, Floats]:
        """Fit on training rows; returns their inputs too."""
        groups = column_groups(train.names)
        ordered = tuple(name for names in groups.values() for name in names)
        transforms = (
            InputTransform.fit(train.select(ordered)),
            InputTransform.fit(train.select(groups[OWN])),
        )
        names = tuple(one.name for one in relations_of(context.graph, context.node_type))
        calendar = len(np.unique(context.rows.anchor_us)) <= MOST_ANCHORS
        none = np.zeros(0, dtype=np.float32)
        made = cls(transforms, names if hops > 1 else (), (none, none), calendar=calendar)
        far = made._far(train, context)
        made.mean = far.mean(axis=0, dtype=np.float64).astype(np.float32)
        spread = far.std(axis=0, dtype=np.float64).astype(np.float32)
        made.scale = np.where(spread > SMALLEST, spread, np.float32(1.0))
        return made, made._joined(train, far)

    @property
    def tokens(self) -> list[Token]:
        """The inputs in groups, the user's own first; they cover all columns."""
        found, first = list[Token](), 0
        marked = {self.transform.names[place] for place in self.transform.marked}
        for name, columns in self.columns.items():
            last = first + len(columns) + len(marked.intersection(columns))
            if last > first:
                found.append(Token(name, first, last))
            first = last
        for relation in self.relations:
            found.append(Token(f"{relation}, hop 2", first, first + self.own.width + 1))
            first += self.own.width + 1
        return found

    def apply(self, rows: Rows, context: GraphContext) -> Floats:
        """Inputs of rows, shape [n, end of the last token], float32.

        Raises:
            ColumnMissing: `rows` lacks a column.

        Cost: with a second hop also O(edges in the window * own columns) a relation and anchor.
        """
        return self._joined(rows, self._far(rows, context))

    def _joined(self, rows: Rows, far: Floats) -> Floats:
        near = self.transform.apply(rows)
        # Values and marks of one token side by side.
        number = len(self.transform.names)
        mark_of = {int(place): number + n for n, place in enumerate(self.transform.marked)}
        order, first = [], 0
        for columns in self.columns.values():
            places = range(first, first + len(columns))
            order += [*places, *(mark_of[place] for place in places if place in mark_of)]
            first += len(columns)
        scaled = np.clip((far - self.mean) / self.scale, -FARTHEST, FARTHEST)
        return np.concatenate([near[:, order], scaled], axis=1)

    def _far(self, rows: Rows, context: GraphContext) -> Floats:
        """The second hop, before it is scaled."""
        width = (self.own.width + 1) * len(self.relations)
        found = np.zeros((len(rows), width), dtype=np.float32)
        if not self.relations:
            return found
        relations = relations_of(context.graph, context.node_type)
        if not self.calendar:
            return self._of_own_windows(rows, context, relations)
        for anchor in np.unique(rows.anchor_us).tolist():
            mine = np.flatnonzero(rows.anchor_us == anchor)
            found[mine] = self._at(anchor, context, relations)[rows.node[mine]]
        return found

    def _at(self, anchor: int, context: GraphContext, relations: list[Relation]) -> Floats:
        """The second hop of every node at one anchor."""
        shown = context.rows.take(context.rows.anchor_us == anchor)
        nodes = context.graph.num_nodes[context.node_type]
        values = np.zeros((nodes, self.own.width + 1), dtype=np.float32)
        # The last column says whether there is a row at all.
        values[shown.node, :-1] = self.own.apply(shown)
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
        values = np.ones((len(every), self.own.width + 1))
        values[:, :-1] = self.own.apply(every)
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

"""Columns of the second hop: what those were like whom the users met through a relation had met.

The first hop is in the rows: `features/neighbours.py` averages every relation. Here the mean, over
the users met through a relation, of what these met in turn through all relations, of the users' own
columns, squeezed and scaled. A row sees no edge and no row at or after its anchor. Wu et al. 2019,
"Simplifying graph convolutional networks"; Frasca et al. 2020, "SIGN".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from graphguard.errors import ArtefactInvalid
from graphguard.graph.propagate import NEVER, NeighbourRows, neighbour_means
from graphguard.graph.relations import Relation, both_ways, relations_of, user_step
from graphguard.models.base import GraphContext, Rows
from graphguard.models.label_rates import MOST_ANCHORS
from graphguard.models.transform import InputTransform

Floats = NDArray[np.float32]

FAR = ".hop2."
MADE_OF_OTHERS = (FAR, ".nbr_", ".direct_", ".label_", ".position_")
"""What in a column's name tells that it says something about others; all else is the user's own."""
WEIGHTS = "hops.safetensors"
ARRAYS = ("mean", "scale", "marked")
ROWS = "rows"
MISSING = "missing."


@dataclass(frozen=True)
class FarColumns:
    """Makes the columns, for rows of training and for rows to score alike.

    A column's name is `<relation>.hop2.<column>`, with `missing.` before the column for the share
    of gaps, and `<relation>.hop2.rows` for the share of users that have a row.

    Attributes:
        shown: A user's own columns as others see them, fitted on training rows.
        relations: Names of the relations.
        calendar: Whether rows share few anchors; else each has its own.
    """

    shown: InputTransform
    relations: tuple[str, ...]
    calendar: bool

    @classmethod
    def fit(cls, train: Rows, context: GraphContext) -> Self:
        """Fit on training rows."""
        own = tuple(name for name in train.names if is_own(name))
        names = tuple(one.name for one in relations_of(context.graph, context.node_type))
        calendar = len(np.unique(context.rows.anchor_us)) <= MOST_ANCHORS
        return cls(InputTransform.fit(train.select(own)), names, calendar)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        shown = self.shown.names
        marks = (f"{MISSING}{shown[place]}" for place in self.shown.marked)
        columns = (*shown, *marks, ROWS)
        return tuple(f"{one}{FAR}{column}" for one in self.relations for column in columns)

    def apply(self, rows: Rows, context: GraphContext) -> Rows:
        """The rows with the columns added.

        Raises:
            ColumnMissing: The context's rows lack a column.

        Cost: O(edges in the window * own columns) a relation and anchor; with anchors of their own
            as `neighbour_means`, twice a relation.
        """
        relations = relations_of(context.graph, context.node_type)
        if not relations:
            return rows
        if self.calendar:
            far = np.zeros((len(rows), len(self.names)), dtype=np.float32)
            for anchor in np.unique(rows.anchor_us).tolist():
                mine = np.flatnonzero(rows.anchor_us == anchor)
                far[mine] = self._at(anchor, context, relations)[rows.node[mine]]
        else:
            far = self._of_own_windows(rows, context, relations)
        x = np.concatenate([rows.x, far], axis=1)
        return replace(rows, x=x, names=(*rows.names, *self.names))

    def facts(self) -> dict[str, Any]:
        """What `load` needs beside the arrays, as JSON values."""
        return {
            "shown": list(self.shown.names),
            "relations": list(self.relations),
            "calendar": self.calendar,
        }

    def save(self, folder: Path) -> None:
        """Write the arrays beside the model."""
        arrays = {name: getattr(self.shown, name) for name in ARRAYS}
        (folder / WEIGHTS).write_bytes(save_arrays(arrays))

    @classmethod
    def load(cls, folder: Path, facts: Mapping[str, Any]) -> Self:
        """Bring back what `facts` and `save` gave.

        Raises:
            ArtefactInvalid: The file is missing or not of these columns.
        """
        path = folder / WEIGHTS
        try:
            held = load_arrays(path.read_bytes())
            shown = InputTransform(tuple(facts["shown"]), *(held[name] for name in ARRAYS))
            made = cls(shown, tuple(facts["relations"]), bool(facts["calendar"]))
        except (OSError, SafetensorError, KeyError, TypeError) as error:
            reason = f"no second hop ({' '.join(str(error).split())[:200]})"
            raise ArtefactInvalid(path, reason) from error
        if shown.mean.shape != (len(shown.names),):
            reason = f"{len(shown.mean)} means, model.json names {len(shown.names)} columns"
            raise ArtefactInvalid(path, reason)
        return made

    def _at(self, anchor: int, context: GraphContext, relations: list[Relation]) -> Floats:
        """The second hop of every node at one anchor."""
        rows = context.rows.take(context.rows.anchor_us == anchor)
        nodes = context.graph.num_nodes[context.node_type]
        values = np.zeros((nodes, self.shown.width + 1), dtype=np.float32)
        values[rows.node, :-1] = self.shown.apply(rows)
        values[rows.node, -1] = 1.0
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

        def around(seen: NDArray[np.float64]) -> Iterator[Floats]:
            for relation in relations:
                sides = (relation.out, relation.into)
                if relation.direct:
                    sides = (both_ways(relation),) * 2
                held = NeighbourRows(every.node, every.anchor_us, seen, never)
                means = neighbour_means(*sides, held, context.window_us).means
                yield np.nan_to_num(means, nan=0.0)

        first = np.stack(list(around(values)))
        met: NDArray[np.float64] = first.mean(axis=0, dtype=np.float64)
        far = np.concatenate(list(around(met)), axis=1)
        row_of = np.full(nodes, -1, dtype=np.int64)
        row_of[every.node] = np.arange(len(every))
        return far[row_of[rows.node]]


def is_own(name: str) -> bool:
    """Whether a column is about the row's own user alone, by its name."""
    return not any(mark in name for mark in MADE_OF_OTHERS)


def far_phrases(names: tuple[str, ...], phrases: Mapping[str, str]) -> dict[str, str]:
    """What each column of the second hop among `names` says, in plain words.

    Args:
        names: Names of any columns.
        phrases: What the users' own columns say.
    """
    found = {}
    for name in names:
        relation, mark, column = name.partition(FAR)
        if not mark:
            continue
        whose = f"of those two steps away ({relation.replace(':', ' ')})"
        own = column.removeprefix(MISSING)
        said = phrases.get(own, own)
        if column == ROWS:
            found[name] = f"share {whose} who were active"
        elif column.startswith(MISSING):
            found[name] = f"share {whose} without a value: {said}"
        else:
            found[name] = f"{said}, mean {whose}"
    return found

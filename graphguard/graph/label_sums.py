"""Labels around a row: how many labelled users it meets, directly or over objects, how many bad.

Every row is in a fold, and labels of its own fold are hidden from it. So its own label never
counts, and a row that has no label, put into a fold by chance, is shown the same share of all
labels as one that has: both see one distribution. (Out-of-fold target encoding, as in Micci-Barreca
2001, "A preprocessing scheme for high-cardinality categorical attributes".) Only edges with
anchor - window <= time < anchor count, and only labels known at the anchor.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from graphguard.graph.hetero import Adjacency
from graphguard.graph.propagate import Arrivals, Queries, Touches, touches_of
from graphguard.graph.ranges import distinct, ranges

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

ALWAYS = -(2**62)
"""A label with this `known_us` has no time: it is known at every anchor."""
UNIT = 1 << 20
"""Weights of labelled users are counted in units of 2^-20, so that sums have no order."""


@dataclass(frozen=True)
class LabelledNodes:
    """Nodes with a label that others may see.

    Attributes:
        node: Dense index, shape [m], int64, no repeats.
        known_us: From when on the label is known, shape [m], int64; ALWAYS where it has no time.
        bad: Whether the label is positive, shape [m], bool.
        fold: Fold of each, shape [m], int64, 0 or more.
        weight: What each counts in weighted sums, in units of 1 / UNIT, shape [m], int64; None for
            no such sums.
    """

    node: Ints
    known_us: Ints
    bad: NDArray[np.bool_]
    fold: Ints
    weight: Ints | None = None


@dataclass(frozen=True)
class Lookers:
    """Rows that look at labels around them; a node may have several.

    Attributes:
        node: Dense index, shape [n], int64.
        anchor_us: Shape [n], int64.
        fold: Fold whose labels the row may not see, shape [n], int64.
    """

    node: Ints
    anchor_us: Ints
    fold: Ints


@dataclass(frozen=True)
class LabelTouches:
    """What each row sees on each object it touched, one entry a (row, object).

    Attributes:
        row: Position of the row, shape [m].
        known: Touches by labelled others that the row may see, shape [m], int64.
        bad: Those by positives among them, shape [m], int64.
        others: Touches by all others, shape [m], int64.
        weighted_known: As `known`, each times its user's weight, shape [m], float64; None where
            users have no weights.
        weighted_bad: As `bad`, weighted.
    """

    row: Ints
    known: Ints
    bad: Ints
    others: Ints
    weighted_known: Floats | None = None
    weighted_bad: Floats | None = None


def shared_labels(
    sides: tuple[Adjacency, Adjacency], lookers: Lookers, labelled: LabelledNodes, window_us: int
) -> LabelTouches:
    """Labels of the users who touched the same objects.

    Args:
        sides: User to object and object to user; the same edges.
        lookers: Rows that look.
        labelled: Labels there are.
        window_us: Length of the window.

    Cost: rows of one anchor O(edges in the window); rows with anchors of their own also a sort of
        the labelled users' edges, and a pass over them for each fold.
    """
    out, into = sides
    touches = touches_of(out, lookers, window_us)
    anchor = lookers.anchor_us[touches.row]
    queries = Queries(touches.object, anchor - window_us, anchor)
    first, last = into.window(touches.object, queries.since_us, queries.until_us)
    others = last - first - touches.days
    labels = _ByNode.of(labelled, out.num_rows)
    shared = len(np.unique(lookers.anchor_us)) <= 1
    kind = _OneWindow if shared else _OwnWindows
    sums = kind(into, (touches, queries), lookers, labels)
    known, bad = sums.of(labels.known), sums.of(labels.known * labels.bad)
    found = LabelTouches(touches.row, known, bad, others)
    if labelled.weight is None:
        return found
    known, bad = sums.of(labels.weight), sums.of(labels.weight * labels.bad)
    return replace(found, weighted_known=known / UNIT, weighted_bad=bad / UNIT)


def direct_labels(
    sides: tuple[Adjacency, ...], lookers: Lookers, labelled: LabelledNodes, window_us: int
) -> LabelTouches:
    """Labels of the users that a row's user met itself, each counted once.

    Args:
        sides: User to user, one way or both ways.
        lookers: Rows that look.
        labelled: Labels there are.
        window_us: Length of the window.

    Returns:
        One entry a (row, other user); `known` and `bad` are 0 or 1, `others` is 1.

    Cost: a sort of the edges in the windows.
    """
    found = [touches_of(side, lookers, window_us) for side in sides]
    size = sides[0].num_rows
    pairs = distinct(np.concatenate([one.row * size + one.object for one in found]))
    row, other = pairs // size, pairs % size
    row, other = row[other != lookers.node[row]], other[other != lookers.node[row]]
    labels = _ByNode.of(labelled, size)
    seen = labels.fold[other] != lookers.fold[row]
    seen &= labels.known_us[other] <= lookers.anchor_us[row]
    known = np.where(seen, labels.known[other], 0)
    bad = known * labels.bad[other]
    found_all = LabelTouches(row, known, bad, np.ones_like(row))
    if labelled.weight is None:
        return found_all
    weight = labels.weight[other] / UNIT
    return replace(found_all, weighted_known=known * weight, weighted_bad=bad * weight)


@dataclass(frozen=True)
class _ByNode:
    """Labels by dense index; `known`, `bad` and `weight` are 0 for a node without a label."""

    known: Ints
    bad: Ints
    weight: Ints
    known_us: Ints
    fold: Ints

    @classmethod
    def of(cls, labelled: LabelledNodes, num_nodes: int) -> "_ByNode":
        columns = [np.zeros(num_nodes, dtype=np.int64) for _ in range(5)]
        ones = np.ones(len(labelled.node), dtype=np.int64)
        weight = ones if labelled.weight is None else labelled.weight
        values = (ones, labelled.bad, weight, labelled.known_us, labelled.fold)
        for column, value in zip(columns, values, strict=True):
            column[labelled.node] = value
        return cls(*columns)


class _OneWindow:
    """All rows share a window: sums by object and fold, less those of the row's own fold."""

    def __init__(
        self, into: Adjacency, asked: tuple[Touches, Queries], lookers: Lookers, labels: _ByNode
    ) -> None:
        self._touches, queries = asked
        self._num_objects = into.num_rows
        self._hidden = lookers.fold[self._touches.row]
        self._folds = int(max(labels.fold.max(initial=0), lookers.fold.max(initial=0))) + 1
        # Without a touch nothing is asked, and the window may be any.
        since, until = (
            int(time[0]) if len(time) else 0 for time in (queries.since_us, queries.until_us)
        )
        every = np.arange(into.num_rows)
        first, last = into.window(every, since, until)
        user = np.asarray(into.neighbor[ranges(first, last)], dtype=np.int64)
        touched = np.repeat(every, last - first)
        held = (labels.known[user] > 0) & (labels.known_us[user] <= until)
        self._user = user[held]
        self._place = touched[held] * self._folds + labels.fold[self._user]

    def of(self, value: Ints) -> Ints:
        """Sum of a value by user over the touches that each row may see."""
        summed = np.zeros(self._num_objects * self._folds, dtype=np.int64)
        np.add.at(summed, self._place, value[self._user])
        table = summed.reshape(self._num_objects, self._folds)
        seen: Ints = table.sum(axis=1)[self._touches.object]
        return seen - table[self._touches.object, self._hidden]


class _OwnWindows:
    """Rows have windows of their own: differences of running totals, once for each fold."""

    def __init__(
        self, into: Adjacency, asked: tuple[Touches, Queries], lookers: Lookers, labels: _ByNode
    ) -> None:
        touches, queries = asked
        users = np.asarray(into.neighbor, dtype=np.int64)
        held = np.flatnonzero(labels.known[users] > 0)
        users, time_us = users[held], np.asarray(into.time_us[held])
        objects = np.repeat(np.arange(into.num_rows), np.diff(into.indptr))[held]
        # Arrivals are asked strictly before the anchor; a label known at the anchor may be seen.
        known_us = labels.known_us[users] - 1
        self._count = len(touches.row)
        self._parts: list[tuple[Ints, Ints, Arrivals]] = []
        for number in np.unique(lookers.fold).tolist():
            mine = np.flatnonzero(lookers.fold[touches.row] == number)
            few = Queries(queries.object[mine], queries.since_us[mine], queries.until_us[mine])
            shown = labels.fold[users] != number
            edges = (objects[shown], time_us[shown], known_us[shown])
            self._parts.append((mine, users[shown], Arrivals(edges, few)))

    def of(self, value: Ints) -> Ints:
        """Sum of a value by user over the touches that each row may see."""
        seen = np.zeros(self._count, dtype=np.int64)
        for mine, users, arrivals in self._parts:
            seen[mine] = arrivals.sums(value[users])
        return seen

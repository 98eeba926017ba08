"""What a user's neighbours are like: user-object-user aggregates, exact and blind to the future.

A row is (user, anchor). Its neighbours through a relation are the other users who touched, within
[anchor - window, anchor), an object that the row's user touched then too. Every object gives the
mean of its other users' values, each user counted once a day; objects are weighted by
1 / log(2 + touches by others), so that a device of two says more than a viral post. A user's values
count only if they were made before the row's anchor (or at it, where the rows are all users of one
anchor), and a user counts as known bad only if that was known before it. One's own values and label
are left out.

Rows that are all users of one anchor share their sums, in O(edges). Rows with anchors of their own
take differences of running totals over time. Both add fixed-point integers: no order of addition
changes a bit.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from graphguard.graph.hetero import Adjacency
from graphguard.graph.ranges import ranges

SCALE = float(1 << 20)
"""Values are summed as round(value * SCALE)."""
LARGEST = float(1 << 24)
"""Values are cut to this size, so that no sum overflows."""
NEVER = 2**62

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Result = NDArray[np.float32]


@dataclass(frozen=True)
class NeighbourRows:
    """Rows to make aggregates for; the same rows are the neighbours.

    Attributes:
        node: Dense index of the user, shape [n], int64, no repeats.
        anchor_us: Shape [n], int64.
        values: Numbers to average, shape [n, columns]; NaN is missing.
        bad_since_us: When each node (not row) was first known to be bad, shape [num_nodes], int64;
            NEVER where it was not.
    """

    node: Ints
    anchor_us: Ints
    values: Floats
    bad_since_us: Ints


@dataclass(frozen=True)
class NeighbourMeans:
    """Aggregates of each row's neighbours; a mean or share is NaN where a row has none.

    Attributes:
        means: Weighted means of the columns, shape [n, columns].
        bad_share: Weighted share of touches by known-bad others, shape [n].
        bad_touches: Touches by known-bad others on the row's objects, shape [n].
        other_touches: Touches by others on the row's objects, shape [n].
        fewest_others: Fewest touches by others on an object that others touched, shape [n].
    """

    means: Result
    bad_share: Result
    bad_touches: Result
    other_touches: Result
    fewest_others: Result


@dataclass(frozen=True)
class Touches:
    """Objects each row's user touched in its window, one entry a (row, object), ordered by both.

    Attributes:
        row: Position of the row, shape [m].
        object: Dense index of the object, shape [m].
        days: Daily edges between the two in the window, shape [m].
    """

    row: Ints
    object: Ints
    days: Ints


class _Sums(Protocol):
    """Sums over the touches of others on each touched object, as far as the row may see them."""

    def all(self) -> Ints:
        """Touches by others, shape [m]."""
        ...

    def of(self, value: Ints) -> Ints:
        """Sum of a value per row over others' touches, each times its days, shape [m]."""
        ...

    def bad(self) -> Ints:
        """Touches by others known to be bad before the row's anchor, shape [m]."""
        ...


def neighbour_means(
    out: Adjacency, into: Adjacency, rows: NeighbourRows, window_us: int
) -> NeighbourMeans:
    """Aggregate each row's neighbours through one relation.

    Args:
        out: User to object; the rows of the adjacency are users.
        into: Object to user: the same edges the other way.
        rows: Rows and their values.
        window_us: Length of the window.

    Cost: O(touches) time per column; with anchors of their own also a sort of the edges. Memory a
        few arrays of the touches, one column at a time.
    """
    touches = touches_of(out, rows, window_us)
    sums: _Sums = (
        _SharedSums(touches, rows)
        if _rows_are_all(touches, rows, into, window_us)
        else _OwnSums(touches, rows, into, window_us)
    )
    others, bad = sums.all(), sums.bad()
    weight = np.where(others > 0, 1.0 / np.log(2.0 + others), 0.0)
    n = len(rows.node)
    means = np.full((n, rows.values.shape[1]), np.nan, dtype=np.float32)
    for column in range(rows.values.shape[1]):
        value = rows.values[:, column]
        there = np.isfinite(value)
        bounded = np.clip(np.where(there, value, 0.0), -LARGEST, LARGEST)
        seen = sums.of(there.astype(np.int64))
        total = sums.of(np.rint(bounded * SCALE).astype(np.int64))
        means[:, column] = _weighted(
            touches.row, _ratio(total / SCALE, seen), weight * (seen > 0), n
        )
    fewest = np.full(n, np.inf)
    np.minimum.at(fewest, touches.row, np.where(others > 0, others, np.inf))
    return NeighbourMeans(
        means,
        _weighted(touches.row, _ratio(bad, others), weight, n),
        np.bincount(touches.row, bad, n).astype(np.float32),
        np.bincount(touches.row, others, n).astype(np.float32),
        np.where(np.isfinite(fewest), fewest, np.nan).astype(np.float32),
    )


class Anchored(Protocol):
    """Rows of nodes at anchors."""

    @property
    def node(self) -> Ints:
        """Dense index of each row's node, shape [n]."""
        ...

    @property
    def anchor_us(self) -> Ints:
        """Anchor of each row, shape [n]."""
        ...


def touches_of(out: Adjacency, rows: Anchored, window_us: int) -> Touches:
    """Objects that each row's user touched in [anchor - window, anchor).

    Cost: a sort of the edges in the windows.
    """
    first, last = out.window(rows.node, rows.anchor_us - window_us, rows.anchor_us)
    row = np.repeat(np.arange(len(rows.node)), last - first)
    touched = out.neighbor[ranges(first, last)].astype(np.int64)
    order = np.lexsort((touched, row))
    row, touched = row[order], touched[order]
    new = np.ones(len(row), dtype=np.bool_)
    new[1:] = (row[1:] != row[:-1]) | (touched[1:] != touched[:-1])
    starts = np.flatnonzero(new)
    return Touches(row[starts], touched[starts], np.diff(np.append(starts, len(row))))


def _rows_are_all(touches: Touches, rows: NeighbourRows, into: Adjacency, window_us: int) -> bool:
    """Whether the rows share one anchor and no user without a row touched anything before it."""
    if not len(rows.node):
        return True
    anchor = int(rows.anchor_us[0])
    if not bool((rows.anchor_us == anchor).all()):
        return False
    first, last = into.window(np.arange(into.num_rows), anchor - window_us, anchor)
    return int((last - first).sum()) == int(touches.days.sum())


def _ratio(part: NDArray[np.float64] | Ints, whole: Ints) -> Floats:
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)


def _weighted(row: Ints, values: Floats, weight: Floats, n: int) -> Result:
    """Weighted mean per row; touches come in order of row and object, so sums have one order."""
    total, summed = np.bincount(row, weight, n), np.bincount(row, weight * values, n)
    mean = np.divide(summed, total, out=np.full(n, np.nan), where=total > 0)
    return np.asarray(mean, dtype=np.float32)


class _SharedSums:
    """All rows have one anchor, so a sum is the object's less one's own part."""

    def __init__(self, touches: Touches, rows: NeighbourRows) -> None:
        self._touches, self._rows = touches, rows
        _, self._place = np.unique(touches.object, return_inverse=True)
        self._order = np.argsort(self._place, kind="stable")
        self._starts = np.flatnonzero(np.diff(self._place[self._order], prepend=-1))

    def all(self) -> Ints:
        return self.of(np.ones(len(self._rows.node), dtype=np.int64))

    def of(self, value: Ints) -> Ints:
        mine = value[self._touches.row] * self._touches.days
        if not len(mine):
            return mine
        totals: Ints = np.add.reduceat(mine[self._order], self._starts)
        return totals[self._place] - mine

    def bad(self) -> Ints:
        known = self._rows.bad_since_us[self._rows.node] < self._rows.anchor_us
        return self.of(known.astype(np.int64))


class _OwnSums:
    """Each row has its own anchor, so sums are differences of running totals over time.

    A daily edge of user v counts for others from the moment that both the edge and v's values are
    there: max(edge time, v's anchor). An edge of the row's own user never does.
    """

    def __init__(
        self, touches: Touches, rows: NeighbourRows, into: Adjacency, window_us: int
    ) -> None:
        self._touches, self._rows = touches, rows
        anchor = rows.anchor_us[touches.row]
        queries = Queries(touches.object, anchor - window_us, anchor)
        first, last = into.window(touches.object, anchor - window_us, anchor)
        self._all = last - first - touches.days
        objects = np.repeat(np.arange(into.num_rows), np.diff(into.indptr))
        users = np.asarray(into.neighbor, dtype=np.int64)
        row_of = np.full(len(rows.bad_since_us), -1, dtype=np.int64)
        row_of[rows.node] = np.arange(len(rows.node))
        known = row_of[users] >= 0
        self._row = row_of[users[known]]
        made = rows.anchor_us[self._row]
        self._line = Arrivals((objects[known], into.time_us[known], made), queries)
        since = rows.bad_since_us[users]
        bad = since < NEVER
        # Known before the anchor means since + 1 is at or before it; arrivals are asked strictly.
        self._bad_line = Arrivals((objects[bad], into.time_us[bad], since[bad]), queries)

    def all(self) -> Ints:
        return self._all

    def of(self, value: Ints) -> Ints:
        return self._line.sums(value[self._row])

    def bad(self) -> Ints:
        ones = np.ones(self._bad_line.num_edges, dtype=np.int64)
        own = self._rows.bad_since_us[self._rows.node] < self._rows.anchor_us
        return self._bad_line.sums(ones) - own[self._touches.row] * self._touches.days


@dataclass(frozen=True)
class Queries:
    """What is asked of arrivals: an object's edges with since <= time, there before `until`."""

    object: Ints
    since_us: Ints
    until_us: Ints


class Arrivals:
    """Edges by object and arrival, with running totals: what others had brought to it by then.

    An edge counts in a query when its time is at or after `since` and both the edge and the value
    it brings were there before `until`.
    """

    def __init__(self, edges: tuple[Ints, Ints, Ints], queries: Queries) -> None:
        """Order the edges.

        Args:
            edges: Object, time and the time its value was made of each edge, shape [e] each.
            queries: What is asked.

        Cost: two sorts of the edges.
        """
        objects, time, made = edges
        arrival = np.maximum(time, made)
        self.num_edges = len(objects)
        self._order = np.lexsort((arrival, objects))
        ordered = (objects[self._order], arrival[self._order])
        self._first = earlier_in_order(ordered, queries.object, queries.since_us)
        self._last = earlier_in_order(ordered, queries.object, queries.until_us)
        # An edge older than the window whose values came inside it is in the range but too old.
        self._stale = _stale_pairs(edges, queries)

    def sums(self, value: Ints) -> Ints:
        """Sum of `value`, one per edge, over each query's edges, shape [queries], int64."""
        running = np.zeros(self.num_edges + 1, dtype=np.int64)
        np.cumsum(value[self._order], out=running[1:])
        result = running[self._last] - running[self._first]
        query, edge = self._stale
        np.subtract.at(result, query, value[edge])
        return result


def earlier_in_order(ordered: tuple[Ints, Ints], objects: Ints, time: Ints) -> Ints:
    """How many of the ordered (object, time) sort before each wanted (object, time)."""
    count = len(ordered[0])
    wanted_last = np.r_[np.ones(count, dtype=np.int8), np.zeros(len(objects), dtype=np.int8)]
    order = np.lexsort((wanted_last, np.r_[ordered[1], time], np.r_[ordered[0], objects]))
    is_edge = order < count
    passed = np.cumsum(is_edge)
    result = np.empty(len(objects), dtype=np.int64)
    result[order[~is_edge] - count] = passed[~is_edge]
    return result


def _stale_pairs(edges: tuple[Ints, Ints, Ints], queries: Queries) -> tuple[Ints, Ints]:
    """List (query, edge) with edge time < since <= values made < until."""
    objects, time, made = edges
    waiting = np.flatnonzero(made > time)
    waiting = waiting[np.lexsort((time[waiting], objects[waiting]))]
    ordered = (objects[waiting], time[waiting])
    start = np.searchsorted(ordered[0], queries.object, side="left")
    end = np.maximum(start, earlier_in_order(ordered, queries.object, queries.since_us))
    query = np.repeat(np.arange(len(queries.object)), end - start)
    edge = waiting[ranges(start, end)]
    stale = (made[edge] >= queries.since_us[query]) & (made[edge] < queries.until_us[query])
    return query[stale], edge[stale]

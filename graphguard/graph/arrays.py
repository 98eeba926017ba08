"""Nodes and daily edges of one type as arrays: what a graph is written from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.errors import GraphInvalid
from graphguard.graph.hetero import EdgeType

BLOCK = 1 << 16
"""Edges that are looked at together: what is made on the way fits the caches."""
COUNTED = 1 << 22
"""Edges that are counted together: the counts of all nodes are added up each time."""


MOST_IN_A_BYTE = 255


@dataclass(frozen=True)
class NodeArrays:
    """Nodes of one type, sorted by key: keys, and the storage index of each, shape [n]."""

    keys: pl.Series
    storage: NDArray[np.int64]


def dense_of(storage: NDArray[Any]) -> NDArray[np.int32]:
    """Dense index of each storage index, given the latter in order of the former.

    Returns:
        Shape [largest storage index + 1]; -1 where there is no such node.
    """
    size = int(storage.max()) + 1 if storage.size else 0
    dense = np.full(size, -1, dtype=np.int32)
    dense[storage] = np.arange(storage.size, dtype=np.int32)
    return dense


def renumber(ends: NDArray[np.int32], dense: NDArray[np.int32]) -> None:
    """Put the dense index of each storage index in its place, where many would need new pages.

    >>> ends = np.array([5, 2, 5], dtype=np.int32)
    >>> renumber(ends, dense_of(np.array([2, 5])))
    >>> ends.tolist()
    [1, 0, 1]
    """
    for start in range(0, len(ends), BLOCK):
        part = ends[start : start + BLOCK]
        part[:] = dense.take(part)


def degree_of(ends: NDArray[np.int32], number: int) -> NDArray[np.int64]:
    """How many edges each node has; counted in parts, since NumPy copies what it counts to int64.

    >>> degree_of(np.array([1, 1, 0], dtype=np.int32), 3).tolist()
    [1, 2, 0]
    """
    degree = np.zeros(number, dtype=np.int64)
    step = max(number, COUNTED)
    for start in range(0, len(ends), step):
        degree += np.bincount(ends[start : start + step], minlength=number)
    return degree


@dataclass(frozen=True)
class EdgeArrays:
    """Daily edges of one type, shape [num_edges] each; any order will do, that of time is fastest.

    Whoever writes a graph of them gives them up: they are put in order, thinned out and packed in
    place.

    Attributes:
        source: Dense index of the source.
        target: Dense index of the target.
        time_us: First event of the day.
        count: Events of the day; who writes them decides how many bytes each takes.
    """

    source: NDArray[Any]
    target: NDArray[Any]
    time_us: NDArray[np.int64]
    count: NDArray[Any]

    def __getitem__(self, chosen: NDArray[Any]) -> "EdgeArrays":
        """The edges at some places, or those that a mask admits."""
        return EdgeArrays(
            self.source[chosen], self.target[chosen], self.time_us[chosen], self.count[chosen]
        )

    def columns(self) -> tuple[NDArray[Any], ...]:
        """The four arrays, in their order."""
        return self.source, self.target, self.time_us, self.count


def count_kind(largest: int) -> np.dtype[Any]:
    """How counts of a type's edges are kept: nearly always in a byte, as nearly all are 1.

    >>> count_kind(255), count_kind(256)
    (dtype('uint8'), dtype('int32'))
    """
    return np.dtype(np.uint8 if largest <= MOST_IN_A_BYTE else np.int32)


def in_order(edges: EdgeArrays) -> EdgeArrays:
    """Edges by time, ties by source and target; ties are put in order in place."""
    same = _equal_to_next(edges.time_us)
    if same is None:
        edges = edges[np.argsort(edges.time_us)]
        same = np.flatnonzero(edges.time_us[1:] == edges.time_us[:-1])
    if not same.size:
        return edges
    time_us, tied = edges.time_us, np.union1d(same, same + 1)
    order = tied[np.lexsort((edges.target[tied], edges.source[tied], time_us[tied]))]
    for values in (edges.source, edges.target, edges.count):
        values[tied] = values[order]
    return edges


def _equal_to_next(values: NDArray[Any]) -> NDArray[np.int64] | None:
    """Places of the values that the next is equal to; None where one is larger than the next."""
    found = [np.empty(0, dtype=np.int64)]
    for start in range(0, len(values) - 1, BLOCK):
        part = values[start : start + BLOCK + 1]
        if (part[1:] < part[:-1]).any():
            return None
        found.append(np.flatnonzero(part[1:] == part[:-1]) + start)
    return np.concatenate(found)


def check_ends(
    place: Path, edge_type: EdgeType, arrays: EdgeArrays, counts: tuple[int, int]
) -> None:
    """Raise GraphInvalid where an edge points outside its nodes.

    Args:
        place: Folder of the edge type, for the message.
        edge_type: Type of the edges.
        arrays: Edges with dense indices.
        counts: Number of source and target nodes.
    """
    ends = (("source", arrays.source, 0), ("target", arrays.target, 2))
    for (side, values, at), size in zip(ends, counts, strict=True):
        if values.size and not 0 <= values.min() <= values.max() < size:
            wrong = values.min() if values.min() < 0 else values.max()
            reason = f"{side} index {wrong} is not below num_nodes['{edge_type[at]}'] = {size}"
            where = f"{place.parent.name}/{place.name}"
            raise GraphInvalid(where, reason)

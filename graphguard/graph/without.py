"""The graph as if some nodes had never met: to ask what a score owes to an edge."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from graphguard.graph.hetero import Adjacency, EdgeType, HeteroGraph
from graphguard.graph.ranges import distinct

Ends = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Sources and targets, dense indices, shape [pairs] each."""


def without_edges(graph: HeteroGraph, removed: Mapping[EdgeType, Ends]) -> HeteroGraph:
    """Leave out every daily edge between the given pairs.

    Args:
        graph: The graph; it is not changed.
        removed: Pairs by edge type; pairs without an edge change nothing.

    Returns:
        A graph of the same nodes. Edge types that lose nothing are shared with `graph`.

    Cost: a pass over the edges of each type named.
    """
    edited: dict[EdgeType, tuple[Adjacency, Adjacency]] = {}
    for edge_type, (source, target) in removed.items():
        if not len(source):
            continue
        out, into = graph.out(edge_type), graph.into(edge_type)
        wanted = distinct(source.astype(np.int64) * into.num_rows + target)
        edited[edge_type] = (
            _kept(out, wanted, into.num_rows, by_source=True),
            _kept(into, wanted, into.num_rows, by_source=False),
        )
    return graph.replaced(edited)


def _kept(
    side: Adjacency, wanted: NDArray[np.int64], num_targets: int, *, by_source: bool
) -> Adjacency:
    row = np.repeat(np.arange(side.num_rows), np.diff(side.indptr))
    source, target = (row, side.neighbor) if by_source else (side.neighbor, row)
    code = source.astype(np.int64) * num_targets + target
    place = np.minimum(np.searchsorted(wanted, code), len(wanted) - 1)
    keep = wanted[place] != code
    indptr = np.zeros(side.num_rows + 1, dtype=np.int64)
    np.cumsum(np.bincount(row[keep], minlength=side.num_rows), out=indptr[1:])
    return Adjacency(
        indptr,
        np.asarray(side.neighbor[keep]),
        np.asarray(side.time_us[keep]),
        np.asarray(side.count[keep]),
    )

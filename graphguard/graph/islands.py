"""Islands: who hangs together once the crowded nodes are left out.

A café, an exchange or a popular post joins everybody with everybody. Without nodes of more than so
many neighbours the graph falls into pieces, and the pieces of rings are larger than those of
people who are on their own.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from graphguard.graph.components import linked_components
from graphguard.graph.hetero import HeteroGraph

Ints = NDArray[np.int64]
CROWDS = (5, 10, 20, 50, 100, 200)
"""Most neighbours of a node that joins others."""
FEW = (5, 20)
"""Most users of a node over which users count as met."""
OWN_CROWD = 50
"""A user joins others with up to so many neighbours of its own, whatever the crowd."""


@dataclass(frozen=True)
class Islands:
    """Sizes for each node of the users' type.

    Attributes:
        nodes: Nodes in its island by crowd, shape [num_nodes] each.
        users: Known users in its island by crowd, shape [num_nodes] each.
        met: Other known users met over nodes of few users, by how few, shape [num_nodes] each.
    """

    nodes: dict[int, Ints]
    users: dict[int, Ints]
    met: dict[int, Ints]


def islands(
    graph: HeteroGraph, target: str, known: NDArray[np.bool_], span: tuple[int, int]
) -> Islands:
    """Find the islands of a window.

    Args:
        graph: The graph; all relations count, without their direction.
        target: Type of the users.
        known: Which of them are the platform's own, shape [num_nodes of the type].
        span: Edges with since <= time < until count.

    Cost: O(edges) a crowd; for those met, O(nodes of few users * few ** 2).
    """
    start = dict(zip(graph.num_nodes, np.cumsum([0, *graph.num_nodes.values()]), strict=False))
    total = sum(graph.num_nodes.values())
    mine = slice(int(start[target]), int(start[target]) + graph.num_nodes[target])
    is_known = np.zeros(total, dtype=np.bool_)
    is_known[mine] = known
    around = _undirected(graph, start, total, span)
    degree = np.diff(around.indptr)
    first, second = np.repeat(np.arange(total), degree), around.indices
    nodes, users = {}, {}
    for crowd in CROWDS:
        joins = (degree <= crowd) | (is_known & (degree <= max(crowd, OWN_CROWD)))
        both = joins[first] & joins[second]
        island = linked_components(total, first[both], second[both])
        nodes[crowd] = np.bincount(island)[island][mine]
        users[crowd] = np.bincount(island, is_known).astype(np.int64)[island][mine]
    return Islands(nodes, users, _met(around, is_known, mine))


def _undirected(
    graph: HeteroGraph, start: dict[str, np.int64], total: int, span: tuple[int, int]
) -> csr_array:
    """Distinct neighbours of every node of every type; no node is its own."""
    ends = []
    for edge_type in graph.edge_types:
        out = graph.out(edge_type)
        source = np.repeat(np.arange(out.num_rows), np.diff(out.indptr)) + start[edge_type[0]]
        target = np.asarray(out.neighbor, dtype=np.int64) + start[edge_type[2]]
        time = np.asarray(out.time_us)
        inside = (time >= span[0]) & (time < span[1]) & (source != target)
        ends.append(np.stack([source[inside], target[inside]]))
    pairs = np.concatenate([np.zeros((2, 0), dtype=np.int64), *ends], axis=1)
    both = np.concatenate([pairs, pairs[::-1]], axis=1)
    made = csr_array((np.ones(both.shape[1]), (both[0], both[1])), shape=(total, total))
    made.sum_duplicates()
    made.data[:] = 1.0
    return made


def _met(around: csr_array, known: NDArray[np.bool_], mine: slice) -> dict[int, Ints]:
    people = np.flatnonzero(known)
    of_known = csr_array(around[:, people])
    users = np.diff(of_known.indptr)
    found = {}
    for few in FEW:
        between = diags_array(((users > 1) & (users <= few)).astype(np.float64))
        met = csr_array(csr_array(around[people]) @ between @ of_known)
        met.setdiag(0)
        met.eliminate_zeros()
        counted = np.zeros(around.shape[0], dtype=np.int64)
        counted[people] = np.diff(met.indptr)
        found[few] = counted[mine]
    return found

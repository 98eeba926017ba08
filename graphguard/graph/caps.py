"""Hubs: a bottom-k sample of a node's edges of each day, by keyed hashes of the edges' keys."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphguard.config.values import DAY_US
from graphguard.graph.arrays import EdgeArrays, NodeArrays
from graphguard.graph.hetero import EdgeType
from graphguard.graph.keyed import key_hash, mix, seeded


def capped(
    arrays: EdgeArrays,
    edge_type: EdgeType,
    hubs: Mapping[str, int],
    nodes: Mapping[str, NodeArrays],
    seed: int,
) -> EdgeArrays:
    """Keep a bottom-k sample of each hub's edges of each day.

    A sample per day depends on no other day, so a window's sample is the union of its days'.
    """
    keep = np.ones(len(arrays.source), dtype=np.bool_)
    sides = ((edge_type[0], arrays.source), (edge_type[2], arrays.target))
    for node_type, ends in sides:
        cap = hubs.get(node_type)
        if cap is None or not len(ends):
            continue
        # Only nodes with more edges than that in all days can have too many in one.
        busy = np.flatnonzero((np.bincount(ends) > cap)[ends])
        group = ends[busy] * np.int64(2**20) + arrays.time_us[busy] // DAY_US
        _, place, size = np.unique(group, return_inverse=True, return_counts=True)
        full = np.flatnonzero(size[place] > cap)
        if full.size:
            marks = _edge_hash(arrays, edge_type, nodes, busy[full], seed)
            some = arrays[busy[full]]
            ranks = _rank_in_group(place[full], (marks, some.source, some.target))
            keep[busy[full[ranks >= cap]]] = False
    return arrays if keep.all() else arrays[keep]


def _edge_hash(
    arrays: EdgeArrays,
    edge_type: EdgeType,
    nodes: Mapping[str, NodeArrays],
    chosen: NDArray[np.int64],
    seed: int,
) -> NDArray[np.uint64]:
    """Hash of each chosen edge's keys and the seed; indices play no part in it."""
    parts = []
    for node_type, ends in ((edge_type[0], arrays.source), (edge_type[2], arrays.target)):
        used, place = np.unique(ends[chosen], return_inverse=True)
        parts.append(key_hash(nodes[node_type].keys.gather(used))[place])
    return seeded(mix(*parts), seed)


def _rank_in_group(group: NDArray[Any], marks: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    """Rank in each group by the first of `marks`; ties by the next, so that no order decides."""
    order = np.lexsort((*reversed(marks), group))
    ordered = group[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    rank = np.arange(len(group)) - np.repeat(starts, np.diff(np.r_[starts, len(group)]))
    result = np.empty(len(group), dtype=np.int64)
    result[order] = rank
    return result

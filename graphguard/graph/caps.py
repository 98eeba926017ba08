"""Hubs: a bottom-k sample of a node's edges of each day, by keyed hashes of the edges' keys."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphguard.config.values import DAY_US
from graphguard.graph.arrays import BLOCK, EdgeArrays, NodeArrays
from graphguard.graph.hetero import EdgeType
from graphguard.graph.keyed import key_hash, mix, seeded
from graphguard.tables.threads import threads

Degrees = tuple[NDArray[np.int64], NDArray[np.int64]]
"""How many edges each source and each target has."""
Side = tuple[NDArray[Any], NDArray[np.int64], int]
"""A node of each edge, how many edges each node has, and how many of a day it keeps."""


def capped(
    arrays: EdgeArrays,
    edge_type: EdgeType,
    nodes: Mapping[str, NodeArrays],
    rules: tuple[Mapping[str, int], int],
    degrees: Degrees,
) -> EdgeArrays:
    """Keep a bottom-k sample of each hub's edges of each day.

    A sample per day depends on no other day, so a window's sample is the union of its days'.

    Args:
        arrays: Edges with dense indices. Where some are dropped, what is kept takes their place: a
            copy would be the largest there is of a night.
        edge_type: Their type.
        nodes: Nodes by type.
        rules: Most edges a node keeps of one day by node type, and the seed of the hashes.
        degrees: Of all these edges.
    """
    hubs, seed = rules
    ends = zip((edge_type[0], edge_type[2]), (arrays.source, arrays.target), degrees, strict=True)
    sides = [(of, degree, hubs[kind]) for kind, of, degree in ends if kind in hubs and len(of)]
    mark = partial(_edge_hash, arrays, edge_type, nodes, seed=seed)
    with threads() as pool:
        dropped = pool.each(partial(_beyond, arrays, mark), sides)
        if not any(len(places) for places in dropped):
            return arrays
        keep = np.ones(len(arrays.source), dtype=np.bool_)
        for places in dropped:
            keep[places] = False
        first = min(int(places[0]) for places in dropped if len(places))
        return EdgeArrays(*pool.each(partial(_kept, keep, first), arrays.columns()))


def _kept(keep: NDArray[np.bool_], first: int, values: NDArray[Any]) -> NDArray[Any]:
    """The values to keep, moved together in place; all before `first` are."""
    end = first
    for start in range(first, len(values), BLOCK):
        part = values[start : start + BLOCK][keep[start : start + BLOCK]]
        values[end : end + len(part)] = part
        end += len(part)
    return values[:end]


def _beyond(
    arrays: EdgeArrays, mark: Callable[[NDArray[np.int64]], NDArray[np.uint64]], side: Side
) -> NDArray[np.int64]:
    """Places of the edges that the hubs of one side do not keep; `mark` is of those at places."""
    ends, degree, cap = side
    # Only nodes with more edges than that in all days can have too many in one.
    hubs = degree > cap
    if not hubs.any():
        return np.empty(0, dtype=np.int64)
    parts = range(0, len(ends), BLOCK)
    busy = np.concatenate(
        [start + np.flatnonzero(hubs.take(ends[start : start + BLOCK])) for start in parts]
    )
    group = ends[busy] * np.int64(2**20) + arrays.time_us[busy] // DAY_US
    _, place, size = np.unique(group, return_inverse=True, return_counts=True)
    full = np.flatnonzero(size[place] > cap)
    if not full.size:
        return full
    places = busy[full]
    ranks = _rank_in_group(
        place[full], (mark(places), arrays.source[places], arrays.target[places])
    )
    lost: NDArray[np.int64] = places[ranks >= cap]
    return lost


def _edge_hash(
    arrays: EdgeArrays,
    edge_type: EdgeType,
    nodes: Mapping[str, NodeArrays],
    chosen: NDArray[np.int64],
    *,
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

"""Write a graph: daily edges to CSR and CSC in mapped files, hubs capped day by day."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from graphguard.config.values import DAY_US
from graphguard.errors import GraphInvalid
from graphguard.graph.hetero import EdgeType
from graphguard.graph.keyed import key_hash, mix, seeded
from graphguard.tables.files import write_json


@dataclass(frozen=True)
class NodeArrays:
    """Nodes of one type, sorted by key: keys, and the storage index of each, shape [n]."""

    keys: pl.Series
    storage: NDArray[np.int64]


@dataclass(frozen=True)
class EdgeArrays:
    """Daily edges of one type, in any order, shape [num_edges] each.

    Attributes:
        source: Dense index of the source.
        target: Dense index of the target.
        time_us: First event of the day.
        count: Events of the day.
    """

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    time_us: NDArray[np.int64]
    count: NDArray[np.int32]


def write_graph(
    folder: Path,
    nodes: Mapping[str, NodeArrays],
    edges: Iterable[tuple[EdgeType, EdgeArrays]],
    hubs: Mapping[str, int],
    seed: int,
) -> None:
    """Write the files that `HeteroGraph.open` maps.

    Args:
        folder: Where to write; the caller commits it.
        nodes: Nodes by type.
        edges: Each edge type once; held in memory one type at a time.
        hubs: Most edges a node keeps of one day, by node type; the others are dropped by the
            smallest keyed hashes of the edge's keys, and counted in the degree.
        seed: Seed of these hashes.

    Raises:
        GraphInvalid: An edge points outside its nodes.

    Cost: O(E log E) time, about 60 bytes an edge of the largest type.
    """
    for name, part in nodes.items():
        _write_nodes(folder / "nodes" / name, part)
    names = []
    for edge_type, arrays in edges:
        names.append(list(edge_type))
        counts = (len(nodes[edge_type[0]].keys), len(nodes[edge_type[2]].keys))
        place = folder / "edges" / "__".join(edge_type)
        place.mkdir(parents=True)
        _check(place, edge_type, arrays, counts)
        np.save(place / "degree_source.npy", np.bincount(arrays.source, minlength=counts[0]))
        np.save(place / "degree_target.npy", np.bincount(arrays.target, minlength=counts[1]))
        kept = _capped(arrays, edge_type, hubs, nodes, seed)
        _write_side(place, "csr", (kept.source, kept.target), kept, counts[0])
        _write_side(place, "csc", (kept.target, kept.source), kept, counts[1])
    num_nodes = {name: len(part.keys) for name, part in nodes.items()}
    write_json(folder / "meta.json", {"num_nodes": num_nodes, "edge_types": names})


def _write_nodes(folder: Path, part: NodeArrays) -> None:
    folder.mkdir(parents=True)
    keys = part.keys.rename("key").to_frame().to_arrow(compat_level=pl.CompatLevel.oldest())
    keys = keys.combine_chunks()
    with pa.ipc.new_file(folder / "keys.arrow", keys.schema) as writer:
        writer.write_table(keys)
    np.save(folder / "storage.npy", np.ascontiguousarray(part.storage, dtype=np.int64))


def _check(place: Path, edge_type: EdgeType, arrays: EdgeArrays, counts: tuple[int, int]) -> None:
    ends = (("source", arrays.source, 0), ("target", arrays.target, 2))
    for (side, values, at), size in zip(ends, counts, strict=True):
        if values.size and not 0 <= values.min() <= values.max() < size:
            wrong = values.min() if values.min() < 0 else values.max()
            reason = f"{side} index {wrong} is not below num_nodes['{edge_type[at]}'] = {size}"
            where = f"{place.parent.name}/{place.name}"
            raise GraphInvalid(where, reason)


def _capped(
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
        group = ends * np.int64(2**20) + arrays.time_us // DAY_US
        _, place, size = np.unique(group, return_inverse=True, return_counts=True)
        crowded = np.flatnonzero(size[place] > cap)
        if crowded.size:
            marks = _edge_hash(arrays, edge_type, nodes, crowded, seed)
            ranks = _rank_in_group(
                place[crowded], (marks, arrays.source[crowded], arrays.target[crowded])
            )
            keep[crowded[ranks >= cap]] = False
    if keep.all():
        return arrays
    return EdgeArrays(
        arrays.source[keep], arrays.target[keep], arrays.time_us[keep], arrays.count[keep]
    )


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


def _write_side(
    place: Path, name: str, ends: tuple[NDArray[Any], NDArray[Any]], kept: EdgeArrays, num_rows: int
) -> None:
    rows, others = ends
    order = np.lexsort((others, kept.time_us, rows))
    indptr = np.zeros(num_rows + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=num_rows), out=indptr[1:])
    np.save(place / f"{name}_indptr.npy", indptr)
    np.save(place / f"{name}_neighbor.npy", others[order].astype(np.int32))
    np.save(place / f"{name}_time.npy", kept.time_us[order])
    np.save(place / f"{name}_count.npy", kept.count[order].astype(np.int32))

"""Write a graph: daily edges to CSR and CSC in mapped files, hubs capped day by day."""

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from graphguard.graph.array_files import begin_array
from graphguard.graph.arrays import EdgeArrays, NodeArrays, check_ends, in_order
from graphguard.graph.caps import capped
from graphguard.graph.hetero import EdgeType
from graphguard.tables.failpoint import failpoint
from graphguard.tables.files import write_json
from graphguard.tables.threads import threads

FEW = 1 << 20
"""Edges that NumPy sorts in less time than SciPy takes to import."""


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
        edges: Each edge type once; only one is held in memory.
        hubs: Most edges a node keeps of one day, by node type; the others are dropped by the
            smallest keyed hashes of the edge's keys, and counted in the degree.
        seed: Seed of these hashes.

    Raises:
        GraphInvalid: An edge points outside its nodes.

    Cost: O(E) time for edges in order of time, about 60 bytes an edge of the largest type. Rows are
    made by counting sort, which keeps the order of time inside each.
    """
    names = []
    for name, part in nodes.items():
        write_nodes(folder / "nodes" / name, part)
    # One type after the other, each in all threads: the largest would else be left to one of them.
    with threads() as pool:
        for edge_type, arrays in edges:
            names.append(edge_type)
            counts = (len(nodes[edge_type[0]].keys), len(nodes[edge_type[2]].keys))
            place = folder / "edges" / "__".join(edge_type)
            place.mkdir(parents=True)
            check_ends(place, edge_type, arrays, counts)
            some = capped(arrays, edge_type, hubs, nodes, seed)
            kept = in_order(some)
            sides = [
                _Side(place, ("csr", "source"), (kept.source, kept.target), kept, counts[0]),
                _Side(place, ("csc", "target"), (kept.target, kept.source), kept, counts[1]),
            ]
            if some is not arrays:
                for side, ends in zip(sides, (arrays.source, arrays.target), strict=True):
                    side.degree = np.bincount(ends, minlength=side.num_rows)
            columns = chain.from_iterable(pool.each(_begin_side, sides))
            pool.each(_save_taken, columns)
            del arrays, some, kept, sides
    write_meta(folder, nodes, names)


def write_meta(
    folder: Path, nodes: Mapping[str, NodeArrays], edge_types: Iterable[Sequence[str]]
) -> None:
    """Write what a graph consists of."""
    num_nodes = {name: len(part.keys) for name, part in nodes.items()}
    facts = {"num_nodes": num_nodes, "edge_types": [list(name) for name in edge_types]}
    write_json(folder / "meta.json", facts)


def write_nodes(folder: Path, part: NodeArrays) -> None:
    """Write the nodes of one type."""
    folder.mkdir(parents=True)
    keys = part.keys.rename("key").to_frame().to_arrow(compat_level=pl.CompatLevel.oldest())
    keys = keys.combine_chunks()
    with pa.ipc.new_file(folder / "keys.arrow", keys.schema) as writer:
        writer.write_table(keys)
    np.save(folder / "storage.npy", np.ascontiguousarray(part.storage, dtype=np.int64))


@dataclass
class _Side:
    """One direction to write: rows, who is on the other side, and all else of the edges.

    Attributes:
        place: Folder of the edge type.
        names: Of the direction, and of its end.
        ends: Row of each edge, and the other end.
        edges: Edges that are kept.
        num_rows: Number of rows.
        degree: Edges of each row before hubs were capped, where that is not what is kept.
    """

    place: Path
    names: tuple[str, str]
    ends: tuple[NDArray[Any], NDArray[Any]]
    edges: EdgeArrays
    num_rows: int
    degree: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class _Column:
    """A column of one direction to write: `values[order]`, as numbers of `kind`."""

    path: Path
    values: NDArray[Any]
    order: NDArray[Any]
    kind: type


def _begin_side(side: _Side) -> list[_Column]:
    """Write where the rows of a direction begin; returns what is left to write."""
    rows, others = side.ends
    name, end = side.names
    order, indptr = by_row(rows, side.num_rows)
    np.save(side.place / f"{name}_indptr.npy", indptr)
    degree = np.diff(indptr) if side.degree is None else side.degree
    np.save(side.place / f"degree_{end}.npy", degree)
    return [
        _Column(side.place / f"{name}_{column}.npy", values, order, kind)
        for column, values, kind in (
            ("neighbor", others, np.int32),
            ("time", side.edges.time_us, np.int64),
            ("count", side.edges.count, np.int32),
        )
    ]


def load_sorting() -> None:
    """Import what `by_row` sorts many edges with: a fifth of a second, which few may do without."""
    importlib.import_module("scipy.sparse")


def by_row(
    rows: NDArray[Any], num_rows: int, *, few: bool = False
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Order edges row by row, as they are inside each: SciPy's counting sort, O(E).

    Args:
        rows: Row of each edge, shape [edges].
        num_rows: Number of rows.
        few: Whether a million edges or fewer are sorted in O(E log E), without SciPy.

    Returns:
        Places of the edges in this order, shape [edges], and where each row begins in it, shape
        [num_rows + 1].
    """
    number = len(rows)
    if few and number <= FEW:
        ends = np.cumsum(np.bincount(rows, minlength=num_rows), dtype=np.int64)
        return np.argsort(rows, kind="stable"), np.r_[0, ends]
    from scipy.sparse import coo_array

    # Each edge is a column of its own, so that none is summed up with another.
    shape = (num_rows, max(number, 1))
    place = np.arange(number, dtype=np.int32 if number < 2**31 else np.int64)
    held = coo_array((np.ones(number, dtype=np.int8), (rows, place)), shape=shape).tocsr()
    return held.indices, held.indptr.astype(np.int64)


def _save_taken(column: _Column, block: int = 1 << 16) -> None:
    """Save a column as the file that `np.save` would write.

    A block at a time, in buffers that stay in the cache and need no new pages.
    """
    values, order = column.values, column.order
    places = np.empty(block, dtype=np.int64)
    taken = np.empty(block, dtype=values.dtype)
    with column.path.open("wb") as file:
        begin_array(file, np.dtype(column.kind), (len(order),))
        for start in range(0, len(order), block):
            size = min(block, len(order) - start)
            places[:size] = order[start : start + size]
            # Places are those of `values`; "clip" only saves looking at each again.
            np.take(values, places[:size], out=taken[:size], mode="clip")
            file.write(taken[:size].astype(column.kind, copy=False).data)
    failpoint(f"write:graph.{column.path.stem.replace('_', '.')}")

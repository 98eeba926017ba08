"""Write a graph: daily edges to CSR and CSC in mapped files, hubs capped day by day."""

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from graphguard.graph.arrays import (
    EdgeArrays,
    NodeArrays,
    check_ends,
    count_kind,
    degree_of,
    in_order,
)
from graphguard.graph.caps import capped
from graphguard.graph.hetero import EdgeType
from graphguard.graph.together import Together
from graphguard.tables.commit import give_back_memory
from graphguard.tables.failpoint import failpoint
from graphguard.tables.files import begin_sync, write_json
from graphguard.tables.threads import threads

if TYPE_CHECKING:
    from scipy.sparse import csr_array

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

    Cost: O(E) time for edges in order of time, about 45 bytes an edge of the largest type. Rows are
    made by counting sort, which keeps the order of time inside each.
    """
    names = []
    # One type after the other, each in all threads: the largest would else be left to one of them.
    with threads() as pool:
        begun = pool.start(lambda kind: write_nodes(folder / "nodes" / kind, nodes[kind]), nodes)
        for edge_type, arrays in edges:
            give_back_memory()
            names.append(edge_type)
            counts = (len(nodes[edge_type[0]].keys), len(nodes[edge_type[2]].keys))
            place = folder / "edges" / "__".join(edge_type)
            place.mkdir(parents=True)
            check_ends(place, edge_type, arrays, counts)
            ends = zip((arrays.source, arrays.target), counts, strict=True)
            source, target = pool.each(lambda end: degree_of(*end), ends)
            kept = in_order(capped(arrays, edge_type, nodes, (hubs, seed), (source, target)))
            del arrays
            sides = [
                _Side(place, ("csr", "source"), (kept.source, kept.target), counts, source),
                _Side(place, ("csc", "target"), (kept.target, kept.source), counts[::-1], target),
            ]
            works = _works(sides, kept)
            del kept, sides
            pool.each(lambda work: work(), works)
            del works
        begun.results()
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


@dataclass(frozen=True)
class _Side:
    """One direction to write: rows, and who is on the other side.

    Attributes:
        place: Folder of the edge type.
        names: Of the direction, and of its end.
        ends: Row of each edge that is kept, and the other end.
        shape: Number of rows, and of nodes on the other side.
        degree: Edges of each row before hubs were capped.
    """

    place: Path
    names: tuple[str, str]
    ends: tuple[NDArray[Any], NDArray[Any]]
    shape: tuple[int, int]
    degree: NDArray[np.int64]


def _works(sides: Sequence[_Side], edges: EdgeArrays) -> list[Callable[[], None]]:
    """What is to be done to save the edges; their times are given up."""
    both = Together.of(edges.time_us, edges.count)
    if both is not None:
        return [partial(_save_together, side, both) for side in sides]
    saves = (_save_times, _save_counts)
    return [partial(save, side, edges) for save in saves for side in sides]


def _save_together(side: _Side, both: Together) -> None:
    """Save all of a direction."""
    time_us, count = both.apart(_save_rows(side, both.values))
    _save(side, "time", time_us)
    _save(side, "count", count)


def _save_times(side: _Side, edges: EdgeArrays) -> None:
    """Save all of a direction but the counts."""
    _save(side, "time", _save_rows(side, edges.time_us))


def _save_counts(side: _Side, edges: EdgeArrays) -> None:
    """Save how many events each edge of a direction stands for."""
    kind = count_kind(int(edges.count.max(initial=0)))
    _save(side, "count", _in_rows(side, edges.count.astype(kind, copy=False)).data)


def _save_rows(side: _Side, values: NDArray[Any]) -> NDArray[Any]:
    """Save where the rows of a direction begin, and the other end of each edge.

    Returns:
        Some values of all edges, row by row.
    """
    name, end = side.names
    held = _in_rows(side, values)
    np.save(side.place / f"{name}_indptr.npy", held.indptr.astype(np.int64, copy=False))
    np.save(side.place / f"degree_{end}.npy", side.degree)
    _save(side, "neighbor", held.indices.astype(np.int32, copy=False))
    moved: NDArray[Any] = held.data
    return moved


def _save(side: _Side, column: str, values: NDArray[Any]) -> None:
    with (side.place / f"{side.names[0]}_{column}.npy").open("wb") as file:
        np.save(file, values)
        # The disk works while the next columns are made.
        begin_sync(file)
    failpoint(f"write:graph.{side.names[0]}.{column}")


def _in_rows(side: _Side, values: NDArray[Any]) -> "csr_array":
    """The other ends (`indices`) and some values (`data`) of all edges, row by row.

    SciPy's counting sort, O(E): it keeps the order inside each row.
    """
    from scipy.sparse import coo_array

    edges = coo_array((values, side.ends), shape=side.shape)
    # Edges of one pair on two days are two: so said, none is summed up with another.
    edges.has_canonical_format = True
    return edges.tocsr()


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

"""A heterogeneous graph of daily edges in mapped files: opened in milliseconds, read where touched.

```
meta.json                                       node types, counts, edge types, window of days
nodes/<type>/keys.arrow, storage.npy            entities sorted by key
edges/<src>__<rel>__<dst>/<csr|csc>_<array>.npy indptr, neighbor, time, count; degree_<side>
```
Rows are sorted by time, so a time range of a node's edges is one slice.
"""

import bisect
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from graphguard.errors import GraphInvalid, UnknownEntity
from graphguard.tables.files import read_json

if TYPE_CHECKING:
    import networkx as nx
    from torch_geometric.data import HeteroData

EdgeType = tuple[str, str, str]
Side = Literal["source", "target"]


@dataclass(frozen=True)
class Adjacency:
    """One direction of one edge type; arrays may be mapped files.

    Attributes:
        indptr: Where each row begins, shape [num_rows + 1], int64.
        neighbor: Dense index on the other side, shape [num_edges], int32.
        time_us: First event of the edge's day, shape [num_edges], int64, ascending inside a row.
        count: Events of the day, shape [num_edges], uint8 where all fit, else int32.
    """

    indptr: NDArray[np.int64]
    neighbor: NDArray[np.int32]
    time_us: NDArray[np.int64]
    count: NDArray[np.uint8] | NDArray[np.int32]

    @property
    def num_rows(self) -> int:
        """Nodes on this side."""
        return len(self.indptr) - 1

    def window(
        self, rows: NDArray[Any], since_us: NDArray[Any] | int, until_us: NDArray[Any] | int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Range of each row's edges with since <= time < until.

        Args:
            rows: Rows to look at, shape [n].
            since_us: One time, or one a row.
            until_us: One time, or one a row.

        Returns:
            First position and end of each range, shape [n] each.

        Cost: O(n log degree).
        """
        low, high = self.indptr[rows], self.indptr[np.asarray(rows) + 1]
        first = _lower_bound(self.time_us, low, high, np.broadcast_to(since_us, low.shape))
        last = _lower_bound(self.time_us, low, high, np.broadcast_to(until_us, low.shape))
        return first, np.maximum(first, last)


def _lower_bound(
    values: NDArray[np.int64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    wanted: NDArray[np.int64],
) -> NDArray[np.int64]:
    """First position in [low, high) whose value is not below `wanted`, for many ranges at once."""
    low, high = np.array(low, dtype=np.int64), np.array(high, dtype=np.int64)
    open_ = np.flatnonzero(low < high)
    while open_.size:
        middle = (low[open_] + high[open_]) // 2
        below = values[middle] < wanted[open_]
        low[open_[below]] = middle[below] + 1
        high[open_[~below]] = middle[~below]
        open_ = open_[low[open_] < high[open_]]
    return low


class HeteroGraph:
    """Nodes by type, edges by type, both directions."""

    def __init__(
        self,
        num_nodes: dict[str, int],
        adjacency: dict[EdgeType, tuple[Adjacency, Adjacency]],
        names: Mapping[str, Sequence[str]],
    ) -> None:
        self.num_nodes = dict(num_nodes)
        self.edge_types: tuple[EdgeType, ...] = tuple(adjacency)
        self._adjacency = adjacency
        self._names = names
        self._folder: Path | None = None

    @classmethod
    def open(cls, folder: Path) -> "HeteroGraph":
        """Map the graph that `write_graph` left in `folder`.

        Raises:
            GraphInvalid: Files do not agree with one another.
        """
        meta = read_json(folder / "meta.json")
        if not isinstance(meta, dict) or not meta.keys() >= {"edge_types", "num_nodes"}:
            reason = "does not say edge_types and num_nodes"
            raise GraphInvalid(str(folder / "meta.json"), reason)
        adjacency: dict[EdgeType, tuple[Adjacency, Adjacency]] = {}
        for name in meta["edge_types"]:
            edge_type: EdgeType = (name[0], name[1], name[2])
            place = folder / "edges" / "__".join(name)
            sides = (_open_side(place, "csr"), _open_side(place, "csc"))
            for side, node_type in zip(sides, (name[0], name[2]), strict=True):
                _check_side(place, side, node_type, meta["num_nodes"][node_type])
            adjacency[edge_type] = sides
        names = {kind: _MappedKeys(folder / "nodes" / kind) for kind in meta["num_nodes"]}
        graph = cls(meta["num_nodes"], adjacency, names)
        graph._folder = folder
        return graph

    @property
    def folder(self) -> Path | None:
        """Where its mapped files lie; None for a graph in memory."""
        return self._folder

    def out(self, edge_type: EdgeType) -> Adjacency:
        """Edges by source (CSR)."""
        return self._adjacency[edge_type][0]

    def into(self, edge_type: EdgeType) -> Adjacency:
        """Edges by target (CSC)."""
        return self._adjacency[edge_type][1]

    def degree(self, edge_type: EdgeType, side: Side) -> NDArray[np.int64]:
        """Daily edges of each node before hubs were capped, shape [num_nodes], int64."""
        if self._folder is None:
            adjacency = self.out(edge_type) if side == "source" else self.into(edge_type)
            return np.diff(adjacency.indptr)
        return _map(self._folder / "edges" / "__".join(edge_type) / f"degree_{side}.npy")

    def keys(self, node_type: str) -> Sequence[str]:
        """Keys of a type's nodes, sorted; position = dense index."""
        return self._names[node_type]

    def storage(self, node_type: str) -> NDArray[np.int64]:
        """Storage index of each dense index, shape [num_nodes], int64."""
        if self._folder is None:
            return np.arange(self.num_nodes[node_type])
        return _map(self._folder / "nodes" / node_type / "storage.npy")

    def dense(self, node_type: str, storage: NDArray[np.int64]) -> NDArray[np.int64]:
        """Dense index of each storage index; -1 where the graph does not hold it."""
        mine = self.storage(node_type)
        size = int(max(mine.max(initial=-1), storage.max(initial=-1))) + 1
        table = np.full(size, -1, dtype=np.int64)
        table[mine] = np.arange(len(mine))
        return np.asarray(table[storage])

    def index_of(self, node_type: str, key: str) -> int:
        """Dense index of a key.

        Raises:
            UnknownEntity: The graph holds no such node, or no such type.
        """
        if node_type not in self.num_nodes:
            kind = "node type"
            raise UnknownEntity(kind, node_type, sorted(self.num_nodes))
        keys = self._names[node_type]
        place = bisect.bisect_left(keys, key)
        if place < len(keys) and keys[place] == key:
            return place
        around = [keys[n] for n in range(max(0, place - 500), min(len(keys), place + 500))]
        raise UnknownEntity(node_type, key, difflib.get_close_matches(key, around, n=3, cutoff=0.5))

    @cached_property
    def num_edges(self) -> dict[EdgeType, int]:
        """Daily edges kept, by type."""
        return {name: len(self.out(name).neighbor) for name in self.edge_types}

    def subgraph(
        self,
        nodes: Mapping[str, NDArray[Any] | Sequence[str]],
        since_us: int | None = None,
        until_us: int | None = None,
    ) -> "HeteroGraph":
        """The graph among some nodes (keys or dense indices by type), in memory.

        Its dense indices follow the sorted nodes; `since_us` and `until_us` bound its edges.
        """
        from graphguard.graph.interop import induced_subgraph

        return induced_subgraph(self, nodes, (since_us, until_us))

    def replaced(self, adjacency: Mapping[EdgeType, tuple[Adjacency, Adjacency]]) -> "HeteroGraph":
        """The same nodes with other edges of some types, in memory; `degree` stays as stored."""
        found = HeteroGraph(self.num_nodes, {**self._adjacency, **adjacency}, self._names)
        found._folder = self._folder
        return found

    def to_pyg(self) -> "HeteroData":
        """All edges as torch-geometric HeteroData; see `graphguard.graph.interop`."""
        from graphguard.graph.interop import to_pyg

        return to_pyg(self)

    def to_dgl(self) -> Any:
        """All edges as a DGL heterograph (extra `dgl`)."""
        from graphguard.graph.interop import to_dgl

        return to_dgl(self)

    def to_networkx(self) -> "nx.MultiDiGraph":
        """All edges as a networkx graph with keys as nodes; for small graphs."""
        from graphguard.graph.interop import to_networkx

        return to_networkx(self)

    def __repr__(self) -> str:
        nodes = ", ".join(f"{name} {count:,}" for name, count in self.num_nodes.items())
        edges = ", ".join(f"{'-'.join(name)} {n:,}" for name, n in self.num_edges.items())
        return f"HeteroGraph(nodes: {nodes}; daily edges: {edges})"


class _MappedKeys(Sequence[str]):
    """Sorted keys in an Arrow file, decoded one by one."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "keys.arrow"

    @cached_property
    def _column(self) -> pa.Array:
        with pa.memory_map(str(self._path)) as file:
            table = pa.ipc.open_file(file).read_all()
        column = table.column("key")
        return column.chunk(0) if column.num_chunks else pa.array([], pa.large_string())

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return self._column[place].to_pylist()
        return self._column[int(place)].as_py()

    def __arrow_array__(self, type: pa.DataType | None = None) -> pa.Array:  # noqa: A002
        return self._column if type is None else self._column.cast(type)


def _map(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise GraphInvalid(str(path), f"cannot be mapped ({error})") from error
    return array


def _open_side(place: Path, side: str) -> Adjacency:
    arrays = [
        _map(place / f"{side}_{name}.npy") for name in ("indptr", "neighbor", "time", "count")
    ]
    return Adjacency(*arrays)


def _check_side(place: Path, side: Adjacency, node_type: str, num_nodes: int) -> None:
    if side.num_rows != num_nodes:
        reason = f"{side.num_rows} rows, but num_nodes['{node_type}'] = {num_nodes}"
        raise GraphInvalid(str(place), reason)
    sizes = {len(side.neighbor), len(side.time_us), len(side.count), int(side.indptr[-1])}
    if len(sizes) != 1:
        raise GraphInvalid(str(place), f"arrays of one direction have {sorted(sizes)} edges")

"""The graph in other libraries' forms: torch-geometric, DGL, networkx; and small pieces of it."""

import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graphguard.errors import MissingExtra
from graphguard.graph.hetero import Adjacency, EdgeType, HeteroGraph
from graphguard.graph.ranges import ranges

if TYPE_CHECKING:
    import networkx as nx
    from torch_geometric.data import HeteroData

Ends = tuple[NDArray[np.int64], NDArray[np.int64]]


def edge_ends(graph: HeteroGraph, edge_type: EdgeType) -> Ends:
    """Source and target of every daily edge in CSR order, shape [num_edges] each, int64."""
    adjacency = graph.out(edge_type)
    source = np.repeat(np.arange(adjacency.num_rows), np.diff(adjacency.indptr))
    return source, adjacency.neighbor.astype(np.int64)


def to_pyg(graph: HeteroGraph) -> "HeteroData":
    """Copy the graph to torch-geometric.

    Returns:
        HeteroData with `num_nodes` per type, and per edge type `edge_index` [2, num_edges] (CSR
        order), `time` (first event of the day, microseconds) and `count`, all int64.
    """
    import torch
    from torch_geometric.data import HeteroData

    data = HeteroData()
    for node_type, count in graph.num_nodes.items():
        data[node_type].num_nodes = count
    for edge_type in graph.edge_types:
        adjacency = graph.out(edge_type)
        data[edge_type].edge_index = torch.from_numpy(np.stack(edge_ends(graph, edge_type)))
        data[edge_type].time = torch.from_numpy(np.array(adjacency.time_us))
        data[edge_type].count = torch.from_numpy(adjacency.count.astype(np.int64))
    return data


def to_dgl(graph: HeteroGraph) -> Any:
    """Copy the graph to DGL: edge data `time` and `count`, both int64.

    Raises:
        MissingExtra: dgl is not installed.
    """
    import torch

    dgl = import_dgl("to_dgl()")
    ends = {}
    for edge_type in graph.edge_types:
        source, target = edge_ends(graph, edge_type)
        ends[edge_type] = (torch.from_numpy(source), torch.from_numpy(target))
    found = dgl.heterograph(ends, num_nodes_dict=graph.num_nodes)
    for edge_type in graph.edge_types:
        adjacency = graph.out(edge_type)
        found.edges[edge_type].data["time"] = torch.from_numpy(np.array(adjacency.time_us))
        count = torch.from_numpy(adjacency.count.astype(np.int64))
        found.edges[edge_type].data["count"] = count
    return found


def to_networkx(graph: HeteroGraph) -> "nx.MultiDiGraph":
    """Copy a small graph to networkx.

    Returns:
        Nodes named `type:key` with attributes `type` and `key`; one edge per daily edge with
        `relation`, `day` (ISO) and `count`.
    """
    import networkx as nx

    found = nx.MultiDiGraph()
    names = {}
    for node_type, count in graph.num_nodes.items():
        keys = graph.keys(node_type)[:count]
        names[node_type] = [f"{node_type}:{key}" for key in keys]
        for name, key in zip(names[node_type], keys, strict=True):
            found.add_node(name, type=node_type, key=key)
    for edge_type in graph.edge_types:
        adjacency = graph.out(edge_type)
        source, target = edge_ends(graph, edge_type)
        for one, other, time, count in zip(
            source, target, adjacency.time_us, adjacency.count, strict=True
        ):
            found.add_edge(
                names[edge_type[0]][one],
                names[edge_type[2]][other],
                relation=edge_type[1],
                day=_day(int(time)),
                count=int(count),
            )
    return found


def induced_subgraph(
    graph: HeteroGraph,
    nodes: Mapping[str, NDArray[Any] | Sequence[str]],
    span_us: tuple[int | None, int | None],
) -> HeteroGraph:
    """Keep the edges between chosen nodes within a span of time, in memory.

    Args:
        graph: The graph.
        nodes: Dense indices, or keys, to keep by node type; a type left out keeps no node.
        span_us: First time and end, microseconds; None leaves a side open.

    Returns:
        A graph whose dense indices follow the sorted, distinct chosen nodes.

    Raises:
        UnknownEntity: The graph does not hold a node type or key.

    Cost: reads the rows of the chosen sources only.
    """
    chosen = {kind: np.zeros(0, dtype=np.int64) for kind in graph.num_nodes}
    for kind, wanted in nodes.items():
        chosen[kind] = np.unique([_dense(graph, kind, one) for one in wanted]).astype(np.int64)
    since = span_us[0] if span_us[0] is not None else -(2**62)
    until = span_us[1] if span_us[1] is not None else 2**62
    adjacency: dict[EdgeType, tuple[Adjacency, Adjacency]] = {}
    for edge_type in graph.edge_types:
        sources, targets = chosen[edge_type[0]], chosen[edge_type[2]]
        whole = graph.out(edge_type)
        first, last = whole.window(sources, since, until)
        positions = ranges(first, last)
        row = np.repeat(np.arange(len(sources)), last - first)
        place = np.searchsorted(targets, whole.neighbor[positions])
        place = np.minimum(place, max(len(targets) - 1, 0))
        inside = (
            targets[place] == whole.neighbor[positions]
            if len(targets)
            else np.zeros(len(row), bool)
        )
        kept = (row[inside], place[inside], positions[inside])
        time, count = whole.time_us[kept[2]], whole.count[kept[2]]
        adjacency[edge_type] = (
            _side((kept[0], kept[1]), len(sources), (time, count)),
            _side((kept[1], kept[0]), len(targets), (time, count)),
        )
    counts = {kind: len(found) for kind, found in chosen.items()}
    names = {kind: [graph.keys(kind)[int(n)] for n in found] for kind, found in chosen.items()}
    return HeteroGraph(counts, adjacency, names)


def _dense(graph: HeteroGraph, kind: str, node: Any) -> int:
    return graph.index_of(kind, node) if isinstance(node, str) else int(node)


def _side(
    ends: tuple[NDArray[Any], NDArray[Any]], num_rows: int, values: tuple[Any, Any]
) -> Adjacency:
    rows, others = ends
    time, count = values
    order = np.lexsort((others, time, rows))
    indptr = np.zeros(num_rows + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=num_rows), out=indptr[1:])
    return Adjacency(indptr, others[order].astype(np.int32), time[order], count[order])


def _day(time_us: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)).date().isoformat()


def import_dgl(feature: str) -> Any:
    """Import DGL.

    Args:
        feature: What needs it, for the message.

    Raises:
        MissingExtra: dgl is not installed.
    """
    # Unset, dgl writes a file of its choice into the home folder.
    os.environ.setdefault("DGLBACKEND", "pytorch")
    try:
        import packaging

        # dgl 1.1.3 imports a copy of `packaging` that current setuptools no longer carries.
        sys.modules.setdefault("setuptools.extern.packaging", packaging)
        sys.modules.setdefault("setuptools.extern", packaging)
        with warnings.catch_warnings():
            # Its source has '\P' in a plain string. Compiled, where no bytecode of it lies, that is
            # a SyntaxError for who makes warnings errors.
            for category in (DeprecationWarning, SyntaxWarning):
                warnings.simplefilter("ignore", category)
            import dgl
    except ImportError as error:
        raise MissingExtra(feature, "dgl") from error
    return dgl

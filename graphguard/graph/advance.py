"""The graph of a later span of days from that of an earlier one: what stays is copied.

A window differs from the night before by the day that left it and the day that came. Nodes and
edges are in order already, by key and by row and time; so nothing is sorted but what came, and no
day that stays is read. The files are byte for byte those that `write_graph` makes of all days.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from graphguard.errors import GraphInvalid
from graphguard.graph.arrays import (
    EdgeArrays,
    NodeArrays,
    check_ends,
    degree_of,
    dense_of,
    in_order,
)
from graphguard.graph.build import write_meta, write_nodes
from graphguard.graph.caps import capped
from graphguard.graph.hetero import EdgeType, HeteroGraph, Side
from graphguard.graph.ranges import distinct
from graphguard.graph.splice import Spans, Splice, write_spliced
from graphguard.tables.threads import threads

Ints = NDArray[np.int64]
Degrees = dict[tuple[EdgeType, Side], Ints]
Dense = dict[str, NDArray[np.int32]]
"""Dense index in the earlier graph of each storage index, by node type."""
SIDES: tuple[Side, Side] = ("source", "target")


@dataclass(frozen=True)
class Change:
    """What sets the daily edges of one type apart from the earlier graph's; storage indices.

    Attributes:
        left: Edges of the days that left, before hubs were capped.
        left_us: When these days were: since <= time < until, microseconds.
        came: Edges of the days that came; each is later than all that stay.
    """

    left: EdgeArrays
    left_us: Spans
    came: EdgeArrays


def advance_graph(
    folder: Path,
    base: HeteroGraph,
    changes: Mapping[EdgeType, Change],
    keys: Callable[[str, Ints], pl.Series],
    rules: tuple[Mapping[str, int], int],
) -> dict[str, int]:
    """Write the files of the graph that `base` becomes.

    Args:
        folder: Where to write; the caller commits it.
        base: The earlier graph, mapped; made with the same rules.
        changes: What changes, for each of its edge types.
        keys: Gives the key of each of some storage indices of a node type, null where none is.
        rules: Most edges a node keeps of one day by node type, and the seed, as of `write_graph`.

    Returns:
        Number of nodes of each type.

    Raises:
        GraphInvalid: `base` does not hold what left, or holds what is not earlier than what came,
            or its nodes have other keys than `keys` says, as those of another workspace would.

    Cost: one pass over the nodes and over the edges of either direction; memory O(changes), and of
    tables by storage index, as long as the largest there is.
    """
    kinds = list(base.num_nodes)
    dense = {kind: dense_of(base.storage(kind)) for kind in kinds}
    degrees = _degrees_of_what_stays(base, changes, dense)
    with threads() as pool:
        found = pool.each(lambda kind: _move(base, kind, changes, (dense, degrees), keys), kinds)
        moves = dict(zip(kinds, found, strict=True))
        nodes = {kind: move.nodes for kind, move in moves.items()}
        begun = [pool.start(lambda kind: write_nodes(folder / "nodes" / kind, nodes[kind]), kinds)]
        for edge_type, change in changes.items():
            place = folder / "edges" / "__".join(edge_type)
            place.mkdir(parents=True)
            ends = (moves[edge_type[0]], moves[edge_type[2]])
            came = replace(
                change.came,
                source=_places(ends[0].dense, change.came.source),
                target=_places(ends[1].dense, change.came.target),
                # Ties are put in order in place, and what hubs drop gives way to what they keep.
                time_us=change.came.time_us.copy(),
                count=change.came.count.copy(),
            )
            sizes = (len(ends[0].nodes.keys), len(ends[1].nodes.keys))
            check_ends(place, edge_type, came, sizes)
            for side, move, new in zip(SIDES, ends, (came.source, came.target), strict=True):
                np.save(place / f"degree_{side}.npy", move.count(degrees[edge_type, side], new))
            many = (degree_of(came.source, sizes[0]), degree_of(came.target, sizes[1]))
            came = in_order(capped(came, edge_type, nodes, rules, many))
            most = (degrees[edge_type, "source"], degrees[edge_type, "target"])
            both = _both_ways(base, edge_type, (ends, most), came, change.left_us)
            begun.append(pool.start(partial(_write, place), both))
        for work in begun:
            work.results()
    write_meta(folder, nodes, changes)
    return {kind: len(part.keys) for kind, part in nodes.items()}


def _write(place: Path, part: tuple[str, Splice]) -> None:
    write_spliced(place, *part)


def _both_ways(
    base: HeteroGraph,
    edge_type: EdgeType,
    ends: tuple[tuple["_Move", "_Move"], tuple[Ints, Ints]],
    came: EdgeArrays,
    left_us: Spans,
) -> list[tuple[str, Splice]]:
    (source, target), most = ends
    out = Splice(
        base=base.out(edge_type),
        rows=source.new,
        others=target.new,
        most=most[0],
        left_us=left_us,
        came=came,
        came_rows=came.source,
        came_others=came.target,
        num_rows=len(source.nodes.keys),
    )
    into = replace(
        out,
        base=base.into(edge_type),
        rows=target.new,
        others=source.new,
        most=most[1],
        came_rows=came.target,
        came_others=came.source,
        num_rows=len(target.nodes.keys),
    )
    return [("csr", out), ("csc", into)]


def _degrees_of_what_stays(
    base: HeteroGraph, changes: Mapping[EdgeType, Change], dense: Dense
) -> Degrees:
    """Daily edges of each old node in the days that stay, by edge type and side."""
    found: Degrees = {}
    for edge_type, change in changes.items():
        for side, kind, storage in _ends(edge_type, change.left):
            place = _places(dense[kind], storage)
            size = base.num_nodes[kind]
            left = np.bincount(place[place >= 0], minlength=size)
            stay = np.asarray(base.degree(edge_type, side)) - left
            if (place < 0).any() or stay.min(initial=0) < 0:
                reason = "does not hold all edges of the days that leave it"
                raise GraphInvalid("__".join(edge_type), reason)
            found[edge_type, side] = stay
    return found


def _places(dense: NDArray[np.int32], storage: NDArray[Any]) -> NDArray[np.int32]:
    """Dense index of each storage index, which may lie past the end of the table."""
    found = np.full(len(storage), -1, dtype=np.int32)
    inside = storage < len(dense)
    found[inside] = dense[storage[inside]]
    return found


def _ends(edge_type: EdgeType, edges: EdgeArrays) -> Iterator[tuple[Side, str, NDArray[Any]]]:
    yield "source", edge_type[0], edges.source
    yield "target", edge_type[2], edges.target


@dataclass(frozen=True)
class _Move:
    """What becomes of the nodes of one type.

    Attributes:
        nodes: The new nodes.
        new: New dense index of each old one, shape [old nodes]; -1 where a node left.
        dense: New dense index of each storage index; -1 where the graph has no such node.
    """

    nodes: NodeArrays
    new: NDArray[np.int32]
    dense: NDArray[np.int32]

    def count(self, stay: Ints, came: NDArray[np.int32]) -> Ints:
        """Degree of each new node: what stays of the old ones', and what came."""
        degree = np.bincount(came, minlength=len(self.nodes.keys))
        held = self.new >= 0
        degree[self.new[held]] += stay[held]
        return degree


def _invalid(kind: str, reason: str) -> GraphInvalid:
    where = f"nodes/{kind}"
    return GraphInvalid(where, reason)


def _added(kind: str, keys: Callable[[str, Ints], pl.Series], storage: Ints) -> pl.DataFrame:
    """Columns `key` and `index` of nodes that the earlier graph lacks, by key."""
    named = keys(kind, storage)
    if named.null_count():
        strange = storage[named.is_null().to_numpy()][0]
        raise _invalid(kind, f"an edge names storage index {strange}, which has no key")
    return pl.DataFrame({"key": named, "index": storage}).sort("key")


def _move(
    base: HeteroGraph,
    kind: str,
    changes: Mapping[EdgeType, Change],
    held_before: tuple[Dense, Degrees],
    keys: Callable[[str, Ints], pl.Series],
) -> _Move:
    """Nodes with an edge in the new span, by key: those of the old that keep or get one, others."""
    dense, degrees = held_before
    old = base.storage(kind)
    stays = np.zeros(len(old), dtype=np.bool_)
    came: list[NDArray[Any]] = []
    for edge_type, change in changes.items():
        for side, end, storage in _ends(edge_type, change.came):
            if end == kind:
                stays |= degrees[edge_type, side] > 0
                came.append(storage)
    met = distinct(np.concatenate(came)) if came else np.zeros(0, dtype=np.int64)
    place = _places(dense[kind], met)
    stays[place[place >= 0]] = True
    added = _added(kind, keys, met[place < 0])
    old_keys = pl.Series("key", pa.array(base.keys(kind), type=pa.large_string()))
    if not keys(kind, old).equals(old_keys):
        raise _invalid(kind, "its nodes have other storage indices than the ids say")
    held = old_keys.filter(pl.Series(stays))
    # Where each added key stands among those held; both are sorted, and so is what becomes of them.
    before = held.search_sorted(added.get_column("key")).to_numpy().astype(np.int64)
    place_of_added = before + np.arange(len(before))
    number = len(held) + len(before)
    is_held = np.ones(number, dtype=np.bool_)
    is_held[place_of_added] = False
    order = np.empty(number, dtype=np.int64)
    order[is_held] = np.arange(len(held))
    order[place_of_added] = np.arange(len(held), number)
    every = pl.concat([held, added.get_column("key")]).gather(order)
    storage = np.concatenate([old[stays], added.get_column("index").to_numpy()])[order]
    new = np.full(len(old), -1, dtype=np.int32)
    new[stays] = np.flatnonzero(is_held)
    return _Move(NodeArrays(every, storage), new, dense_of(storage))

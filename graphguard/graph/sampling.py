"""Sample neighbourhoods in time: a tree per seed, over all relations both ways, in whole batches.

Torch-geometric's own neighbour loader needs pyg-lib, which has no package on the usual index; this
sampler implements its `BaseSampler` in vectorised torch over CSR, so it plugs into `NodeLoader`.
Every sampled edge has its time in [anchor - window, anchor) of its own seed. What is drawn follows
a hash of (seed, seed node, anchor, place in the tree), so a seed's tree is the same in every batch.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.sampler import BaseSampler, HeteroSamplerOutput, NodeSamplerInput

from graphguard.graph.hetero import Adjacency, EdgeType, HeteroGraph, Side

REVERSE = "rev_"


def reverse_type(edge_type: EdgeType) -> EdgeType:
    """The type of the same edges walked the other way.

    >>> reverse_type(("user", "likes", "content"))
    ('content', 'rev_likes', 'user')
    """
    return (edge_type[2], REVERSE + edge_type[1], edge_type[0])


def walked_types(edge_types: Sequence[EdgeType]) -> list[tuple[EdgeType, EdgeType, bool]]:
    """Every way to step: (type of the messages, stored type, whether CSC holds the asker's row).

    A node asks for its neighbours; messages then flow from them to it. So asking along `likes`
    from a user sends messages of type `rev_likes` from contents to users.
    """
    steps = []
    for edge_type in edge_types:
        steps.append((reverse_type(edge_type), edge_type, False))
        steps.append((edge_type, edge_type, True))
    return steps


class TemporalSampler(BaseSampler):  # type: ignore[misc]
    """Disjoint trees of neighbours bounded in time.

    Args:
        graph: The graph.
        fanouts: Neighbours per relation and direction at each hop.
        window_us: Length of the window before each seed's anchor.
        seed: Seed of every draw.
        node_type: Type of the seeds.
        device: Where to sample; the arrays are copied there once.
    """

    def __init__(
        self,
        graph: HeteroGraph,
        fanouts: Sequence[int],
        window_us: int,
        *,
        seed: int = 0,
        node_type: str = "user",
        device: str = "cpu",
    ) -> None:
        self.fanouts, self.window_us, self.seed = list(fanouts), window_us, seed
        self.node_type = node_type
        self.steps = walked_types(graph.edge_types)
        self._rows = {
            message: _tensors(graph.into(stored) if by_target else graph.out(stored), device)
            for message, stored, by_target in self.steps
        }
        self.node_types = sorted(graph.num_nodes)
        self._device = device

    def sample_from_nodes(self, index: NodeSamplerInput, **_: Any) -> HeteroSamplerOutput:
        """Sample the trees of a batch of seeds; `index.time` holds their anchors."""
        device = self._device
        seeds, anchor = index.node.to(device), index.time.to(device)
        trees = _Trees(self.node_types, self.node_type, seeds, device)
        state = hash_step(hash_step(seeds + self.seed * 1_000_003, anchor), torch.zeros_like(seeds))
        trees.marks[self.node_type] = [state]
        for hop, fanout in enumerate(self.fanouts):
            self._hop(trees, anchor, hop, fanout)
        return trees.output(index.input_id, anchor, self.steps)

    def sample_from_edges(self, *_: Any, **__: Any) -> HeteroSamplerOutput:
        """Not offered: seeds are nodes."""
        message = "TemporalSampler samples from nodes; pass it to a NodeLoader"
        raise NotImplementedError(message)

    @property
    def edge_permutation(self) -> None:
        """Edges are numbered as they are stored."""
        return None

    def _hop(self, trees: "_Trees", anchor: Tensor, hop: int, fanout: int) -> None:
        frontier = {kind: trees.frontier(kind) for kind in self.node_types}
        for number, (message, _, _) in enumerate(self.steps):
            asker, other = message[2], message[0]
            place, nodes, batch, marks = frontier[asker]
            if not len(nodes):
                trees.add(message, other, _nothing(self._device), hop)
                continue
            until = anchor[batch]
            rows = self._rows[message]
            low, high = _windows(rows, nodes, until - self.window_us, until)
            salt = torch.full_like(marks, 1 + number + 1_000 * hop)
            source, position, draw = _draw(low, high, fanout, hash_step(marks, salt))
            found = (
                rows["neighbor"][position].to(torch.int64),
                place[source],
                batch[source],
                hash_step(draw, salt[source]),
                position,
            )
            trees.add(message, other, found, hop)
        trees.close(hop)


def window_degree(
    graph: HeteroGraph,
    edge_type: EdgeType,
    side: Side,
    span: tuple[NDArray[Any], NDArray[Any]],
    window_us: int,
) -> NDArray[np.int64]:
    """Daily edges of nodes within the windows before their anchors; `span` is (nodes, anchors)."""
    nodes, anchor_us = span
    adjacency = graph.out(edge_type) if side == "source" else graph.into(edge_type)
    first, last = adjacency.window(nodes, anchor_us - window_us, anchor_us)
    return last - first


def hash_step(state: Tensor, value: Tensor) -> Tensor:
    """Mix a value into a hash (splitmix64 on signed 64-bit integers, which wrap the same way)."""
    mixed = state + value - 7046029254386353131
    mixed = (mixed ^ _shift(mixed, 30)) * -4658895280553007687
    mixed = (mixed ^ _shift(mixed, 27)) * -7723592293110705685
    return mixed ^ _shift(mixed, 31)


def _shift(value: Tensor, bits: int) -> Tensor:
    """Shift right without the sign."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def _draw(low: Tensor, high: Tensor, fanout: int, marks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Draw up to `fanout` distinct positions from each range, uniformly.

    Returns:
        Which range each draw is of, its position, and a hash of the draw. A range no larger than
        the fanout is taken whole. Of a larger one, Floyd's method draws without replacement: for
        each step j it takes a uniform t in [0, j], or j itself where t was taken already.
    """
    size = high - low
    count = torch.clamp(size, max=fanout)
    chosen = torch.zeros((len(low), fanout), dtype=torch.int64, device=low.device)
    step = torch.arange(fanout, device=low.device)
    for number in range(fanout):
        last = size - fanout + number
        drawn = _shift(hash_step(marks, step[number]), 1) % torch.clamp(last + 1, min=1)
        taken = (chosen[:, :number] == drawn[:, None]).any(dim=1)
        chosen[:, number] = torch.where(taken, last, drawn)
    whole = (size <= fanout)[:, None]
    chosen = torch.where(whole, step[None, :], chosen)
    kept = step[None, :] < count[:, None]
    source = torch.arange(len(low), device=low.device)[:, None].expand(-1, fanout)[kept]
    offset = chosen[kept]
    return source, low[source] + offset, hash_step(marks[source], offset + 1)


def _windows(
    rows: dict[str, Tensor], nodes: Tensor, since: Tensor, until: Tensor
) -> tuple[Tensor, Tensor]:
    low, high = rows["indptr"][nodes], rows["indptr"][nodes + 1]
    first = _lower_bound(rows["time"], low, high, since)
    return first, _lower_bound(rows["time"], first, high, until)


def _lower_bound(values: Tensor, low: Tensor, high: Tensor, wanted: Tensor) -> Tensor:
    """First position in [low, high) whose value is not below `wanted`, for many ranges at once."""
    low, high = low.clone(), high.clone()
    longest = int((high - low).max()) if len(low) else 0
    for _ in range(max(longest, 0).bit_length()):
        middle = (low + high) // 2
        inside = low < high
        below = inside & (values[torch.clamp(middle, max=len(values) - 1)] < wanted)
        low = torch.where(below, middle + 1, low)
        high = torch.where(inside & ~below, middle, high)
    return low


def _tensors(adjacency: Adjacency, device: str) -> dict[str, Tensor]:
    names = {"indptr": adjacency.indptr, "neighbor": adjacency.neighbor, "time": adjacency.time_us}
    with warnings.catch_warnings():
        # Mapped arrays are read-only; they are never written through the tensor.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return {name: torch.from_numpy(np.asarray(one)).to(device) for name, one in names.items()}


Sampled = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""Neighbour, place of its asker, batch, hash, edge position."""


def _nothing(device: str) -> Sampled:
    empty = torch.zeros(0, dtype=torch.int64, device=device)
    return (empty, empty, empty, empty, empty)


class _Trees:
    """Nodes and edges of a batch as they grow, hop by hop."""

    def __init__(self, types: Sequence[str], seed_type: str, seeds: Tensor, device: str) -> None:
        empty = torch.zeros(0, dtype=torch.int64, device=device)
        self.types, self._empty = list(types), empty
        self.nodes: dict[str, list[Tensor]] = {kind: [empty] for kind in types}
        self.batch: dict[str, list[Tensor]] = {kind: [empty] for kind in types}
        self.marks: dict[str, list[Tensor]] = {kind: [empty] for kind in types}
        self.nodes[seed_type] = [seeds]
        self.batch[seed_type] = [torch.arange(len(seeds), device=device)]
        self.start = dict.fromkeys(types, 0)
        self.size = {kind: len(self.nodes[kind][0]) for kind in types}
        self.grown: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {kind: [] for kind in types}
        self.edges: dict[EdgeType, list[tuple[Tensor, Tensor, Tensor]]] = {}
        self.counts: dict[str, list[int]] = {kind: [self.size[kind]] for kind in types}
        self.edge_counts: dict[EdgeType, list[int]] = {}

    def frontier(self, kind: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Places, nodes, batches and hashes of the newest layer."""
        nodes = self.nodes[kind][-1]
        place = torch.arange(len(nodes), device=nodes.device) + self.start[kind]
        return place, nodes, self.batch[kind][-1], self.marks[kind][-1]

    def add(self, message: EdgeType, kind: str, found: Sampled, hop: int) -> None:
        """Add sampled neighbours as new nodes of `kind`, and the edges to their askers."""
        nodes, asker, batch, marks, position = found
        grown = sum(len(part[0]) for part in self.grown[kind])
        place = torch.arange(len(nodes), device=nodes.device) + self.size[kind] + grown
        self.grown[kind].append((nodes, batch, marks))
        self.edges.setdefault(message, []).append((place, asker, position))
        self.edge_counts.setdefault(message, []).append(len(nodes))

    def close(self, hop: int) -> None:
        """End a hop: what has grown becomes the newest layer."""
        for kind in self.types:
            parts = self.grown[kind]
            self.start[kind] = self.size[kind]
            for store, at in ((self.nodes, 0), (self.batch, 1), (self.marks, 2)):
                joined = torch.cat([part[at] for part in parts]) if parts else self._empty
                store[kind].append(joined)
            self.size[kind] += len(self.nodes[kind][-1])
            self.counts[kind].append(len(self.nodes[kind][-1]))
            self.grown[kind] = []

    def output(
        self, input_id: Any, anchor: Tensor, steps: list[tuple[EdgeType, EdgeType, bool]]
    ) -> HeteroSamplerOutput:
        """What torch-geometric's loaders take."""
        row, col, edge = {}, {}, {}
        for message, _, _ in steps:
            parts = self.edges.get(message, [])
            joined = [
                torch.cat([part[at] for part in parts]) if parts else self._empty for at in range(3)
            ]
            row[message], col[message], edge[message] = joined
        return HeteroSamplerOutput(
            node={kind: torch.cat(parts) for kind, parts in self.nodes.items()},
            row=row,
            col=col,
            edge=edge,
            batch={kind: torch.cat(parts) for kind, parts in self.batch.items()},
            num_sampled_nodes=self.counts,
            num_sampled_edges=self.edge_counts,
            metadata=(input_id, anchor),
        )

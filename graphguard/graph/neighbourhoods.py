"""Sampled neighbourhoods: a tree a seed, held hop by hop.

The children of a node under one relation lie side by side, in order of their parents, so that what
a node is told is a sum over ranges and no list of edges is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor

from graphguard.graph.hetero import EdgeType

REVERSE = "rev_"


@dataclass(frozen=True)
class Step:
    """One way to step from a node: along a stored relation, or against it.

    A node asks for its neighbours; messages then flow from them to it. So asking along `likes` from
    a user sends messages of type `rev_likes` from contents to users.

    Attributes:
        message: Type of the messages: (neighbour's type, relation, asker's type).
        stored: Type of the stored edges that are walked.
        by_target: Whether they are walked against their direction (CSC holds the asker's row).
    """

    message: EdgeType
    stored: EdgeType
    by_target: bool

    @property
    def asker(self) -> str:
        """Type of the node that asks."""
        return self.message[2]

    @property
    def other(self) -> str:
        """Type of the neighbours."""
        return self.message[0]


def reverse_type(edge_type: EdgeType) -> EdgeType:
    """The type of the same edges walked the other way.

    >>> reverse_type(("user", "likes", "content"))
    ('content', 'rev_likes', 'user')
    """
    return (edge_type[2], REVERSE + edge_type[1], edge_type[0])


def walked(edge_types: Sequence[EdgeType]) -> list[Step]:
    """Every way to step: along each relation, and against it."""
    steps = []
    for edge_type in edge_types:
        steps.append(Step(reverse_type(edge_type), edge_type, by_target=False))
        steps.append(Step(edge_type, edge_type, by_target=True))
    return steps


def types_in_reach(steps: Sequence[Step], start: str, hops: int) -> list[list[str]]:
    """Node types that can stand at each depth of a tree, from the root's own on; sorted.

    >>> types_in_reach(walked([("user", "likes", "content")]), "user", 2)
    [['user'], ['content'], ['user']]
    """
    found = [[start]]
    for _ in range(hops):
        found.append(sorted({step.other for step in steps if step.asker in found[-1]}))
    return found


@dataclass(frozen=True)
class Asked:
    """What the nodes of one layer and type drew along one step.

    Attributes:
        step: The way.
        count: Children per asker, shape [askers], int64.
        degree: Edges of each asker within its seed's window, shape [askers], int64.
        edge: Position of each child's edge in the stored direction, shape [sum of count], int64.
    """

    step: Step
    count: Tensor
    degree: Tensor
    edge: Tensor


@dataclass(frozen=True)
class Layer:
    """The nodes at one depth of all trees of a batch, by type.

    Attributes:
        node: Dense index of each node, shape [nodes], int64.
        seed: Which seed's tree it stands in, shape [nodes], int64.
        mark: Hash of its place in that tree, shape [nodes], int64; not kept for the last layer.
        asked: What they drew; the children of a type stand in the next layer in this order. Empty
            for the last layer.
    """

    node: dict[str, Tensor]
    seed: dict[str, Tensor]
    mark: dict[str, Tensor]
    asked: list[Asked] = field(default_factory=list)


@dataclass(frozen=True)
class Trees:
    """The trees of a batch of seeds, from the seeds outwards.

    Attributes:
        node_type: Type of the seeds.
        anchor: Time that bounds each seed's tree, shape [seeds], int64, microseconds.
        layers: One more than there are hops.
    """

    node_type: str
    anchor: Tensor
    layers: list[Layer]

    def __len__(self) -> int:
        return len(self.anchor)

    @property
    def num_edges(self) -> int:
        """Sampled edges: every node but the seeds has one."""
        return sum(len(asked.edge) for layer in self.layers for asked in layer.asked)

    def nodes(self, kind: str) -> tuple[Tensor, Tensor]:
        """All nodes of a type, layer by layer, and the seed of each."""
        layers = [layer for layer in self.layers if kind in layer.node]
        node = torch.cat([layer.node[kind] for layer in layers])
        return node, torch.cat([layer.seed[kind] for layer in layers])

    def sizes(self, kind: str) -> list[int]:
        """How many nodes of a type each layer holds."""
        return [len(layer.node.get(kind, ())) for layer in self.layers]

    def edges(self, depth: int, asked: Asked) -> tuple[Tensor, Tensor]:
        """Child and asker of each edge drawn, as places in the lists of `nodes`."""
        kind, other = asked.step.asker, asked.step.other
        first = [0, *accumulate(self.sizes(kind))][depth]
        asker = torch.arange(len(asked.count), device=asked.count.device) + first
        before = 0
        for one in self.layers[depth].asked:
            if one is asked:
                break
            before += len(one.edge) if one.step.other == other else 0
        start = [0, *accumulate(self.sizes(other))][depth + 1] + before
        child = torch.arange(len(asked.edge), device=asker.device) + start
        return child, asker.repeat_interleave(asked.count, output_size=len(asked.edge))

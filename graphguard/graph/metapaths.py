"""Metapaths: which relations a walk follows, one after the other, from one node type to another."""

from collections.abc import Sequence
from dataclasses import dataclass

from graphguard.graph.hetero import EdgeType

REVERSED = "rev_"
"""Prefix of a relation that is walked from target to source."""


@dataclass(frozen=True)
class Hop:
    """One step of a walk.

    Attributes:
        edge_type: The edges followed.
        forward: From source to target; else from target to source.
    """

    edge_type: EdgeType
    forward: bool

    @property
    def start(self) -> str:
        """Node type that the step leaves."""
        return self.edge_type[0] if self.forward else self.edge_type[2]

    @property
    def end(self) -> str:
        """Node type that the step reaches."""
        return self.edge_type[2] if self.forward else self.edge_type[0]

    @property
    def relation(self) -> str:
        """Name of the relation, with `rev_` before it where it is walked backwards."""
        return self.edge_type[1] if self.forward else REVERSED + self.edge_type[1]


@dataclass(frozen=True)
class Metapath:
    """Steps of a walk, each from where the last one ended.

    >>> uses = ("user", "uses", "device")
    >>> Metapath((Hop(uses, True), Hop(uses, False))).name
    'user-uses-device-rev_uses-user'
    """

    hops: tuple[Hop, ...]

    def __post_init__(self) -> None:
        if not self.hops:
            message = "a metapath needs one hop or more, got none"
            raise ValueError(message)
        for one, other in zip(self.hops, self.hops[1:], strict=False):
            if one.end != other.start:
                message = f"hop '{one.relation}' ends at {one.end}, but '{other.relation}' starts"
                message += f" at {other.start}"
                raise ValueError(message)

    @property
    def start(self) -> str:
        """Node type of the seeds."""
        return self.hops[0].start

    @property
    def end(self) -> str:
        """Node type whose values are aggregated."""
        return self.hops[-1].end

    @property
    def name(self) -> str:
        """Types and relations in order, joined by `-`: the name of the file and of its columns."""
        return "-".join([self.start, *(f"{hop.relation}-{hop.end}" for hop in self.hops)])


def metapaths(edge_types: Sequence[EdgeType], start: str, hops: int) -> list[Metapath]:
    """Every metapath of at most `hops` steps from a node type, shorter ones first.

    Args:
        edge_types: Edge types of the graph.
        start: Node type of the seeds.
        hops: Largest number of steps, 1 or more.

    Returns:
        Each sequence of relations once; both directions of a relation among nodes of one type.

    >>> found = metapaths([("user", "uses", "device")], "user", 2)
    >>> [path.name for path in found]
    ['user-uses-device', 'user-uses-device-rev_uses-user']
    """
    steps = [Hop(name, forward) for name in edge_types for forward in (True, False)]
    layer: list[tuple[Hop, ...]] = [(step,) for step in steps if step.start == start]
    found = list(layer)
    for _ in range(hops - 1):
        layer = [(*path, step) for path in layer for step in steps if path[-1].end == step.start]
        found += layer
    return [Metapath(path) for path in found]

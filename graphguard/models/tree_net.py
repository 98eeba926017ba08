"""Networks on sampled trees: encoders by node type, rounds of messages from the leaves to the root.

A family of models is a kind of round; encoders and head are the same for all. After round r only
nodes of depth up to hops - r are still of use, so only these are computed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from graphguard.graph.draws import hash_step
from graphguard.graph.hetero import EdgeType
from graphguard.graph.neighbourhoods import Step, Trees, types_in_reach, walked
from graphguard.models.network_settings import SampledSettings

States = dict[str, Tensor]
"""Hidden state of one layer's nodes by type, shape [nodes, hidden] each."""


@dataclass(frozen=True)
class Inputs:
    """Inputs of the nodes of one type, layer by layer.

    Attributes:
        values: Shape [n, width], float32.
        place: Which of them each node has, shape [nodes], int64; None where each has its own, in
            order.
    """

    values: Tensor
    place: Tensor | None = None

    def of_first(self, count: int) -> Tensor:
        """Inputs of the first nodes, shape [count, width]."""
        if self.place is None:
            return self.values[:count]
        return self.values.index_select(0, self.place[:count])


@dataclass(frozen=True)
class TreeBatch:
    """Sampled trees with the inputs of their nodes.

    Attributes:
        trees: The trees.
        x: Inputs by node type.
    """

    trees: Trees
    x: dict[str, Inputs]


@dataclass(frozen=True)
class Told:
    """What the neighbours along one step tell the nodes of a layer.

    Attributes:
        step: The way.
        states: Of the neighbours, side by side by asker, shape [sum of count, hidden].
        count: Neighbours of each asker, shape [askers], int64.
    """

    step: Step
    states: Tensor
    count: Tensor


class Round(Protocol):
    """One round of messages: a `nn.Module` called as below."""

    def __call__(self, own: States, told: Sequence[Told], marks: dict[str, Tensor]) -> States:
        """New states of a layer's nodes, from their own and what neighbours told."""
        ...


@dataclass(frozen=True)
class RoundPlan:
    """What a round has weights for.

    Attributes:
        number: From 0.
        kinds: Node types whose state it makes, sorted.
        steps: Ways along which it hears.
        settings: Of the network.
    """

    number: int
    kinds: Sequence[str]
    steps: Sequence[Step]
    settings: SampledSettings


class TreeNet(nn.Module):
    """Encoders, rounds of messages, and the head.

    Args:
        edge_types: Of the graph.
        node_type: Type of the seeds.
        width: Inputs of a seed; other types have one for each way to step from them.
        settings: Fanouts (one round each), hidden width, dropout.
        make_round: Makes the family's round from its plan; an `nn.Module` that is a `Round`.
    """

    def __init__(
        self,
        edge_types: Sequence[EdgeType],
        node_type: str,
        width: int,
        settings: SampledSettings,
        make_round: Callable[[RoundPlan], nn.Module],
    ) -> None:
        super().__init__()
        steps, hops = walked(edge_types), len(settings.fanouts)
        reach = types_in_reach(steps, node_type, hops)
        kinds = sorted({kind for layer in reach for kind in layer})
        widths = {kind: sum(step.asker == kind for step in steps) for kind in kinds}
        widths[node_type] = width
        hidden = settings.hidden
        self.node_type = node_type
        self.encode = nn.ModuleDict({kind: nn.Linear(widths[kind], hidden) for kind in kinds})
        self.rounds = nn.ModuleList()
        for number in range(hops):
            asking = sorted({kind for layer in reach[: hops - number] for kind in layer})
            heard = [step for step in steps if step.asker in asking]
            self.rounds.append(make_round(RoundPlan(number, asking, heard, settings)))
        self.join = nn.Linear(width + hidden, hidden)
        self.drop = KeyedDropout(settings.dropout, hops)
        self.out = nn.Linear(hidden, 1)

    def forward(self, batch: TreeBatch) -> tuple[Tensor, Tensor]:
        """Logit and last hidden layer of the batch's seeds, shape [seeds] and [seeds, hidden]."""
        trees, hops = batch.trees, len(self.rounds)
        layers: list[States] = [{} for _ in range(hops + 1)]
        for kind, x in batch.x.items():
            encoded = torch.relu(self.encode[kind](x.values))
            if x.place is not None:
                encoded = encoded.index_select(0, x.place)
            for layer, state in zip(layers, torch.split(encoded, trees.sizes(kind)), strict=True):
                layer[kind] = state
        for number, turn in enumerate(self.rounds):
            layers = [
                turn(_held(trees, depth, layers[depth]), _told(trees, depth, layers), layer.mark)
                for depth, layer in enumerate(trees.layers[: hops - number])
            ]
        own = batch.x[self.node_type].of_first(len(trees))
        joined = torch.cat([own, layers[0][self.node_type]], dim=1)
        hidden = self.drop(torch.relu(self.join(joined)), trees.layers[0].mark[self.node_type])
        return self.out(hidden).squeeze(1), hidden


def _held(trees: Trees, depth: int, states: States) -> States:
    return {kind: states[kind] for kind in trees.layers[depth].node}


def _told(trees: Trees, depth: int, layers: list[States]) -> list[Told]:
    """What each drawing of a layer hears, cut out of the next layer's states."""
    asked = trees.layers[depth].asked
    found: dict[Step, Tensor] = {}
    for kind in {one.step.other for one in asked}:
        mine = [one for one in asked if one.step.other == kind]
        parts = torch.split(layers[depth + 1][kind], [len(one.edge) for one in mine])
        found |= {one.step: part for one, part in zip(mine, parts, strict=True)}
    return [Told(one.step, found[one.step], one.count) for one in asked]


class KeyedDropout(nn.Module):
    """Dropout whose mask follows each node's mark: the same in any batch and on any rank.

    Args:
        share: Share of values dropped, in [0, 1).
        salt: Another number drops others.
    """

    def __init__(self, share: float, salt: int) -> None:
        super().__init__()
        self.share, self.salt = share, salt

    def forward(self, values: Tensor, marks: Tensor) -> Tensor:
        """Drop values of rows, shape [n, width], by their marks, shape [n], int64."""
        if not self.training or not self.share:
            return values
        width = values.shape[1]
        words = torch.arange(-(-width // 4), device=marks.device) + 7_919 * (self.salt + 1)
        # Sixteen bits a value: each 64-bit hash serves four.
        bits = hash_step(marks[:, None], words[None, :]).view(torch.int16)[:, :width]
        kept = bits >= round(self.share * 65_536) - 32_768
        return values * (kept.to(values.dtype) / (1 - self.share))

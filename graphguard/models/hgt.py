"""Heterogeneous graph transformer on sampled trees in time.

Hu et al. 2020, "Heterogeneous Graph Transformer": a node weighs all its neighbours, of whatever
relation, by attention; keys, queries and values by node type, a matrix for each by relation. The
same as torch-geometric's `HGTConv`, of which only what the trees need is computed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from graphguard.config.training import HgtConfig
from graphguard.errors import BadSetting
from graphguard.graph.neighbourhoods import Step
from graphguard.models.network_settings import SampledSettings
from graphguard.models.sampled import SampledModel
from graphguard.models.segments import segment_softmax, segment_sum, spread
from graphguard.models.tree_net import KeyedDropout, RoundPlan, States, Told


@dataclass(frozen=True)
class HgtSettings(SampledSettings):
    """Settings of `hgt`.

    Attributes:
        heads: Attentions side by side; divides the hidden width.
    """

    heads: int = HgtConfig().heads

    def __post_init__(self) -> None:
        if self.hidden % self.heads:
            place, key = "training.hgt", "heads"
            reason = f"must divide hidden ({self.hidden}), got {self.heads}"
            raise BadSetting(place, key, reason)


class HgtRound(nn.Module):
    """x' = norm(x + g (A gelu(sum of weighted values) - x)), g a learned share by node type."""

    def __init__(self, plan: RoundPlan) -> None:
        super().__init__()
        if not isinstance(plan.settings, HgtSettings):
            message = f"hgt needs HgtSettings, got {type(plan.settings).__name__}"
            raise TypeError(message)
        hidden, self.heads = plan.settings.hidden, plan.settings.heads
        self.depth = hidden // self.heads
        self.number_of = {step: number for number, step in enumerate(plan.steps)}
        others = sorted({step.other for step in plan.steps})
        self.key_value = nn.ModuleDict({kind: nn.Linear(hidden, 2 * hidden) for kind in others})
        self.query = nn.ModuleDict({kind: nn.Linear(hidden, hidden) for kind in plan.kinds})
        self.answer = nn.ModuleDict({kind: nn.Linear(hidden, hidden) for kind in plan.kinds})
        self.norm = nn.ModuleDict({kind: nn.LayerNorm(hidden) for kind in plan.kinds})
        self.skip = nn.ParameterDict({kind: nn.Parameter(torch.ones(())) for kind in plan.kinds})
        size = (len(plan.steps), self.heads, self.depth, self.depth)
        self.key_of = nn.Parameter(torch.empty(size))
        self.value_of = nn.Parameter(torch.empty(size))
        self.weight_of = nn.Parameter(torch.ones(len(plan.steps), self.heads))
        bound = 1 / math.sqrt(self.depth)
        nn.init.uniform_(self.key_of, -bound, bound)
        nn.init.uniform_(self.value_of, -bound, bound)
        self.drop = KeyedDropout(plan.settings.dropout, plan.number)

    def heard(self, kind: str, state: Tensor, told: Sequence[Told]) -> Tensor:
        """Sum of the values of all neighbours, weighted by attention, shape [n, hidden]."""
        mine = [one for one in told if one.step.asker == kind]
        query = self.query[kind](state)
        logits, values = [], []
        for one in mine:
            key, value = self._key_value(one.step, one.states)
            asked = spread(query, one.count, len(key)).view(-1, self.heads, self.depth)
            weight = self.weight_of[self.number_of[one.step]] / math.sqrt(self.depth)
            logits.append((asked * key).sum(dim=-1) * weight)
            values.append(value)
        shares = segment_softmax(logits, [one.count for one in mine])
        return torch.stack(
            [
                segment_sum((value * share[:, :, None]).flatten(1), one.count)
                for one, value, share in zip(mine, values, shares, strict=True)
            ]
        ).sum(dim=0)

    def forward(self, own: States, told: Sequence[Told], marks: dict[str, Tensor]) -> States:
        """New states of a layer's nodes."""
        found = {}
        for kind, state in own.items():
            answer = self.answer[kind](gelu(self.heard(kind, state, told)))
            share = torch.sigmoid(self.skip[kind])
            mixed = share * self.drop(answer, marks[kind]) + (1 - share) * state
            found[kind] = self.norm[kind](mixed)
        return found

    def _key_value(self, step: Step, states: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of neighbours along a step, shape [m, heads, depth] each."""
        number = self.number_of[step]
        both = self.key_value[step.other](states).view(-1, 2, self.heads, self.depth)
        key = torch.einsum("mhd,hde->mhe", both[:, 0], self.key_of[number])
        value = torch.einsum("mhd,hde->mhe", both[:, 1], self.value_of[number])
        return key, value


class HgtModel(SampledModel):
    """The heterogeneous graph transformer behind the `Model` protocol."""

    name = "hgt"
    settings_class = HgtSettings
    round_class = HgtRound

"""Heterogeneous GraphSAGE on sampled trees in time (Hamilton et al. 2017).

A user starts from its own feature row, anything else from how busy it was in the window; rounds of
messages over every relation, both ways, with mean aggregation; a head that also sees the user's
own row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from graphguard.models.network_settings import SampledSettings
from graphguard.models.sampled import SampledModel
from graphguard.models.segments import segment_mean
from graphguard.models.tree_net import KeyedDropout, RoundPlan, States, Told


@dataclass(frozen=True)
class SageSettings(SampledSettings):
    """Settings of `sage`: those that all sampled families share."""


class SageRound(nn.Module):
    """x' = norm(x + relu(W [x, mean over relation 1, mean over relation 2, ...])) by node type.

    One product with the means side by side is what torch-geometric's `HeteroConv` of `SAGEConv`
    adds up relation by relation.
    """

    def __init__(self, plan: RoundPlan) -> None:
        super().__init__()
        hidden = plan.settings.hidden
        heard = {kind: sum(step.asker == kind for step in plan.steps) for kind in plan.kinds}
        self.mix = nn.ModuleDict(
            {kind: nn.Linear((1 + heard[kind]) * hidden, hidden) for kind in plan.kinds}
        )
        self.norm = nn.ModuleDict({kind: nn.LayerNorm(hidden) for kind in plan.kinds})
        self.drop = KeyedDropout(plan.settings.dropout, plan.number)

    def forward(self, own: States, told: Sequence[Told], marks: dict[str, Tensor]) -> States:
        """New states of a layer's nodes."""
        found = {}
        for kind, state in own.items():
            means = [segment_mean(one.states, one.count) for one in told if one.step.asker == kind]
            mixed = torch.relu(self.mix[kind](torch.cat([state, *means], dim=1)))
            found[kind] = self.norm[kind](state + self.drop(mixed, marks[kind]))
        return found


class SageModel(SampledModel):
    """GraphSAGE behind the `Model` protocol."""

    name = "sage"
    settings_class = SageSettings
    round_class = SageRound

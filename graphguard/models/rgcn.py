"""Relational graph convolutions on sampled trees in time.

Schlichtkrull et al. 2018, "Modeling Relational Data with Graph Convolutional Networks": each
relation has a matrix of its own, or a mixture of a few shared ones (bases), which needs fewer
weights where relations are many or rare.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from graphguard.config.training import RgcnConfig
from graphguard.models.network_settings import SampledSettings
from graphguard.models.sampled import SampledModel
from graphguard.models.segments import segment_mean
from graphguard.models.tree_net import KeyedDropout, RoundPlan, States, Told


@dataclass(frozen=True)
class RgcnSettings(SampledSettings):
    """Settings of `rgcn`.

    Attributes:
        bases: Shared matrices that each relation's is mixed from; 0 gives each its own.
    """

    bases: int = RgcnConfig().bases


class RelationWeights(nn.Module):
    """A matrix for each relation, its own or mixed from shared bases.

    Args:
        relations: How many.
        hidden: Rows and columns of a matrix.
        bases: Matrices to mix from; 0 gives each relation its own.
    """

    def __init__(self, relations: int, hidden: int, bases: int) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.empty(bases or relations, hidden, hidden))
        self.share = nn.Parameter(torch.empty(relations, bases)) if bases else None
        for matrix in self.basis:
            nn.init.xavier_uniform_(matrix)
        if self.share is not None:
            nn.init.xavier_uniform_(self.share)

    def forward(self) -> Tensor:
        """Every relation's matrix, shape [relations, hidden, hidden]."""
        if self.share is None:
            return self.basis
        return torch.einsum("rb,bio->rio", self.share, self.basis)


class RelationalRound(nn.Module):
    """x' = norm(x + relu(what `convolve` says)), whoever computes it."""

    def __init__(self, plan: RoundPlan) -> None:
        super().__init__()
        self.number_of = {step: number for number, step in enumerate(plan.steps)}
        hidden = plan.settings.hidden
        self.norm = nn.ModuleDict({kind: nn.LayerNorm(hidden) for kind in plan.kinds})
        self.drop = KeyedDropout(plan.settings.dropout, plan.number)

    def convolve(self, own: States, told: Sequence[Told]) -> States:
        """W0 x + sum over relations of W_r mean_r, for each node of a layer."""
        raise NotImplementedError

    def forward(self, own: States, told: Sequence[Told], marks: dict[str, Tensor]) -> States:
        """New states of a layer's nodes."""
        mixed = self.convolve(own, told)
        return {
            kind: self.norm[kind](state + self.drop(torch.relu(mixed[kind]), marks[kind]))
            for kind, state in own.items()
        }


class RgcnRound(RelationalRound):
    """The convolution as one product of the means, side by side, with the relations' matrices."""

    def __init__(self, plan: RoundPlan) -> None:
        super().__init__(plan)
        if not isinstance(plan.settings, RgcnSettings):
            message = f"rgcn needs RgcnSettings, got {type(plan.settings).__name__}"
            raise TypeError(message)
        hidden = plan.settings.hidden
        self.relation = RelationWeights(len(plan.steps), hidden, plan.settings.bases)
        self.root = nn.Linear(hidden, hidden)

    def convolve(self, own: States, told: Sequence[Told]) -> States:
        """W0 x + sum over relations of W_r mean_r, for each node of a layer."""
        weights = self.relation().unbind()
        found = {}
        for kind, state in own.items():
            mine = [one for one in told if one.step.asker == kind]
            means = torch.cat([segment_mean(one.states, one.count) for one in mine], dim=1)
            chosen = torch.cat([weights[self.number_of[one.step]] for one in mine])
            found[kind] = self.root(state) + means @ chosen
        return found


class RgcnModel(SampledModel):
    """Relational graph convolutions behind the `Model` protocol."""

    name = "rgcn"
    settings_class = RgcnSettings
    round_class = RgcnRound

"""Relational graph convolutions computed by DGL: the same rows, trees, task and training as `rgcn`.

Each round hands a layer of the sampled trees to DGL as a block and runs its `RelGraphConv`, so the
bounds in time hold as everywhere, and the two libraries can be compared.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch

from graphguard.config.training import DglRgcnConfig
from graphguard.graph.interop import import_dgl
from graphguard.models.network_settings import SampledSettings
from graphguard.models.rgcn import RelationalRound
from graphguard.models.sampled import SampledModel
from graphguard.models.tree_net import RoundPlan, States, Told

FEATURE = "model 'dgl_rgcn'"


@dataclass(frozen=True)
class DglRgcnSettings(SampledSettings):
    """Settings of `dgl_rgcn`.

    Attributes:
        bases: Shared matrices that each relation's is mixed from; 0 gives each its own.

    Raises:
        MissingExtra: dgl is not installed.
    """

    bases: int = DglRgcnConfig().bases

    def __post_init__(self) -> None:
        import_dgl(FEATURE)


class DglRgcnRound(RelationalRound):
    """The convolution by DGL's `RelGraphConv`."""

    def __init__(self, plan: RoundPlan) -> None:
        super().__init__(plan)
        if not isinstance(plan.settings, DglRgcnSettings):
            message = f"dgl_rgcn needs DglRgcnSettings, got {type(plan.settings).__name__}"
            raise TypeError(message)
        self._dgl = import_dgl(FEATURE)
        hidden, bases = plan.settings.hidden, plan.settings.bases
        self.convolution = self._dgl.nn.RelGraphConv(
            hidden,
            hidden,
            len(plan.steps),
            regularizer="basis" if bases else None,
            num_bases=bases or None,
        )

    def convolve(self, own: States, told: Sequence[Told]) -> States:
        """W0 x + sum over relations of W_r mean_r, for each node of a layer."""
        kinds, sizes = list(own), [len(state) for state in own.values()]
        first = dict(zip(kinds, accumulate([0, *sizes]), strict=False))
        ordered = sorted(told, key=lambda one: self.number_of[one.step])
        device = own[kinds[0]].device
        target, relation, share = [], [], []
        for one in ordered:
            asker = torch.arange(len(one.count), device=device) + first[one.step.asker]
            target.append(asker.repeat_interleave(one.count, output_size=len(one.states)))
            relation.append(torch.full_like(target[-1], self.number_of[one.step]))
            share.append((1 / one.count.clamp(min=1)).repeat_interleave(one.count))
        # DGL wants the nodes that are told first among those that tell.
        telling = torch.cat([*own.values(), *(one.states for one in ordered)])
        source = torch.arange(sum(sizes), len(telling), device=device)
        block = self._dgl.create_block(
            (source, torch.cat(target)), num_src_nodes=len(telling), num_dst_nodes=sum(sizes)
        )
        with warnings.catch_warnings():
            # A layer that nobody tells anything is legal, and DGL's answer is right.
            warnings.filterwarnings("ignore", ".*does not contain valid edges")
            mixed = self.convolution(
                block, telling, torch.cat(relation), torch.cat(share)[:, None], presorted=True
            )
        return dict(zip(kinds, mixed.split(sizes), strict=True))


class DglRgcnModel(SampledModel):
    """Relational graph convolutions by DGL behind the `Model` protocol."""

    name = "dgl_rgcn"
    settings_class = DglRgcnSettings
    round_class = DglRgcnRound

    def device(self) -> str:
        """The CPU: the wheel of DGL on the package index has no kernels for GPUs."""
        return "cpu"

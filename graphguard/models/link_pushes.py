"""How much each link of a user moved a network's score: occlusion on the sampled tree.

The network scores a user's tree as it was sampled, and once more for each link with that link left
out, nothing else changed. The fall of the log-odds is what the link has pushed (occlusion, Zeiler
and Fergus 2014; on edges as in Ying et al. 2019, GNNExplainer, without its fitted mask). Pushes of
several links do not add up.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from graphguard.graph.hetero import EdgeType
from graphguard.graph.links import Links, links_of, trees_without
from graphguard.graph.neighbourhoods import Trees
from graphguard.models.base import GraphContext, Model, Rows
from graphguard.models.tree_inputs import TreeInputs

TREES_AT_ONCE = 512
"""Trees in a pass."""


@dataclass(frozen=True)
class LinkPushes:
    """How far links of rows moved their log-odds.

    Attributes:
        row: Row each link belongs to, shape [links], int64, ascending.
        relation: Type of its edge, one a link.
        source: Dense index of its source, shape [links], int64.
        target: Dense index of its target, shape [links], int64.
        push: Log-odds with the link less those without it, shape [links], float32: above 0 it
            raises the score.
    """

    row: NDArray[np.int64]
    relation: list[EdgeType]
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    push: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.row)


@runtime_checkable
class ExplainsLinks(Protocol):
    """A model that says how much each link it saw moved a row's log-odds."""

    def link_pushes(self, rows: Rows, context: GraphContext, *, every: bool = False) -> LinkPushes:
        """Pushes of the links of the rows' own users, or of `every` link of their trees."""
        ...


def link_explainer_of(model: Model) -> ExplainsLinks | None:
    """The network whose links explain a model's scores: itself, its first such member, or none."""
    members = getattr(model, "members", {}).values()
    able = (one for one in (model, *members) if isinstance(one, ExplainsLinks))
    return next(able, None)


def occluded(net: nn.Module, inputs: TreeInputs, rows: Rows, *, every: bool) -> LinkPushes:
    """Leave out link by link and score anew.

    Args:
        net: A `TreeNet` in its final state.
        inputs: Samples and fills trees.
        rows: Whom to ask about.
        every: All links of a tree; otherwise those that the row's user drew itself.

    Cost: a forward pass of a tree for each link asked about.
    """
    net.eval()
    parts, relations = [], []
    with torch.no_grad():
        for start in range(0, len(rows), TREES_AT_ONCE):
            part = slice(start, start + TREES_AT_ONCE)
            trees = inputs.trees(rows.node[part], rows.anchor_us[part])
            links = links_of(trees)
            number = torch.arange(len(links), device=links.seed.device)
            asked = number if every else number[links.first]
            push = _pushes(net, inputs, (trees, links), asked)
            found = (links.seed[asked] + start, links.source[asked], links.target[asked], push)
            parts.append([one.cpu().numpy() for one in found])
            relations += [links.relations[one] for one in links.relation[asked].tolist()]
    if not parts:
        nobody = np.zeros(0, dtype=np.int64)
        return LinkPushes(nobody, [], nobody, nobody, np.zeros(0, dtype=np.float32))
    row, source, target, pushed = (np.concatenate(one) for one in zip(*parts, strict=True))
    return LinkPushes(row, relations, source, target, pushed)


def _pushes(
    net: nn.Module, inputs: TreeInputs, whole: tuple[Trees, Links], asked: torch.Tensor
) -> torch.Tensor:
    trees, links = whole
    before = _log_odds(net, inputs, trees)
    after = [
        _log_odds(net, inputs, trees_without(trees, links, asked[part : part + TREES_AT_ONCE]))
        for part in range(0, len(asked), TREES_AT_ONCE)
    ]
    if not after:
        return before[:0]
    return before.index_select(0, links.seed.index_select(0, asked)) - torch.cat(after)


def _log_odds(net: nn.Module, inputs: TreeInputs, trees: Trees) -> torch.Tensor:
    logit: torch.Tensor = net(inputs.of(trees))[0]
    return logit.float()

"""The links that sampled trees are made of, and the same trees without one of them.

A link is two nodes joined by a relation, in the tree of one seed, however often and whichever way
round it was drawn. To leave a link out is to leave out every drawing of it and all that was reached
through these.
"""

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from graphguard.graph.hetero import EdgeType
from graphguard.graph.neighbourhoods import Asked, Layer, Trees


@dataclass(frozen=True)
class Links:
    """The links of a batch of trees.

    Attributes:
        relations: Types of stored edges.
        seed: Which seed's tree each link stands in, shape [links], int64.
        relation: Position of its type in `relations`, shape [links], int64.
        source: Dense index of its source, shape [links], int64.
        target: Dense index of its target, shape [links], int64.
        first: Whether the seed itself drew it, shape [links], bool.
        of_edge: Link of every edge drawn, a tensor for each drawing of each layer, in their order.
    """

    relations: tuple[EdgeType, ...]
    seed: Tensor
    relation: Tensor
    source: Tensor
    target: Tensor
    first: Tensor
    of_edge: list[list[Tensor]]

    def __len__(self) -> int:
        return len(self.seed)


def links_of(trees: Trees) -> Links:
    """Every link of the trees, by seed, then relation, source and target.

    Cost: one sort of the edges drawn.
    """
    stored = {one.step.stored for layer in trees.layers for one in layer.asked}
    relations = tuple(sorted(stored))
    rows, first = [], []
    for depth, layer in enumerate(trees.layers):
        for one in layer.asked:
            rows.append(_ends(trees, depth, one, relations.index(one.step.stored)))
            first.append(torch.full_like(one.edge, depth == 0, dtype=torch.bool))
    if not rows:
        nobody = torch.zeros(0, dtype=torch.int64)
        return Links(relations, nobody, nobody, nobody, nobody, nobody.bool(), [])
    distinct, link = torch.unique(torch.cat(rows), dim=0, return_inverse=True)
    seed, relation, source, target = distinct.unbind(1)
    own = torch.zeros(len(distinct), dtype=torch.bool, device=link.device)
    own[link[torch.cat(first)]] = True
    parts = iter(torch.split(link, [len(one) for one in rows]))
    of_edge = [[next(parts) for _ in layer.asked] for layer in trees.layers]
    return Links(relations, seed, relation, source, target, own, of_edge)


def trees_without(trees: Trees, links: Links, removed: Tensor) -> Trees:
    """For each removed link the tree of its seed without it.

    Args:
        trees: The trees.
        links: Their links.
        removed: Numbers of links, shape [n], int64; each makes a tree of its own.

    Returns:
        As many trees as links were named, in their order. A node that loses neighbours is as busy
        as the drawings that are left say.

    Cost: the edges of the trees that are made.
    """
    seed = links.seed.index_select(0, removed)
    kind = trees.node_type
    place, tree = {kind: seed}, {kind: torch.arange(len(seed), device=seed.device)}
    layers = []
    for depth, layer in enumerate(trees.layers):
        kept = Layer(
            node={name: layer.node[name].index_select(0, place[name]) for name in layer.node},
            seed=tree,
            mark={name: layer.mark[name].index_select(0, place[name]) for name in layer.mark},
        )
        grown: dict[str, list[tuple[Tensor, Tensor]]] = {}
        before: dict[str, int] = {}
        for one, link in zip(layer.asked, links.of_edge[depth], strict=True):
            mine = one.step.asker
            asked, edge, owner = _kept(one, place[mine], link, removed[tree[mine]])
            kept.asked.append(asked)
            start = before.get(one.step.other, 0)
            before[one.step.other] = start + len(one.edge)
            grown.setdefault(one.step.other, []).append((start + edge, tree[mine][owner]))
        layers.append(kept)
        joined = {
            name: [torch.cat(part) for part in zip(*parts, strict=True)]
            for name, parts in grown.items()
        }
        place = {name: parts[0] for name, parts in joined.items()}
        tree = {name: parts[1] for name, parts in joined.items()}
    return Trees(kind, trees.anchor.index_select(0, seed), layers)


def _ends(trees: Trees, depth: int, one: Asked, relation: int) -> Tensor:
    """Seed, relation, source and target of each edge of a drawing, shape [edges, 4]."""
    layer, below = trees.layers[depth], trees.layers[depth + 1]
    mine, other = one.step.asker, one.step.other
    asker = torch.repeat_interleave(one.count)
    sizes = [len(two.edge) for two in layer.asked if two.step.other == other]
    number = [two for two in layer.asked if two.step.other == other].index(one)
    start = [0, *accumulate(sizes)][number]
    near = layer.node[mine].index_select(0, asker)
    far = below.node[other][start : start + len(one.edge)]
    source, target = (far, near) if one.step.by_target else (near, far)
    seed = layer.seed[mine].index_select(0, asker)
    return torch.stack([seed, torch.full_like(seed, relation), source, target], dim=1)


def _kept(one: Asked, place: Tensor, link: Tensor, removed: Tensor) -> tuple[Asked, Tensor, Tensor]:
    """What some askers drew, less a link each; the edges kept and the place of their askers.

    Args:
        one: What was drawn.
        place: Askers in it, shape [n]; one may stand there often.
        link: Link of each edge.
        removed: Link that each asker of `place` loses, shape [n].
    """
    count = one.count.index_select(0, place)
    begin = (one.count.cumsum(0) - one.count).index_select(0, place)
    owner = torch.repeat_interleave(count)
    inside = torch.arange(len(owner), device=owner.device) - (count.cumsum(0) - count)[owner]
    edge = begin[owner] + inside
    keep = link[edge] != removed[owner]
    edge, owner = edge[keep], owner[keep]
    left = torch.bincount(owner, minlength=len(place))
    degree = one.degree.index_select(0, place) - (count - left)
    return Asked(one.step, left, degree, one.edge.index_select(0, edge)), edge, owner

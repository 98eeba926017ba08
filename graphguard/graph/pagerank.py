"""Neighbours by personalised PageRank from the seed, within the seed's window.

A walker starts at the seed; at every node it goes home with chance RESTART, else along one of the
node's daily edges within the window, over all relations both ways, each as likely. The score of a
node is the walker's presence after ROUNDS rounds of power iteration. Gasteiger et al. 2019,
"Predict then Propagate", and Zeng et al. 2021, "Decoupling the Depth and Scope of Graph Neural
Networks", choose neighbourhoods so.

Bounds: a node with more than EDGES_WALKED edges along a step is walked, and looked at, over a
uniform draw of so many; after a round the NODES_KEPT best nodes of each type and seed walk on, and
what the others held goes home. Presence is a whole number of 2**-40, so scores are exact sums.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from graphguard.graph.draws import draw_uniform, hash_step
from graphguard.graph.strategies import Pick, Question
from graphguard.graph.timed_edges import TimedEdges

RESTART_PERCENT = 15
ROUNDS = 3
NODES_KEPT = 32
EDGES_WALKED = 32
ONE = 1 << 40


@dataclass(frozen=True)
class Presence:
    """Where the walkers of a batch are, by node type.

    Attributes:
        seed: Whose walker, shape [n], int64, ascending.
        node: Where, shape [n], int64, ascending inside a seed.
        mass: How much of it, shape [n], int64, in units of 2**-40.
    """

    seed: Tensor
    node: Tensor
    mass: Tensor


class PagerankPicker:
    """The `fanout` distinct neighbours of highest score; the seed itself is none of them.

    Of several daily edges to one neighbour, the newest is taken. Equal scores are in the order of
    a hash.

    Args:
        edges: Of the graph.
        node_type: Type of the seeds.
    """

    def __init__(self, edges: TimedEdges, node_type: str) -> None:
        self._edges, self._type = edges, node_type

    def begin(self, nodes: Tensor, anchor: Tensor) -> Pick:
        """Walk from the seeds, then answer by their scores.

        Cost: ROUNDS * seeds * NODES_KEPT * EDGES_WALKED at most, much less where nodes have few
        edges.
        """
        scores = self.scores(nodes, anchor)

        def pick(question: Question) -> tuple[Tensor, Tensor]:
            return self._best(question, nodes, scores)

        return pick

    def scores(self, nodes: Tensor, anchor: Tensor) -> dict[str, Presence]:
        """Where each seed's walker is in the end, by node type; shape [seeds] each, int64."""
        every = torch.arange(len(nodes), device=nodes.device)
        start = {self._type: Presence(every, nodes, torch.full_like(nodes, ONE))}
        found = start
        for _ in range(ROUNDS):
            found = self._walk(found, nodes, anchor)
        return found

    def _walk(
        self, here: dict[str, Presence], nodes: Tensor, anchor: Tensor
    ) -> dict[str, Presence]:
        """One round of power iteration."""
        arrived: dict[str, list[Presence]] = {}
        for kind, all_of_type in here.items():
            mine = _best_of_each_seed(all_of_type)
            until = anchor.index_select(0, mine.seed)
            steps = [step for step in self._edges.steps if step.asker == kind]
            spans = [self._edges.windows(step, mine.node, until) for step in steps]
            total = sum((high - low for low, high in spans), torch.zeros_like(mine.node))
            leaving = (mine.mass * (100 - RESTART_PERCENT) // 100).to(torch.float64)
            share = leaving / total.clamp(min=1)
            for number, (step, (low, high)) in enumerate(zip(steps, spans, strict=True)):
                marks = hash_step(hash_step(mine.node, until), number)
                count, offset = draw_uniform(high - low, EDGES_WALKED, marks)
                owner = _owner(count, len(offset))
                each = (share * (high - low) / count.clamp(min=1)).floor().to(torch.int64)
                edge = low.index_select(0, owner) + offset
                end = self._edges.of(step).neighbor.index_select(0, edge).to(torch.int64)
                came = Presence(mine.seed.index_select(0, owner), end, each.index_select(0, owner))
                arrived.setdefault(step.other, []).append(came)
        home = torch.full_like(nodes, ONE)
        for parts in arrived.values():
            for part in parts:
                home.index_add_(0, part.seed, -part.mass)
        every = torch.arange(len(nodes), device=nodes.device)
        arrived.setdefault(self._type, []).append(Presence(every, nodes, home))
        return {kind: _added_up(parts) for kind, parts in arrived.items()}

    def _best(
        self, question: Question, nodes: Tensor, scores: dict[str, Presence]
    ) -> tuple[Tensor, Tensor]:
        """Edges taken per asker, and their offsets, best first."""
        low, other = question.low, question.step.other
        count, offset = draw_uniform(question.high - low, EDGES_WALKED, question.marks)
        owner = _owner(count, len(offset))
        edge = low.index_select(0, owner) + offset
        end = self._edges.of(question.step).neighbor.index_select(0, edge).to(torch.int64)
        seed = question.seed.index_select(0, owner)
        kept = _newest(owner, end, offset)
        if other == self._type:
            kept = kept[end[kept] != nodes.index_select(0, seed[kept])]
        owner, offset, end, seed = owner[kept], offset[kept], end[kept], seed[kept]
        score = _score_of(scores.get(other), seed, end)
        tie = hash_step(question.marks.index_select(0, owner), end)
        order = tie.argsort()
        order = order[score[order].argsort(descending=True, stable=True)]
        order = order[owner[order].argsort(stable=True)]
        owner, offset = owner[order], offset[order]
        first = _place_in_group(owner, len(low)) < question.fanout
        return torch.bincount(owner[first], minlength=len(low)), offset[first]


def _owner(count: Tensor, size: int) -> Tensor:
    every = torch.arange(len(count), device=count.device)
    return every.repeat_interleave(count, output_size=size)


def _place_in_group(group: Tensor, groups: int) -> Tensor:
    """How many of the same group stand before each entry; the groups ascend."""
    sizes = torch.bincount(group, minlength=groups)
    first = sizes.cumsum(0) - sizes
    return torch.arange(len(group), device=group.device) - first.index_select(0, group)


def _newest(owner: Tensor, end: Tensor, offset: Tensor) -> Tensor:
    """Positions of the newest edge of each owner to each end: edges are in order of time."""
    order = offset.argsort()
    order = order[end[order].argsort(stable=True)]
    order = order[owner[order].argsort(stable=True)]
    there = (owner[order], end[order])
    last = torch.ones_like(order, dtype=torch.bool)
    last[:-1] = (there[0][1:] != there[0][:-1]) | (there[1][1:] != there[1][:-1])
    return order[last]


def _best_of_each_seed(presence: Presence) -> Presence:
    order = presence.mass.argsort(descending=True, stable=True)
    order = order[presence.seed[order].argsort(stable=True)]
    place = torch.empty_like(order)
    seeds = int(presence.seed[-1]) + 1 if len(order) else 0
    place[order] = _place_in_group(presence.seed[order], seeds)
    kept = place < NODES_KEPT
    return Presence(presence.seed[kept], presence.node[kept], presence.mass[kept])


def _added_up(parts: list[Presence]) -> Presence:
    """Presence at each node once, by seed and node."""
    seed = torch.cat([part.seed for part in parts])
    node = torch.cat([part.node for part in parts])
    width = int(node.max()) + 1 if len(node) else 1
    key, place = torch.unique(seed * width + node, return_inverse=True)
    mass = torch.zeros_like(key).index_add_(0, place, torch.cat([part.mass for part in parts]))
    return Presence(key // width, key % width, mass)


def _score_of(presence: Presence | None, seed: Tensor, node: Tensor) -> Tensor:
    """Score of nodes for seeds; 0 where the walker never came."""
    if presence is None or not len(presence.node) or not len(node):
        return torch.zeros_like(node)
    width = int(torch.maximum(presence.node.max(), node.max())) + 1
    known, wanted = presence.seed * width + presence.node, seed * width + node
    place = torch.searchsorted(known, wanted).clamp(max=len(known) - 1)
    return torch.where(known[place] == wanted, presence.mass[place], 0)

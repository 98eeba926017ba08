"""Which neighbours a node takes, of those within the window: the strategies of the sampler.

| name | takes |
|---|---|
| `uniform` | a uniform draw of the daily edges |
| `rarity` | a draw in proportion to 1 / log(2 + d), d the other end's edges up to that time |
| `pagerank` | the neighbours of highest personalised PageRank from the seed (`graph/pagerank.py`) |
| `pyg-lib` | a uniform draw by pyg-lib's compiled sampler, where that is installed |
"""

import importlib
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from graphguard.errors import PygLibMissing
from graphguard.graph.draws import draw_uniform, draw_weighted, lower_bound
from graphguard.graph.hetero import EdgeType, HeteroGraph
from graphguard.graph.neighbourhoods import Step
from graphguard.graph.timed_edges import TimedEdges

Strategy = Literal["uniform", "rarity", "pagerank", "pyg-lib"]
UNIT = 1 << 20
"""Weights are whole numbers of 2**-20, so that their sums are exact."""
EDGES_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Question:
    """What the nodes of a layer ask along one step.

    Attributes:
        step: The way.
        seed: Which seed's tree each asker stands in, shape [n], int64.
        low: First position of each asker's edges within the window, shape [n], int64.
        high: Their end, shape [n], int64.
        fanout: Most neighbours of an asker.
        marks: Hash that the draws of each asker follow, shape [n], int64.
    """

    step: Step
    seed: Tensor
    low: Tensor
    high: Tensor
    fanout: int
    marks: Tensor


Pick = Callable[[Question], tuple[Tensor, Tensor]]
"""Answers a question: edges taken per asker, shape [n], and their offsets from `low`, by asker."""


class Picker(Protocol):
    """A strategy, ready for a graph."""

    def begin(self, nodes: Tensor, anchor: Tensor) -> Pick:
        """What answers the questions of one batch of seeds, shape [seeds] each, int64."""
        ...


def open_picker(
    strategy: Strategy, graph: HeteroGraph, edges: TimedEdges, node_type: str
) -> Picker:
    """Make a strategy ready for a graph and for seeds of a type.

    Raises:
        PygLibMissing: `strategy` is 'pyg-lib', which is not installed.
    """
    if strategy == "rarity":
        return RarityPicker(graph, edges)
    if strategy == "pagerank":
        from graphguard.graph.pagerank import PagerankPicker

        return PagerankPicker(edges, node_type)
    if strategy == "pyg-lib":
        return PygLibPicker(edges)
    return UniformPicker()


class UniformPicker:
    """Every daily edge within the window is as likely; none is taken twice."""

    def begin(self, nodes: Tensor, anchor: Tensor) -> Pick:
        """The same for every batch."""

        def pick(question: Question) -> tuple[Tensor, Tensor]:
            return draw_uniform(question.high - question.low, question.fanout, question.marks)

        return pick


class RarityPicker:
    """Neighbours that few others had touched by then are likelier; none is taken twice.

    An edge weighs 1 / log(2 + d), d being the edges of its other end at or before its own time. So
    the weight of an edge is told by its past alone, and the same for every anchor.
    """

    def __init__(self, graph: HeteroGraph, edges: TimedEdges) -> None:
        held = _SUMMED.setdefault(graph, {})
        for step in edges.steps:
            if (step.message, edges.device) not in held:
                held[step.message, edges.device] = _summed_rarity(edges, step)
        self._summed = {step.message: held[step.message, edges.device] for step in edges.steps}

    def begin(self, nodes: Tensor, anchor: Tensor) -> Pick:
        """The same for every batch."""

        def pick(question: Question) -> tuple[Tensor, Tensor]:
            span = (question.low, question.high)
            summed = self._summed[question.step.message]
            return draw_weighted(summed, span, question.fanout, question.marks)

        return pick


_SUMMED: weakref.WeakKeyDictionary[HeteroGraph, dict[tuple[EdgeType, str], Tensor]] = (
    weakref.WeakKeyDictionary()
)
"""Running sums of weights, kept as long as their graph: a model asks for them again and again."""


def _summed_rarity(edges: TimedEdges, step: Step) -> Tensor:
    """Weights summed before each edge, shape [num_edges + 1], int64."""
    mine, back = edges.of(step), edges.back(step)
    summed = torch.zeros(len(mine.neighbor) + 1, dtype=torch.int64, device=edges.device)
    for start in range(0, len(mine.neighbor), EDGES_AT_ONCE):
        part = slice(start, start + EDGES_AT_ONCE)
        other = mine.neighbor[part].to(torch.int64)
        first, end = back.indptr.index_select(0, other), back.indptr.index_select(0, other + 1)
        met = lower_bound(back.time, first, end, mine.time[part] + 1) - first
        weight = UNIT / (2.0 + met.to(torch.float64)).log()
        summed[1:][part] = weight.round().to(torch.int64)
    return summed.cumsum_(0)


class PygLibPicker:
    """A uniform draw by pyg-lib, one call a layer and step.

    pyg-lib knows no windows, but it takes a node's edges to lie between two neighbouring numbers of
    `rowptr`: written there pairwise, the windows are the rows. Its random numbers come one after
    the other, so here a seed's tree does depend on its batch.

    Raises:
        PygLibMissing: It is not installed.
    """

    def __init__(self, edges: TimedEdges) -> None:
        try:
            self._sample: Any = importlib.import_module("pyg_lib.sampler").neighbor_sample
        except ImportError as error:
            raise PygLibMissing from error
        # Neighbours are read from our own arrays: all that is asked of pyg-lib is positions.
        self._nobody = {
            step.message: torch.zeros(len(edges.of(step).neighbor), dtype=torch.int64)
            for step in edges.steps
        }
        self._device = edges.device

    def begin(self, nodes: Tensor, anchor: Tensor) -> Pick:
        """Answers follow the batch's seeds."""
        return self._pick

    def _pick(self, question: Question) -> tuple[Tensor, Tensor]:
        low, high = question.low.cpu(), question.high.cpu()
        rows = torch.stack([low, high], dim=1).flatten()
        asking = 2 * torch.arange(len(low))
        if not len(low):
            return question.low, question.low
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(question.marks.sum()))
            found = self._sample(
                rows, self._nobody[question.step.message], asking, [question.fanout]
            )
        asker, edge = found[0], found[3]
        count = torch.bincount(asker, minlength=len(low))
        offset = edge - low.index_select(0, asker)
        return count.to(self._device), offset.to(self._device)

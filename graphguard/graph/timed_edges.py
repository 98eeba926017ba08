"""A graph's edges as tensors on one device, with windows in time over any rows."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphguard.graph.draws import window_bounds
from graphguard.graph.hetero import Adjacency, EdgeType, HeteroGraph
from graphguard.graph.neighbourhoods import Step, walked


@dataclass(frozen=True)
class StepEdges:
    """The edges of one way to step, by asker; on CPU the mapped files themselves.

    Attributes:
        indptr: Where each asker's edges begin, shape [askers + 1], int64.
        neighbor: Dense index of the other end, shape [num_edges], int32.
        time: Microseconds, ascending inside a row, shape [num_edges], int64.
    """

    indptr: Tensor
    neighbor: Tensor
    time: Tensor


class TimedEdges:
    """Edges of all ways to step.

    Args:
        graph: The graph.
        window_us: Length of the window before each anchor.
        device: Where to hold them; they are copied there once.
    """

    def __init__(self, graph: HeteroGraph, window_us: int, device: str) -> None:
        self.window_us, self.device = window_us, device
        self.steps = walked(graph.edge_types)
        self.num_nodes = dict(graph.num_nodes)
        self._edges: dict[EdgeType, StepEdges] = {
            step.message: _tensors(
                graph.into(step.stored) if step.by_target else graph.out(step.stored), device
            )
            for step in self.steps
        }

    def of(self, step: Step) -> StepEdges:
        """The edges along a step."""
        return self._edges[step.message]

    def back(self, step: Step) -> StepEdges:
        """The same edges by their other end."""
        return next(
            self.of(other)
            for other in self.steps
            if other.stored == step.stored and other.by_target != step.by_target
        )

    def windows(self, step: Step, nodes: Tensor, anchor: Tensor) -> tuple[Tensor, Tensor]:
        """Range of each node's edges within the window before its anchor, shape [nodes] each."""
        edges = self.of(step)
        span = (edges.indptr.index_select(0, nodes), edges.indptr.index_select(0, nodes + 1))
        return window_bounds(edges.time, span, anchor - self.window_us, anchor)

    def degrees(self, kind: str, nodes: Tensor, anchor: Tensor) -> list[Tensor]:
        """Daily edges of nodes within the windows before their anchors.

        Returns:
            One tensor for each way to step from this type, shape [nodes], int64.
        """
        spans = [self.windows(step, nodes, anchor) for step in self.steps if step.asker == kind]
        return [high - low for low, high in spans]


def as_tensor(array: NDArray[Any], device: str) -> Tensor:
    """An array, mapped or not, as a tensor; on CPU the array's own memory, which is never written.

    So processes that map one file share its pages.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(array)).to(device)


def _tensors(adjacency: Adjacency, device: str) -> StepEdges:
    arrays = (adjacency.indptr, adjacency.neighbor, adjacency.time_us)
    return StepEdges(*(as_tensor(one, device) for one in arrays))

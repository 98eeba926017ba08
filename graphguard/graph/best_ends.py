"""Largest values at the ends of walks, each start's own value left out.

Nodes are ranked by value, so that a number names its node. Every node keeps the two best ranks in
reach; a start whose best is itself takes the second. Ranks are compared, never added: exact.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphguard.graph.walks import Limits
from graphguard.graph.window_edges import WindowEdges

NO_RANK = -1.0


def largest_ends(
    steps: Sequence[WindowEdges], values: NDArray[np.float32], limits: Limits, *, skip_own: bool
) -> NDArray[np.float32]:
    """The largest value at the end of any walk from each start.

    Args:
        steps: Edges of each step by its start.
        values: Values of the ends, shape [num_ends, width], float32; NaN is missing.
        limits: Bounds; they change no bit.
        skip_own: Whether starts are the same nodes as ends, and their own value does not count.

    Returns:
        Shape [num_starts, width], float32; NaN where no other end has a value.

    Cost: a sort of the ends a column, then O(edges * width) a step.
    """
    ranked = [_ranked(values[:, column]) for column in range(values.shape[1])]
    own = torch.stack([rank for rank, _ in ranked], dim=1)
    best, second = own, torch.full_like(own, NO_RANK)
    for edges in reversed(steps):
        best, second = _step(edges, best, second, limits)
    if skip_own:
        best = torch.where((best == own) & (own >= 0), second, best)
    found = np.empty((len(best), values.shape[1]), dtype=np.float32, order="F")
    for column, (_, ordered) in enumerate(ranked):
        # Rank -1 reads the NaN that stands behind the last value.
        found[:, column] = ordered[best[:, column].numpy().astype(np.int64)]
    return found


def _ranked(values: NDArray[np.float32]) -> tuple[Tensor, NDArray[np.float32]]:
    """Rank of each value, -1 where missing, and the values in order with NaN behind them."""
    there = np.flatnonzero(np.isfinite(values))
    order = there[np.argsort(values[there], kind="stable")]
    # Whole numbers are exact in float32 below 2**24.
    kind = np.float32 if len(values) < 1 << 24 else np.float64
    rank = np.full(len(values), NO_RANK, dtype=kind)
    rank[order] = np.arange(len(order))
    return torch.from_numpy(rank), np.append(values[order], np.float32(np.nan))


def _step(
    edges: WindowEdges, best: Tensor, second: Tensor, limits: Limits
) -> tuple[Tensor, Tensor]:
    width = best.shape[1]
    size = best.element_size() * max(width, 1)
    shape = (edges.num_rows, width)
    tops = [torch.full(shape, NO_RANK, dtype=best.dtype) for _ in range(2)]
    for chunk in edges.chunks(limits.chunk_bytes // (4 * size), limits.chunk_bytes // (8 * size)):
        lengths = torch.from_numpy(np.diff(chunk.indptr))
        neighbor = torch.from_numpy(chunk.neighbor.astype(np.int64))
        ranks = best.index_select(0, neighbor)
        top = _largest(ranks, lengths)
        beaten = ranks == top.repeat_interleave(lengths, dim=0)
        ranks = torch.where(beaten, second.index_select(0, neighbor), ranks)
        held = slice(chunk.first, chunk.last)
        _merge(tops[0][held], tops[1][held], top, _largest(ranks, lengths))
    return tops[0], tops[1]


def _largest(ranks: Tensor, lengths: Tensor) -> Tensor:
    found: Tensor = torch.segment_reduce(ranks, "max", lengths=lengths, axis=0, initial=NO_RANK)
    return found


def _merge(best: Tensor, second: Tensor, top: Tensor, next_: Tensor) -> None:
    """Put the two best distinct ranks of two pairs into `best` and `second`."""
    lower = torch.minimum(best, top)
    lower[best == top] = NO_RANK
    second.copy_(torch.maximum(torch.maximum(second, next_), lower))
    best.copy_(torch.maximum(best, top))

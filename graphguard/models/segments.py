"""Sums over neighbours that lie side by side, with exact and deterministic gradients."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def segment_sum(values: Tensor, count: Tensor) -> Tensor:
    """Sum consecutive rows: the first `count[0]`, the next `count[1]`, and so on.

    Args:
        values: Rows, shape [sum of count, width], floating point.
        count: Rows of each sum, shape [n], int64.

    Returns:
        Sums, shape [n, width]; zeros where there are no rows.

    Cost: one pass over `values`, each way.
    """
    summed: Tensor = _SegmentSum.apply(values, count)  # type: ignore[no-untyped-call]
    return summed


def segment_mean(values: Tensor, count: Tensor) -> Tensor:
    """As `segment_sum`, divided by the number of rows."""
    return segment_sum(values, count) / count.clamp(min=1).to(values.dtype)[:, None]


class _SegmentSum(torch.autograd.Function):
    """An embedding bag over all rows in order: on CPU several times faster than a scatter.

    Its own gradient builds a table of all rows anew; here it is a copy of each sum's gradient.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, count: Tensor) -> Tensor:
        ctx.save_for_backward(count)
        ctx.rows = len(values)
        return _summed(values, count)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (count,) = ctx.saved_tensors
        return gradients[0].index_select(0, _owners(count, ctx.rows)), None


def segment_softmax(logits: Sequence[Tensor], counts: Sequence[Tensor]) -> list[Tensor]:
    """Softmax over the rows of several lists that belong to one node.

    Args:
        logits: One tensor a list, rows side by side by node, shape [sum of its count, heads].
        counts: Rows of each node in each list, shape [n] each, int64.

    Returns:
        Weights like `logits`; those of a node add up to 1 over all lists, head by head.
    """
    with torch.no_grad():
        highest = logits[0].new_full((len(counts[0]), logits[0].shape[1]), -torch.inf)
        for one, count in zip(logits, counts, strict=True):
            place = _owners(count, len(one))[:, None].expand_as(one)
            highest.scatter_reduce_(0, place, one, "amax")
    grown, total = [], torch.zeros_like(highest)
    for one, count in zip(logits, counts, strict=True):
        raised = (one - highest.index_select(0, _owners(count, len(one)))).exp()
        total = total + segment_sum(raised, count)
        grown.append(raised)
    return [
        raised / spread(total, count, len(raised))
        for raised, count in zip(grown, counts, strict=True)
    ]


def spread(values: Tensor, count: Tensor, rows: int) -> Tensor:
    """Repeat each row as often as `count` says: the other way round of `segment_sum`.

    Args:
        values: Shape [n, width].
        count: Shape [n], int64.
        rows: Sum of `count`.
    """
    repeated: Tensor = _Spread.apply(values, count, rows)  # type: ignore[no-untyped-call]
    return repeated


class _Spread(torch.autograd.Function):
    """Copies whose gradient is a sum over ranges, where a gather's would be a scatter."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, count: Tensor, rows: int) -> Tensor:
        ctx.save_for_backward(count)
        return values.index_select(0, _owners(count, rows))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (count,) = ctx.saved_tensors
        return _summed(gradients[0].contiguous(), count), None, None


def _owners(count: Tensor, rows: int) -> Tensor:
    every = torch.arange(len(count), device=count.device)
    return every.repeat_interleave(count, output_size=rows)


def _summed(values: Tensor, count: Tensor) -> Tensor:
    if not len(values):
        return values.new_zeros((len(count), values.shape[1]))
    every = torch.arange(len(values), device=values.device)
    return torch.nn.functional.embedding_bag(every, values, count.cumsum(0) - count, mode="sum")

"""Sums over walks: sparse products in a fixed order, and the weight of walks that come back.

An operator is one step of a walk as diag(after) A diag(before), A counting the daily edges of the
step. A row adds float64 numbers in the order of its edges, rows of more than LONGEST edges in
pieces of that size, so neither memory nor the number of threads changes a bit.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, eye_array

from graphguard.errors import MemoryBudgetTooSmall
from graphguard.graph.ranges import ranges
from graphguard.graph.window_edges import Chunk, WindowEdges

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WALK_BYTES = 96
"""Memory of one walk while it is looked at whether it comes back."""
CHUNKS = 8
"""What part of the memory the edges of one piece of work take."""
NOTHING = 2.0**-40
"""What is left after a subtraction counts as none below this share of what was taken away."""


@dataclass(frozen=True)
class Operator:
    """One step of a walk.

    Attributes:
        forward: Edges by the step's start.
        backward: The same edges by the step's end.
        before: Weight of each end, shape [forward.num_columns].
        after: Weight of each start, shape [forward.num_rows].
    """

    forward: WindowEdges
    backward: WindowEdges
    before: Floats
    after: Floats


@dataclass(frozen=True)
class Limits:
    """What a product may take.

    Attributes:
        memory_bytes: Memory beside the weights of the steps.
        threads: Pieces of rows that are worked on at once.
    """

    memory_bytes: int
    threads: int = 1

    @property
    def chunk_bytes(self) -> int:
        """Memory of the edges of one piece of work; its sums take as much again."""
        return max(self.memory_bytes // CHUNKS, 1 << 20)

    @property
    def column_bytes(self) -> int:
        """Memory for columns."""
        return self.memory_bytes - 2 * self.chunk_bytes


def product(edges: WindowEdges, values: Floats, limits: Limits) -> Floats:
    """Sum the values of each row's neighbours, each as often as there are daily edges.

    Args:
        edges: The edges.
        values: Shape [edges.num_columns, width], float64, C order.
        limits: Bounds; they change no bit.

    Returns:
        Shape [edges.num_rows, width], float64.

    Cost: O(edges * width).
    """
    width = values.shape[1]
    result = np.zeros((edges.num_rows, width))
    max_edges = limits.chunk_bytes // 32
    max_rows = max(limits.chunk_bytes // (16 * max(width, 1)), 1)
    with ThreadPoolExecutor(max(limits.threads, 1)) as pool:
        for chunk in edges.chunks(max_edges, max_rows):
            parts = list(_parts(chunk, limits.threads))
            sums = pool.map(lambda part: _sum_rows(part, values), parts)
            for part, summed in zip(parts, sums, strict=True):
                result[part.first : part.last] += summed
    return result


def _parts(chunk: Chunk, threads: int) -> Iterator[Chunk]:
    """The chunk cut between rows into about equally many edges."""
    ends = np.linspace(0, chunk.indptr[-1], threads + 1)[1:-1]
    cuts = np.searchsorted(chunk.indptr, ends)
    bounds = [0, *cuts.tolist(), len(chunk.indptr) - 1]
    for start, stop in zip(bounds, bounds[1:], strict=False):
        if start < stop:
            low, high = chunk.indptr[start], chunk.indptr[stop]
            indptr = chunk.indptr[start : stop + 1] - low
            yield Chunk(chunk.first + start, indptr, chunk.neighbor[low:high])


def _sum_rows(chunk: Chunk, values: Floats) -> Floats:
    # SciPy's kernel adds a row's neighbours one by one in their order, for all columns at once.
    matrix = csr_array(
        (np.ones(len(chunk.neighbor)), chunk.neighbor, chunk.indptr),
        shape=(len(chunk.indptr) - 1, len(values)),
    )
    summed: Floats = matrix @ values
    return summed


def walk_sums(operators: Sequence[Operator], values: Floats, limits: Limits) -> Floats:
    """Pull values from the ends of walks to their starts.

    Args:
        operators: Steps from the start to the end of the walks.
        values: Values of the ends, shape [num_ends, width], float64; overwritten.
        limits: Bounds; they change no bit.

    Returns:
        For each start the sum over walks of the product of weights times the end's value, shape
        [num_starts, width].

    Cost: O(edges * width) a step; memory the widest two layers.
    """
    for operator in reversed(operators):
        values *= operator.before[:, None]
        values = product(operator.forward, values, limits)
        values *= operator.after[:, None]
    return values


def closed_walks(operators: Sequence[Operator], limits: Limits) -> Floats:
    """Weight of the walks that end where they began.

    Args:
        operators: Steps of the walks; the last ends at the type at which the first starts.
        limits: Bounds; they change no bit.

    Returns:
        Shape [num_starts], float64: the diagonal of the product of the steps.

    Raises:
        MemoryBudgetTooSmall: The walks of one node do not fit.

    Cost: O(walks of half the length), as both halves are laid side by side.
    """
    half = len(operators) // 2
    there = [_Step(one.forward, one.after, one.before) for one in operators[:half]]
    back = [_Step(one.backward, one.before, one.after) for one in operators[half:][::-1]]
    count = operators[0].forward.num_rows
    cost = 1.0 + _walk_counts(there, count, limits) + _walk_counts(back, count, limits)
    most = max(limits.chunk_bytes // WALK_BYTES, 1)
    if count and cost.max() > most:
        what = f"the walks of node {int(cost.argmax())} back to itself"
        needed = int(cost.max()) * WALK_BYTES * CHUNKS
        raise MemoryBudgetTooSmall(what, needed, limits.memory_bytes)
    running = np.cumsum(cost)
    result = np.zeros(count)
    start = 0
    while start < count:
        done = running[start - 1] if start else 0.0
        stop = max(int(np.searchsorted(running, done + most, side="right")), start + 1)
        left, right = (_walks_from((start, stop), steps, count) for steps in (there, back))
        result[start:stop] = left.multiply(right).sum(axis=1)
        start = stop
    return result


@dataclass(frozen=True)
class _Step:
    """A step of a walk in the direction in which it is laid out, with the weights of both ends."""

    edges: WindowEdges
    leaving: Floats
    arriving: Floats


def _walk_counts(steps: Sequence[_Step], count: int, limits: Limits) -> Floats:
    """How many walks take these steps from each start."""
    ends = steps[-1].edges.num_columns if steps else count
    numbers = np.ones((ends, 1))
    for step in reversed(steps):
        numbers = product(step.edges, numbers, limits)
    return numbers[:, 0]


def _walks_from(bounds: tuple[int, int], steps: Sequence[_Step], count: int) -> csr_array:
    """Weight of the walks from a range of nodes (rows) to where they are after all steps."""
    start, stop = bounds
    if not steps:
        return eye_array(stop - start, count, k=start, format="csr")
    first = steps[0]
    chunk = first.edges.rows(start, stop)
    leaving = np.repeat(first.leaving[start:stop], np.diff(chunk.indptr))
    walks = csr_array(
        (leaving * first.arriving[chunk.neighbor], chunk.neighbor, chunk.indptr),
        shape=(stop - start, first.edges.num_columns),
    )
    walks.sum_duplicates()
    for step in steps[1:]:
        walks = _longer(walks, step)
    return walks


def _longer(walks: csr_array, step: _Step) -> csr_array:
    nodes, place = np.unique(walks.indices, return_inverse=True)
    low, high = step.edges.indptr[nodes], step.edges.indptr[nodes + 1]
    neighbor = np.array(step.edges.neighbor[ranges(low, high)])
    steps = csr_array(
        (step.arriving[neighbor], neighbor, np.r_[0, np.cumsum(high - low)]),
        shape=(len(nodes), step.edges.num_columns),
    )
    held = csr_array(
        (walks.data * step.leaving[walks.indices], place, walks.indptr),
        shape=(walks.shape[0], len(nodes)),
    )
    longer = held @ steps
    longer.sum_duplicates()
    return longer


def without_own(sums: Floats, closed: Floats, own: NDArray[Any]) -> Floats:
    """Take away what each start gave itself over walks that came back.

    Args:
        sums: Sums over all walks, shape [n, columns].
        closed: Weight of the walks that came back, shape [n].
        own: Values of each start, shape [n, columns].

    Returns:
        Shape [n, columns]; exactly 0 where no more is left than rounding leaves.
    """
    taken = closed[:, None] * own
    left: Floats = sums - taken
    left[np.abs(left) <= NOTHING * np.abs(taken)] = 0.0
    return left

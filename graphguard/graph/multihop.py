"""Multi-hop aggregates: what lies at the ends of walks along metapaths, in bounded memory.

Reads a graph and values of its nodes, writes one matrix a metapath. Only edges with
anchor - window <= time < anchor count, at every hop. From a seed a walk takes, at each hop, one of
the daily edges of the node where it is, an edge to a node with d touches being chosen in proportion
to 1 / log(2 + d), so that a rare object says more than a crowded one; all edges of the last hop
alike. Walks that end at the seed itself never count.

- mean: expected value at the end of a walk, given that the end has one;
- bad_share: probability that the end was known to be bad before the anchor;
- sum: over all walks, the value at the end; a capped node on the way stands for its true degree;
- max: largest value at any end.

Methods: metapath aggregates as in Sun et al. 2011, "PathSim", and precomputed propagation as in
Frasca et al. 2020, "SIGN".
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from graphguard.errors import DegreesLookAhead, MemoryBudgetTooSmall
from graphguard.graph.array_files import ColumnWriter, read_columns, read_piece
from graphguard.graph.best_ends import largest_ends
from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.metapaths import Hop, Metapath
from graphguard.graph.walks import Limits, Operator, closed_walks, walk_sums, without_own
from graphguard.graph.window_edges import WindowEdges, write_window
from graphguard.tables.files import write_json

Floats = NDArray[np.float64]
ROWS_FINISHED = 1 << 12
Aggregate = Literal["mean", "sum", "max"]


@dataclass(frozen=True)
class NodeValues:
    """Values of all nodes of one type.

    Attributes:
        names: Name of each column.
        values: Shape [num_nodes, columns], floats by dense index; NaN is missing. May be a mapped
            file larger than memory; column order is read fastest.
        bad_since_us: When each node became known as bad, shape [num_nodes], int64; at or after the
            anchor is not yet. None where nothing is known about the type.
    """

    names: tuple[str, ...]
    values: NDArray[np.floating]
    bad_since_us: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Propagation:
    """What to aggregate, and in how much memory.

    Attributes:
        anchor_us: End of the window, exclusive.
        window_us: Length of the window.
        aggregates: Any of mean, sum, max, over each column; bad_share is made beside them.
        memory_bytes: Memory to take beyond what the process holds; changes no bit of the result.
        true_degrees: Whether capped nodes weigh by their true degree. A graph keeps one for its
            whole span, so its edges must end before the anchor.
        threads: Rows worked on at once; changes no bit of the result.
    """

    anchor_us: int
    window_us: int
    aggregates: tuple[Aggregate, ...] = ("mean", "sum", "max")
    memory_bytes: int = 2 << 30
    true_degrees: bool = True
    threads: int = field(default_factory=torch.get_num_threads)


def propagate(
    graph: HeteroGraph,
    values: Mapping[str, NodeValues],
    paths: Sequence[Metapath],
    rules: Propagation,
    out: Path,
) -> dict[str, list[str]]:
    """Write the aggregates of every node at the start of each metapath.

    Args:
        graph: The graph; not read whole where it is mapped.
        values: Values by node type; a path whose end has none is left out.
        paths: The metapaths.
        rules: What to aggregate.
        out: Folder; gets `<path>.npy` (float32, shape [num_nodes of the start, columns], in column
            order, to be mapped) and `columns.json`, their columns.

    Returns:
        Columns of each path's matrix: `<path>.mean.<name>` and so on, then `<path>.bad_share`. A
        mean, share or largest is NaN where no other node with a value is in reach, a sum is 0.

    Raises:
        MemoryBudgetTooSmall: One column of one path does not fit.
        DegreesLookAhead: True degrees count edges at or after the anchor.

    Cost: O(edges in the window * columns) time a hop, aggregate and path; for paths that come back
        to their first type also O(walks of half the length). Values are read once an aggregate and
        path in column order, once a block of columns in row order.
    """
    out.mkdir(parents=True, exist_ok=True)
    made: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory(dir=out, prefix=".window") as scratch:
        windows = _Windows(graph, rules, Path(scratch))
        for path in paths:
            if path.end in values:
                made[path.name] = _write_path(windows, values[path.end], path, out)
    write_json(out / "columns.json", made)
    return made


def _write_path(windows: "_Windows", inputs: NodeValues, path: Metapath, out: Path) -> list[str]:
    rules, names = windows.rules, inputs.names
    columns = [f"{path.name}.{kind}.{name}" for kind in rules.aggregates for name in names]
    if inputs.bad_since_us is not None:
        columns.append(f"{path.name}.bad_share")
    rows = windows.graph.num_nodes[path.start]
    with ColumnWriter(out / f"{path.name}.npy", rows, len(columns)) as writer:
        for number, kind in enumerate(rules.aggregates):
            found = _PathWalks(windows, path, kind).aggregates(inputs)
            for place, made in enumerate(found, number * len(names)):
                writer.write(place, made)
        if inputs.bad_since_us is not None:
            bad = inputs.bad_since_us < rules.anchor_us
            known = NodeValues(("bad",), bad[:, None].astype(np.float32))
            (share,) = _PathWalks(windows, path, "mean").aggregates(known)
            writer.write(len(columns) - 1, share)
    return columns


class _Windows:
    """The edges of each relation and direction in the window, written once."""

    def __init__(self, graph: HeteroGraph, rules: Propagation, scratch: Path) -> None:
        self.graph, self.rules, self._scratch = graph, rules, scratch
        self._made: dict[Hop, WindowEdges] = {}

    def edges(self, hop: Hop) -> WindowEdges:
        """The edges of a hop by its start."""
        if hop not in self._made:
            folder = self._scratch / str(len(self._made))
            folder.mkdir()
            adjacency = (self.graph.out if hop.forward else self.graph.into)(hop.edge_type)
            span = (self.rules.anchor_us - self.rules.window_us, self.rules.anchor_us)
            self._made[hop] = write_window(adjacency, self.graph.num_nodes[hop.end], span, folder)
        return self._made[hop]

    def stretch(self, hop: Hop) -> Floats:
        """True over kept daily edges of each node that a hop leaves, 1 where none was cut."""
        adjacency = (self.graph.out if hop.forward else self.graph.into)(hop.edge_type)
        factor = np.ones(adjacency.num_rows)
        if not self.rules.true_degrees:
            return factor
        kept = np.diff(read_piece(adjacency.indptr, 0, adjacency.num_rows + 1))
        degree = self.graph.degree(hop.edge_type, "source" if hop.forward else "target")
        degree = read_piece(degree, 0, adjacency.num_rows)
        cut = (degree > kept) & (kept > 0)
        later = self.edges(hop).num_later
        if later and cut.any():
            raise DegreesLookAhead("-".join(hop.edge_type), later, int(cut.sum()))
        factor[cut] = degree[cut] / kept[cut]
        return factor


class _PathWalks:
    """One aggregate over the walks of one metapath."""

    def __init__(self, windows: _Windows, path: Metapath, kind: Aggregate) -> None:
        self._windows, self._path, self._kind = windows, path, kind
        self._steps = [windows.edges(hop) for hop in path.hops]
        self._returns = path.start == path.end
        starts = [step.num_rows for step in self._steps]
        ends = [step.num_columns for step in self._steps]
        # Weights of the steps, then degrees while they are made; reach and weight of coming back.
        held = 8 * (2 * sum(starts) + sum(ends) + 4 * max(starts + ends) + 4 * starts[0])
        self._pair = max(a + b for a, b in zip(starts, ends, strict=True))
        self._num_ends = ends[-1]
        self._limits = Limits(windows.rules.memory_bytes - held, windows.rules.threads)
        self._held = held

    def aggregates(self, inputs: NodeValues) -> Iterator[NDArray[np.floating]]:
        """The aggregate of every column in turn, shape [num_starts] each."""
        total = len(inputs.names)
        if self._kind == "max":
            # Values, their order, two ranks a node on both sides of a step.
            size = 4 if self._num_ends < 1 << 24 else 8
            width = self._width(20 * self._num_ends + 2 * size * self._pair, total)
            for first in range(0, total, width):
                block = read_columns(inputs.values, first, min(first + width, total))
                found = largest_ends(self._steps, block, self._limits, skip_own=self._returns)
                yield from found.T
            return
        width = self._width(
            5 * self._num_ends + 4 * self._steps[0].num_rows + 2 * 8 * self._pair, total
        )
        operators = self._operators()
        closed = closed_walks(operators, self._limits) if self._returns else None
        ones = np.ones((self._num_ends, 1))
        reach = walk_sums(operators, ones, self._limits)[:, 0]
        for first in range(0, total, width):
            block = read_columns(inputs.values, first, min(first + width, total))
            yield from self._block(operators, block, closed, reach)

    def _width(self, column_bytes: int, total: int) -> int:
        free = self._limits.column_bytes
        if free < column_bytes:
            needed = self._held + column_bytes + 2 * self._limits.chunk_bytes
            what = f"one column over {self._path.name}"
            raise MemoryBudgetTooSmall(what, needed, self._windows.rules.memory_bytes)
        return max(min(free // column_bytes, total), 1)

    def _operators(self) -> list[Operator]:
        found = []
        for place, (hop, edges) in enumerate(zip(self._path.hops, self._steps, strict=True)):
            back = Hop(hop.edge_type, not hop.forward)
            backward = self._windows.edges(back)
            before = np.ones(edges.num_columns)
            after = np.ones(edges.num_rows)
            if self._kind == "sum":
                # A seed is taken as it was seen; a capped node on the way stands for all it met.
                after = self._windows.stretch(hop) if place else after
            else:
                if place < len(self._path.hops) - 1:
                    touches = backward.degree() * self._windows.stretch(back)
                    before = 1.0 / np.log(2.0 + touches)
                found.append(Operator(edges, backward, before, after))
                whole = walk_sums(found[-1:], np.ones((len(before), 1)), self._limits)[:, 0]
                after = np.divide(1.0, whole, out=np.zeros(len(whole)), where=whole > 0)
                found.pop()
            found.append(Operator(edges, backward, before, after))
        return found

    def _block(
        self,
        operators: list[Operator],
        block: NDArray[np.float32],
        closed: Floats | None,
        reach: Floats,
    ) -> Iterator[NDArray[np.float32]]:
        """Finish the columns of one block; only ends that hold a value and are no seed count."""
        width = block.shape[1]
        there = np.isfinite(block)
        gaps = np.flatnonzero(~there.all(axis=0)) if self._kind == "mean" else np.zeros(0, int)
        block[~there] = 0.0
        filled = np.empty((len(block), width + len(gaps)))
        filled[:, :width] = block
        filled[:, width:] = there[:, gaps]
        sums = walk_sums(operators, filled, self._limits)
        del filled
        finished = np.empty((width, len(sums)), dtype=np.float32)
        for low in range(0, len(sums), ROWS_FINISHED):
            rows = slice(low, low + ROWS_FINISHED)
            made = sums[rows, :width]
            if closed is not None:
                made = without_own(made, closed[rows], block[rows])
            if self._kind == "mean":
                weight = np.repeat(reach[rows, None], width, axis=1)
                weight[:, gaps] = sums[rows, width:]
                if closed is not None:
                    weight = without_own(weight, closed[rows], there[rows])
                empty = np.full(made.shape, np.nan)
                made = np.divide(made, weight, out=empty, where=weight > 0)
            with np.errstate(over="ignore"):
                finished[:, rows] = made.T
        yield from finished

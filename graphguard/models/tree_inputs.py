"""Batches for networks on trees: what each sampled node was known to be at its seed's anchor."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphguard.graph.draws import lower_bound
from graphguard.graph.neighbourhoods import Trees
from graphguard.graph.sampling import TemporalSampler
from graphguard.graph.timed_edges import as_tensor
from graphguard.models.base import Rows
from graphguard.models.team import Team
from graphguard.models.transform import InputTransform
from graphguard.models.tree_net import Inputs, TreeBatch

WIDE = 64
"""Rows at least so wide are encoded once a batch, however many places of its trees they stand in:
finding the repeats costs as much as encoding some sixty columns."""


def input_table(
    rows: Rows, transform: InputTransform, among: tuple[Team, Path] | None = None
) -> NDArray[np.float32]:
    """Inputs of all rows, and one row more that stands for nodes without: zeros, and a mark.

    Args:
        rows: All feature rows, of every anchor.
        transform: Makes inputs of them.
        among: The ranks that share one mapped table, and their folder; None makes one in memory.

    Returns:
        Shape [rows + 1, width + 1], float32.
    """
    shape = (len(rows) + 1, transform.width + 1)
    if among is None:
        table = np.zeros(shape, dtype=np.float32)
        _fill(table, rows, transform)
        return table
    team, folder = among
    path = folder / "inputs.npy"
    if team.rank == 0:
        written = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        _fill(written, rows, transform)
        written.flush()
    team.wait()
    mapped: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped


def _fill(table: NDArray[np.float32], rows: Rows, transform: InputTransform) -> None:
    transform.apply(rows, table[:-1, :-1])
    table[-1, -1] = 1.0


class RowTable:
    """Inputs of all known rows on one device, and the newest row of a node at a time.

    Args:
        rows: All feature rows, of every anchor.
        table: Their inputs, see `input_table`.
        device: Where to hold them.
    """

    def __init__(self, rows: Rows, table: NDArray[np.float32], device: str) -> None:
        self._inputs = as_tensor(table, device)
        order = np.lexsort((rows.anchor_us, rows.node))
        size = int(rows.node.max(initial=-1)) + 1
        ends = np.zeros(size + 1, dtype=np.int64)
        np.cumsum(np.bincount(rows.node, minlength=size), out=ends[1:])
        self._ends = torch.from_numpy(ends).to(device)
        self._anchor = torch.from_numpy(rows.anchor_us[order]).to(device)
        self._row = torch.from_numpy(order).to(device)

    @property
    def width(self) -> int:
        """Inputs of a row; the last marks a node without one."""
        return self._inputs.shape[1]

    def inputs(self, nodes: Tensor, at: Tensor) -> Inputs:
        """Inputs of the newest row of each node with anchor <= its time.

        Args:
            nodes: Dense indices, shape [n], int64.
            at: Times, shape [n], int64.
        """
        row = self.newest(nodes, at)
        if self.width < WIDE:
            return Inputs(self._inputs.index_select(0, row))
        rows, place = torch.unique(row, return_inverse=True)
        return Inputs(self._inputs.index_select(0, rows), place)

    def newest(self, nodes: Tensor, at: Tensor) -> Tensor:
        """The newest row of each node with anchor <= its time; the table's last where none is."""
        known = len(self._ends) - 1
        inside = nodes.clamp(max=max(known - 1, 0))
        first = self._ends.index_select(0, inside)
        last = self._ends.index_select(0, inside + min(known, 1))
        place = lower_bound(self._anchor, first, last, at + 1) - 1
        there = (place >= first) & (nodes < known)
        row = self._row.index_select(0, place.clamp(min=0)) if len(self._row) else place
        return torch.where(there, row, len(self._row))


@dataclass(frozen=True)
class TreeInputs:
    """Makes batches.

    Attributes:
        sampler: Samples the trees.
        table: Inputs of nodes of the seeds' type.
    """

    sampler: TemporalSampler
    table: RowTable

    def batch(
        self, nodes: NDArray[np.int64], anchor_us: NDArray[np.int64], draw: int = 0
    ) -> TreeBatch:
        """One batch, around these nodes at these anchors; another `draw` samples other trees."""
        return self.of(self.trees(nodes, anchor_us, draw))

    def trees(self, nodes: NDArray[np.int64], anchor_us: NDArray[np.int64], draw: int = 0) -> Trees:
        """The trees of a batch alone."""
        return self.sampler.sample(torch.from_numpy(nodes), torch.from_numpy(anchor_us), draw)

    def of(self, trees: Trees) -> TreeBatch:
        """The batch of trees that are there."""
        kinds = sorted({kind for layer in trees.layers for kind in layer.node})
        return TreeBatch(trees, {kind: self._inputs(trees, kind) for kind in kinds})

    def _inputs(self, trees: Trees, kind: str) -> Inputs:
        if kind == trees.node_type:
            nodes, seed = trees.nodes(kind)
            return self.table.inputs(nodes, trees.anchor.index_select(0, seed))
        return Inputs(torch.cat(list(self._busy(trees, kind))))

    def _busy(self, trees: Trees, kind: str) -> Iterator[Tensor]:
        """log(1 + daily edges in the window) per way of stepping from this type, by layer."""
        for layer in trees.layers:
            if kind not in layer.node:
                continue
            known = [one.degree for one in layer.asked if one.step.asker == kind]
            if not known:
                at = trees.anchor.index_select(0, layer.seed[kind])
                known = self.sampler.edges.degrees(kind, layer.node[kind], at)
            yield torch.stack(known, dim=1).to(torch.float32).log1p()

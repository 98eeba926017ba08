"""The edges of one relation inside one window, one way, on disk, read in pieces by rows.

Made from a direction of a graph by dropping the times outside the window; the order inside a row
stays. Every sum over a row goes through `chunks`, so its order is the same whatever the memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graphguard.graph.array_files import read_piece
from graphguard.graph.hetero import Adjacency

Ints = NDArray[np.int64]

LONGEST = 1 << 16
"""Edges of one row that are read at once; a longer row comes in pieces of this size."""
ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows, whole, or one piece of a single long row.

    Attributes:
        first: The first row.
        indptr: Where each row begins in `neighbor`, shape [rows + 1].
        neighbor: Dense index on the other side, shape [edges], int32.
    """

    first: int
    indptr: Ints
    neighbor: NDArray[np.int32]

    @property
    def last(self) -> int:
        """End of the rows."""
        return self.first + len(self.indptr) - 1


@dataclass(frozen=True)
class WindowEdges:
    """One direction of one relation in one window.

    Attributes:
        indptr: Where each row begins, shape [num_rows + 1], int64, a mapped file.
        neighbor: Dense index on the other side, shape [num_edges], int32, a mapped file.
        num_columns: Nodes on the other side.
        num_later: Edges that were left out because they come at or after the window's end.
    """

    indptr: NDArray[np.int64]
    neighbor: NDArray[np.int32]
    num_columns: int
    num_later: int

    @property
    def num_rows(self) -> int:
        """Nodes on this side."""
        return len(self.indptr) - 1

    @property
    def num_edges(self) -> int:
        """Daily edges in the window."""
        return int(self.indptr[-1])

    def degree(self) -> Ints:
        """Daily edges of each row in the window, shape [num_rows], int64."""
        return np.diff(read_piece(self.indptr, 0, self.num_rows + 1))

    def chunks(self, max_edges: int, max_rows: int = ROWS_AT_ONCE) -> Iterator[Chunk]:
        """Read all rows in order.

        Args:
            max_edges: Most edges of a chunk; at least LONGEST are taken.
            max_rows: Most rows of a chunk.

        Yields:
            Whole rows of LONGEST edges or fewer; a longer row alone, in pieces of LONGEST.
        """
        max_edges = max(max_edges, LONGEST)
        row = 0
        while row < self.num_rows:
            indptr = read_piece(self.indptr, row, min(row + max_rows, self.num_rows) + 1)
            long = np.flatnonzero(np.diff(indptr) > LONGEST)
            if long.size and long[0] == 0:
                yield from self._pieces(row, int(indptr[0]), int(indptr[1]))
                row += 1
                continue
            end = int(long[0]) if long.size else len(indptr) - 1
            fits = int(np.searchsorted(indptr, indptr[0] + max_edges, side="right")) - 1
            end = min(end, fits)
            neighbor = read_piece(self.neighbor, int(indptr[0]), int(indptr[end]))
            yield Chunk(row, indptr[: end + 1] - indptr[0], neighbor)
            row += end

    def _pieces(self, row: int, start: int, stop: int) -> Iterator[Chunk]:
        for low in range(start, stop, LONGEST):
            neighbor = read_piece(self.neighbor, low, min(low + LONGEST, stop))
            yield Chunk(row, np.array([0, len(neighbor)], dtype=np.int64), neighbor)

    def rows(self, start: int, stop: int) -> Chunk:
        """Read rows [start, stop) at once, however long."""
        indptr = read_piece(self.indptr, start, stop + 1)
        neighbor = read_piece(self.neighbor, int(indptr[0]), int(indptr[-1]))
        return Chunk(start, indptr - indptr[0], neighbor)


def write_window(
    adjacency: Adjacency, num_columns: int, span_us: tuple[int, int], folder: Path
) -> WindowEdges:
    """Keep the edges with since <= time < until.

    Args:
        adjacency: One direction of a relation; not read whole where it is mapped.
        num_columns: Nodes on the other side.
        span_us: since and until, microseconds.
        folder: Where to write; it must exist and be empty.

    Cost: one pass over times and neighbours; memory 20 bytes for each of LONGEST edges or rows.
    """
    since, until = span_us
    ends = np.lib.format.open_memmap(
        folder / "indptr.npy", "w+", np.int64, (adjacency.num_rows + 1,)
    )
    total = later = 0
    with (folder / "neighbor.bin").open("wb") as file:
        for row in range(0, adjacency.num_rows, ROWS_AT_ONCE):
            indptr = read_piece(
                adjacency.indptr, row, min(row + ROWS_AT_ONCE, adjacency.num_rows) + 1
            )
            kept = np.zeros(len(indptr), dtype=np.int64)
            for low in range(int(indptr[0]), int(indptr[-1]), LONGEST):
                high = min(low + LONGEST, int(indptr[-1]))
                time = read_piece(adjacency.time_us, low, high)
                later += int((time >= until).sum())
                inside = (time >= since) & (time < until)
                running = np.r_[0, np.cumsum(inside)]
                # How many were kept up to where each row ends, as far as this piece goes.
                kept += running[np.clip(indptr - low, 0, high - low)]
                read_piece(adjacency.neighbor, low, high)[inside].astype("<i4").tofile(file)
            ends[row : row + len(kept)] = total + kept
            total += int(kept[-1])
    ends.flush()
    del ends
    indptr = np.load(folder / "indptr.npy", mmap_mode="r", allow_pickle=False)
    neighbor = np.zeros(0, dtype=np.int32)
    if total:
        neighbor = np.memmap(folder / "neighbor.bin", "<i4", "r", shape=(total,))
    return WindowEdges(indptr, neighbor, num_columns, later)

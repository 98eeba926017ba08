"""One direction of an edge type, from an earlier one: some days' edges left, others come after.

The rows of a graph are in order already. So what stays is copied in one pass, and what came is put
at the end of its row; nothing is sorted but what came.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from graphguard.errors import GraphInvalid
from graphguard.graph.array_files import begin_array, read_piece
from graphguard.graph.arrays import MOST_IN_A_BYTE, EdgeArrays, count_kind
from graphguard.graph.build import by_row
from graphguard.graph.hetero import Adjacency
from graphguard.tables.failpoint import failpoint
from graphguard.tables.files import begin_sync

Ints = NDArray[np.int64]
Spans = Sequence[tuple[int, int]]
"""Times that left: since <= time < until, microseconds."""

BLOCK = 1 << 16
"""Edges that are copied at once, in buffers that stay in the processor's cache."""


@dataclass(frozen=True)
class Splice:
    """What becomes of one direction.

    Attributes:
        base: The direction as it was; mapped files.
        rows: New index of each old row, shape [base.num_rows]; ascending, -1 for those that left.
        others: The same of the other side's nodes.
        most: Edges of each old row in the days that stay, before hubs were capped.
        left_us: When the edges lie that left.
        came: Edges that come, with new indices, by time; all later than any that stays.
        came_rows: Row of each of them, shape [came].
        came_others: Who is on the other side, shape [came].
        num_rows: Number of new rows.
    """

    base: Adjacency
    rows: NDArray[np.int32]
    others: NDArray[np.int32]
    most: Ints
    left_us: Spans
    came: EdgeArrays
    came_rows: NDArray[Any]
    came_others: NDArray[Any]
    num_rows: int


def write_spliced(place: Path, name: str, splice: Splice) -> None:
    """Write the four files of a direction, as `write_graph` would from all its edges.

    Args:
        place: Folder of the edge type.
        name: "csr" or "csc".
        splice: What to write.

    Raises:
        GraphInvalid: An edge that came is not later than all that stay, or more stay in a row than
            its days hold.

    Cost: one pass over the edges; 8 bytes for each that left and 40 for each that came, and 32 for
    each of the longest run of such as left one after the other.
    """
    left = _places_of_left(place, splice)
    order, came_ptr = by_row(splice.came_rows, splice.num_rows, few=True)
    kept_ptr = _kept_ptr(place, splice, left)
    indptr = kept_ptr + came_ptr
    np.save(place / f"{name}_indptr.npy", indptr)
    # What came stands behind all that stays up to its row's end, and behind what came before it.
    into = kept_ptr[splice.came_rows[order] + 1] + np.arange(len(order))
    columns = (
        ("neighbor", splice.base.neighbor, splice.came_others, np.int32),
        ("time", splice.base.time_us, splice.came.time_us, np.int64),
        ("count", splice.base.count, splice.came.count, _count_kind(splice, left)),
    )
    with ExitStack() as stack:
        writers = []
        for column, old, new, kind in columns:
            file = stack.enter_context((place / f"{name}_{column}.npy").open("wb"))
            begin_array(file, np.dtype(kind), (int(indptr[-1]),))
            renamed = splice.others if column == "neighbor" else None
            writers.append(_Column(file, old, new[order].astype(kind, copy=False), renamed))
        for piece in _pieces(int(indptr[-1]), left, into):
            for writer in writers:
                writer.write(piece)
        for writer in writers:
            writer.end()
    for column, *_ in columns:
        failpoint(f"write:graph.{name}.{column}")


def _places_of_left(place: Path, splice: Splice) -> Ints:
    """Places of the old edges that left, ascending."""
    times, found = splice.base.time_us, []
    latest = None
    for start in range(0, len(times), BLOCK):
        time = read_piece(times, start, min(start + BLOCK, len(times)))
        gone = np.zeros(len(time), dtype=np.bool_)
        for since, until in splice.left_us:
            gone |= (time >= since) & (time < until)
        if gone.any():
            found.append(np.flatnonzero(gone) + start)
            time = time[~gone]
        if time.size:
            latest = max(int(time.max()), int(time.min()) if latest is None else latest)
    came = splice.came.time_us
    if latest is not None and came.size and came.min() <= latest:
        raise _invalid(place, "an edge comes that is not later than all that stay")
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def _count_kind(splice: Splice, left: Ints) -> np.dtype[Any]:
    """How a graph made of all edges would keep their counts."""
    came, base = int(splice.came.count.max(initial=0)), splice.base.count
    if came > MOST_IN_A_BYTE or base.dtype == np.uint8:
        return count_kind(came)
    # Some old count is larger than a byte holds, or an older program wrote all in four.
    most = came
    for start in range(0, len(base), BLOCK):
        part = read_piece(base, start, min(start + BLOCK, len(base)))
        gone = left[slice(*np.searchsorted(left, (start, start + BLOCK)))] - start
        part[gone] = 0
        most = max(most, int(part.max(initial=0)))
    return count_kind(most)


def _invalid(place: Path, reason: str) -> GraphInvalid:
    where = f"{place.parent.name}/{place.name}"
    return GraphInvalid(where, reason)


def _kept_ptr(place: Path, splice: Splice, left: Ints) -> Ints:
    """Where each new row begins among the edges that stay, shape [num_rows + 1]."""
    old = read_piece(splice.base.indptr, 0, splice.base.num_rows + 1)
    row_of_left = np.searchsorted(old, left, side="right") - 1
    stay = np.diff(old) - np.bincount(row_of_left, minlength=splice.base.num_rows)
    held = splice.rows >= 0
    # None stays in a row that left, either: its days hold none.
    if (stay > splice.most).any():
        raise _invalid(place, "more edges stay than its days hold")
    kept = np.zeros(splice.num_rows + 1, dtype=np.int64)
    kept[splice.rows[held] + np.int64(1)] = stay[held]
    return np.cumsum(kept)


@dataclass(frozen=True)
class _Piece:
    """Consecutive places of the output.

    Attributes:
        old: First place and end among the old edges.
        new: First place and end among the edges that came, row by row.
        order: Place of each output edge in old and then new of the piece, one after the other.
    """

    old: tuple[int, int]
    new: tuple[int, int]
    order: Ints


def _pieces(size: int, left: Ints, into: Ints) -> Iterator[_Piece]:
    # How many stay before each that left: with it, the n-th that stays is found among the old.
    stay_before = left - np.arange(len(left))
    for start in range(0, size, BLOCK):
        stop = min(start + BLOCK, size)
        new = tuple(np.searchsorted(into, (start, stop)).tolist())
        number = (stop - start) - (new[1] - new[0])
        first = start - new[0]
        gone = tuple(
            np.searchsorted(stay_before, (first, first + number - 1), side="right").tolist()
        )
        low, high = first + gone[0], first + number + gone[1] if number else first + gone[0]
        held = np.arange(high - low)
        if gone[1] > gone[0] and number:
            held = np.delete(held, left[gone[0] : gone[1]] - low)
        order = held
        if new[1] > new[0]:
            order = np.empty(stop - start, dtype=np.int64)
            here = into[new[0] : new[1]] - start
            stays = np.ones(stop - start, dtype=np.bool_)
            stays[here] = False
            order[here] = np.arange(high - low, high - low + len(here))
            order[stays] = held
        yield _Piece((low, high), (new[0], new[1]), order)


class _Column:
    """One file of a direction, written piece by piece."""

    def __init__(
        self,
        file: IO[bytes],
        old: NDArray[Any],
        new: NDArray[Any],
        renamed: NDArray[np.int32] | None,
    ) -> None:
        self._file, self._old, self._new, self._renamed = file, old, new, renamed
        self._taken = np.empty(BLOCK, dtype=new.dtype)

    def write(self, piece: _Piece) -> None:
        """Write the next piece."""
        values = read_piece(self._old, *piece.old).astype(self._taken.dtype, copy=False)
        if self._renamed is not None:
            values = np.take(self._renamed, values, mode="clip")
        new = self._new[slice(*piece.new)]
        taken = values
        if new.size or len(piece.order) != len(values):
            both = np.concatenate([values, new]) if new.size else values
            taken = self._taken[: len(piece.order)]
            # Places lie inside; "clip" only saves looking at each again.
            np.take(both, piece.order, out=taken, mode="clip")
        self._file.write(taken.data)

    def end(self) -> None:
        """Let the disk work while other files are written."""
        begin_sync(self._file)

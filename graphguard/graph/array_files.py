"""Arrays on disk that are larger than memory: read in pieces, written column by column.

Plain reads and writes, not mapped pages: what a process holds is then what it asked for.
"""

import mmap
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

PIECE_BYTES = 1 << 20
"""Bytes of a matrix that are read at once, where a row is not larger."""


def read_piece(array: NDArray[Any], start: int, stop: int) -> NDArray[Any]:
    """Copy `array[start:stop]` of a one-dimensional array, past the map where it is a mapped file.

    Args:
        array: Shape [n].
        start: First position.
        stop: End, at most n.
    """
    if not _is_whole_file(array):
        return np.array(array[start:stop])
    return _read(array, start, max(stop - start, 0))


def read_columns(matrix: NDArray[Any], first: int, last: int) -> NDArray[np.float32]:
    """Copy columns [first, last) of a matrix, a piece at a time.

    Args:
        matrix: Shape [n, columns], floats in either order.
        first: First column.
        last: End.

    Returns:
        Shape [n, last - first], float32; what does not fit float32 becomes infinite.

    Cost: reads these columns of a file in column order, all columns of one in row order.
    """
    rows, columns = matrix.shape
    out = np.empty((rows, last - first), dtype=np.float32)
    with np.errstate(over="ignore"):
        if not _is_whole_file(matrix):
            out[:] = matrix[:, first:last]
        elif matrix.flags.f_contiguous:
            step = PIECE_BYTES // matrix.itemsize
            for column in range(first, last):
                for low in range(0, rows, step):
                    high = min(low + step, rows)
                    out[low:high, column - first] = _read(matrix, column * rows + low, high - low)
        else:
            step = max(PIECE_BYTES // (matrix.itemsize * columns), 1)
            for low in range(0, rows, step):
                high = min(low + step, rows)
                piece = _read(matrix, low * columns, (high - low) * columns)
                out[low:high] = piece.reshape(high - low, columns)[:, first:last]
    return out


def begin_array(
    file: IO[bytes], kind: np.dtype[Any], shape: tuple[int, ...], *, by_column: bool = False
) -> None:
    """Write the head of a .npy file; the values follow, as `np.save` would write them.

    Args:
        file: Open for writing, at its beginning.
        kind: Type of the values.
        shape: Shape of the array.
        by_column: Whether the first index runs fastest.
    """
    header = {"descr": kind.str, "fortran_order": by_column, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _is_whole_file(array: NDArray[Any]) -> bool:
    """Whether an array is a mapped file and no view of a part of it."""
    return isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap)


def _read(array: NDArray[Any], start: int, count: int) -> NDArray[Any]:
    """`count` numbers of a mapped file from the `start`-th on, in the order of the file."""
    place = array.offset + start * array.itemsize  # type: ignore[attr-defined]
    return np.fromfile(array.filename, array.dtype, count, offset=place)  # type: ignore[attr-defined]


class ColumnWriter:
    """A float32 matrix in a .npy file in column order, written a column at a time.

    Args:
        path: The file.
        rows: Number of rows.
        columns: Number of columns; all must be written.
    """

    def __init__(self, path: Path, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        self._file = path.open("wb")
        begin_array(self._file, np.dtype("<f4"), (rows, columns), by_column=True)
        self._start = self._file.tell()
        self._file.truncate(self._start + 4 * rows * columns)

    def write(self, column: int, values: NDArray[Any]) -> None:
        """Write one column, shape [rows].

        Raises:
            ValueError: It has another length, or lies outside the matrix.
        """
        if values.shape != (self.rows,) or not 0 <= column < self.columns:
            message = (
                f"column {column} of shape {list(values.shape)} does not fit a matrix of shape "
                f"[{self.rows}, {self.columns}]"
            )
            raise ValueError(message)
        self._file.seek(self._start + 4 * self.rows * column)
        with np.errstate(over="ignore"):
            values.astype("<f4").tofile(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

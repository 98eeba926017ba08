"""A table from 64-bit marks to numbers: what is told by its hash, looked up in one pass.

A join makes a table of all that is held each time it is asked, in Polars' own threads, for which
all other work then waits. This table stays, grows, and is read by NumPy in blocks that stay in the
caches.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Marks = NDArray[np.uint64]
BLOCK = 1 << 15
"""Marks looked up together: what is made on the way fits the caches."""
FEWEST_BITS = 10


class MarkTable:
    """Rows by their marks, in open addressing; each row has a number that it stands for.

    Args:
        marks: Of the rows to begin with; of those with equal marks the first is found.
        values: What each stands for.

    >>> table = MarkTable(np.array([7, 9], dtype=np.uint64), np.array([70, 90]))
    >>> table.rows(np.array([8, 9, 8], dtype=np.uint64)).tolist(), len(table)
    ([2, 1, 2], 3)
    >>> table.name(2, np.array([80]))
    >>> table.values(np.array([2, 1, 2])).tolist()
    [80, 90, 80]
    """

    def __init__(self, marks: Marks, values: NDArray[np.int64]) -> None:
        self._number = len(marks)
        self._marks, self._values = marks.copy(), values.copy()
        self._spread()

    def __len__(self) -> int:
        return self._number

    def name(self, start: int, values: NDArray[np.int64]) -> None:
        """Say what the rows from `start` on stand for."""
        self._values[start : start + len(values)] = values

    def values(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        """What some rows stand for."""
        return self._values.take(rows)

    def rows(self, marks: Marks) -> NDArray[np.int32]:
        """Row of each mark; one that is not held gets one of the next rows.

        Cost: O(marks), about 50 nanoseconds one that is held.
        """
        found = np.empty(len(marks), dtype=np.int32)
        for start in range(0, len(marks), BLOCK):
            found[start : start + BLOCK] = self._block(marks[start : start + BLOCK])
        return found

    def _block(self, marks: Marks) -> NDArray[np.int32]:
        if (self._number + len(marks)) * 2 > len(self._slots):
            self._spread(len(marks))
        at = self._at(marks)
        found = self._slots.take(at)
        left = np.flatnonzero(self._differ(found, marks))
        here, mine, row = at.take(left), marks.take(left), found.take(left)
        while left.size:
            free = np.flatnonzero(row < 0)
            if free.size:
                row[free] = self._claimed(here.take(free), mine.take(free))
            found[left] = row
            on = np.flatnonzero(self._differ(row, mine))
            # Another came first: its neighbour may be free, or hold the mark.
            left, mine = left.take(on), mine.take(on)
            here = (here.take(on) + 1) & (len(self._slots) - 1)
            row = self._slots.take(here)
        return found

    def _claimed(self, here: NDArray[np.int64], marks: Marks) -> NDArray[np.int32]:
        """Give each free place, and a row, to one of those that ask for it; the row of each."""
        asked = np.arange(len(here), dtype=np.int32)
        self._slots[here] = asked
        first = np.flatnonzero(self._slots.take(here) == asked)
        self._slots[here.take(first)] = np.arange(
            self._number, self._number + len(first), dtype=np.int32
        )
        self._append(marks.take(first))
        return self._slots.take(here)

    def _append(self, marks: Marks) -> None:
        end = self._number + len(marks)
        if end > len(self._marks):
            size = max(end, len(self._marks) * 2)
            # Only rows that were named have a value.
            self._marks = np.resize(self._marks, size)
            self._values = np.resize(self._values, size)
        self._marks[self._number : end] = marks
        self._number = end

    def _spread(self, more: int = 0) -> None:
        """Make the table at most a half full with `more` rows, and put all rows into it anew."""
        self._bits = max(FEWEST_BITS, (self._number + more).bit_length() + 1)
        self._slots = np.full(1 << self._bits, -1, dtype=np.int32)
        for start in range(0, self._number, BLOCK):
            marks = self._marks[: self._number][start : start + BLOCK]
            at, left = self._at(marks), np.arange(len(marks))
            while left.size:
                here, rows = at[left], (left + start).astype(np.int32)
                free = np.flatnonzero(self._slots[here] < 0)
                # Written backwards: of several that ask for one place the first gets it.
                self._slots[here[free[::-1]]] = rows[free[::-1]]
                held = self._slots[here]
                on = self._differ(held, marks[left])
                left = left[on]
                at[left] = (here[on] + 1) & (len(self._slots) - 1)

    def _at(self, marks: Marks) -> NDArray[np.int64]:
        """Where to look first."""
        at: NDArray[np.int64] = (marks >> np.uint64(64 - self._bits)).view(np.int64)
        return at

    def _differ(self, rows: NDArray[np.int32], marks: Marks) -> NDArray[Any]:
        """Whether the row is none, or has another mark."""
        if not len(self._marks):
            return np.ones(len(rows), dtype=np.bool_)
        # A row that is none is taken for the first here, and told below.
        differ: NDArray[Any] = self._marks.take(rows, mode="clip") != marks
        differ |= rows < 0
        return differ

"""Time and count of each edge in one integer, so that a sort moves both at once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphguard.graph.arrays import BLOCK, count_kind

BITS = 63
"""Of a positive integer."""


@dataclass(frozen=True)
class Together:
    """Times and counts of edges as one number each.

    Attributes:
        values: The numbers, shape [edges].
        since_us: What each time is counted from.
        bits: How many of a number's last bits are the count.
        kind: How counts are kept.

    >>> both = Together.of(np.array([70, 90]), np.array([2, 5], dtype=np.int32))
    >>> time_us, count = both.apart(both.values[::-1].copy())
    >>> time_us.tolist(), count.tolist()
    ([90, 70], [5, 2])
    """

    values: NDArray[np.int64]
    since_us: int
    bits: int
    kind: np.dtype[Any]

    @classmethod
    def of(cls, time_us: NDArray[np.int64], count: NDArray[Any]) -> "Together | None":
        """Put the numbers in the place of the times, which ascend.

        None, and all left as it was, where they would be too large. Seventy days leave a million
        events of a pair and day room.
        """
        if not time_us.size:
            return None
        since_us, most = int(time_us[0]), int(count.max())
        bits = most.bit_length()
        if (int(time_us[-1]) - since_us).bit_length() + bits > BITS or count.min() < 0:
            return None
        for start in range(0, len(time_us), BLOCK):
            part = time_us[start : start + BLOCK]
            part -= since_us
            part <<= bits
            part |= count[start : start + BLOCK]
        return cls(time_us, since_us, bits, count_kind(most))

    def apart(self, values: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Times, in the place of some of these numbers, and counts."""
        count = np.empty(len(values), dtype=self.kind)
        ones = (1 << self.bits) - 1
        for start in range(0, len(values), BLOCK):
            part = values[start : start + BLOCK]
            count[start : start + BLOCK] = part & ones
            part >>= self.bits
            part += self.since_us
        return values, count

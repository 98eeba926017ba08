"""Which pairs met twice: meetings are parted by a hash of their pair, and each part is sorted.

Where there are too many to be held at once, most of those that met once are first told by marks:
two bits of memory say of a mark whether it was seen, and whether it was seen again.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphguard.graph.order import ODD, ascending, repeated
from graphguard.graph.ranges import distinct
from graphguard.rings.meetings import Meetings

Ints = NDArray[np.int64]
Places = NDArray[Any]
"""Of 32 bits while these are enough."""
Words = NDArray[np.uint64]
HELD_AT_MOST = 1 << 27
"""Meetings that are held, with twelve bytes each."""
SORTED_AT_ONCE = 1 << 18
"""What is sorted at once lies in a processor's cache."""
MOST_PARTS = 8
"""Meetings are in 2**8 parts at most."""
MOST_BITS = 32
"""Marks are at most 2**32, of two bits each."""
MARKED_AT_ONCE = 1 << 21
BLOCK = 1 << 23
SHIFT, WITHIN = np.uint32(6), np.uint32(63)
"""A word of memory has 64 bits."""


def met_twice(
    meetings: Meetings, others: Callable[[], Iterable[Meetings]], number: int
) -> tuple[Ints, Ints]:
    """Pairs with two meetings or more among all.

    Args:
        meetings: Those of which places are told.
        others: Makes more meetings, of other acts, a block at a time; may be asked twice.
        number: How many these may be.

    Returns:
        Places of the meetings of such pairs, ascending; and `Meetings.keys` of such pairs.

    Cost: O(meetings), sorted once by parts; memory twelve bytes for each of up to `HELD_AT_MOST`;
        of more, 2**30 bytes for their marks and twelve for each whose mark is shared.
    """
    total = len(meetings) + number
    marks = _marks(meetings, others, total) if total > HELD_AT_MOST else None
    parts = min((total // SORTED_AT_ONCE).bit_length(), MOST_PARTS)
    mine, theirs = _Parts(parts, len(meetings)), _Parts(parts)
    for start, keys in _keys(meetings):
        mine.add(keys, marks, start)
    for one in others():
        theirs.add(one.keys(), marks)
    places, pairs = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for (own, at), (other, _) in zip(mine.each(), theirs.each(), strict=True):
        keys = np.concatenate([own, other])
        again = repeated(keys)
        places.append(at[again[: len(at)]].astype(np.int64))
        pairs.append(distinct(keys[again]))
    return ascending(np.concatenate(places)), ascending(np.concatenate(pairs))


class _Marks:
    """Which marks were seen, and which twice."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._once = np.zeros(2 ** (bits - 6), dtype=np.uint64)
        self._twice = np.zeros_like(self._once)

    def add(self, marks: NDArray[np.uint32]) -> None:
        """See marks."""
        marks = ascending(marks)
        new = np.ones(len(marks), dtype=np.bool_)
        np.not_equal(marks[1:], marks[:-1], out=new[1:])
        word, seen = _words(marks[~new])
        self._twice[word] |= seen
        word, seen = _words(marks[new])
        before = self._once[word]
        self._once[word] = before | seen
        self._twice[word] |= before & seen

    def close(self) -> None:
        """Forget what was seen once: no more is added."""
        self._once = self._once[:0]

    def of(self, keys: Ints) -> NDArray[np.uint32]:
        """So many bits of each key's hash."""
        return _hashed(keys, self._bits).astype(np.uint32)

    def shared(self, keys: Ints) -> NDArray[np.bool_]:
        """Keys whose marks were seen twice."""
        marks = self.of(keys)
        held = self._twice[marks >> SHIFT] >> (marks & WITHIN)
        seen: NDArray[np.bool_] = (held & np.uint64(1)).astype(np.bool_)
        return seen


def _marks(meetings: Meetings, others: Callable[[], Iterable[Meetings]], total: int) -> _Marks:
    made = _Marks(min(max((4 * total).bit_length(), 8), MOST_BITS))
    seen: list[NDArray[np.uint32]] = []
    number = 0
    for keys in _all_keys(meetings, others):
        seen.append(made.of(keys))
        number += len(keys)
        # Of many at once the neighbours lie near each other.
        if number >= MARKED_AT_ONCE:
            made.add(np.concatenate(seen))
            seen, number = [], 0
    if seen:
        made.add(np.concatenate(seen))
    made.close()
    return made


def _words(marks: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], Words]:
    """Words of memory that ascending marks lie in, each once, and the bits they set there."""
    word = marks >> SHIFT
    starts = np.flatnonzero(np.diff(word, prepend=word[:1] ^ np.uint32(1)))
    bits = np.uint64(1) << (marks & WITHIN).astype(np.uint64)
    return word[starts], np.bitwise_or.reduceat(bits, starts) if len(starts) else bits


class _Blocks:
    """Many small arrays in large blocks, which go back whole when they are no longer needed."""

    def __init__(self, kind: type[np.integer[Any]]) -> None:
        self._kind = kind
        self._block: NDArray[Any] = np.zeros(0, dtype=kind)
        self._filled = 0

    def copied(self, values: NDArray[Any]) -> NDArray[Any]:
        """The values, in a block."""
        end = self._filled + len(values)
        if end > len(self._block):
            self._block = np.empty(max(BLOCK, len(values)), dtype=self._kind)
            self._filled, end = 0, len(values)
        held = self._block[self._filled : end]
        held[:] = values
        self._filled = end
        return held


class _Parts:
    """Keys by the first bits of their hash, and places if these are asked for."""

    def __init__(self, bits: int, size: int = 0) -> None:
        self._bits = bits
        kind = np.uint32 if size < 2**32 else np.int64
        self._key_blocks, self._place_blocks = _Blocks(np.int64), _Blocks(kind)
        self._keys: list[Ints] = []
        self._places: list[Places] = []
        self._ends: list[Ints] = []

    def add(self, keys: Ints, marks: _Marks | None, start: int | None = None) -> None:
        """Take those with shared marks, or all; `start` is the place of the first."""
        chosen = None if marks is None else np.flatnonzero(marks.shared(keys))
        keys = keys if chosen is None else keys[chosen]
        part = _hashed(keys, self._bits).astype(np.uint8)
        order = np.argsort(part, kind="stable")
        self._keys.append(self._key_blocks.copied(keys[order]))
        self._ends.append(np.cumsum(np.bincount(part, minlength=2**self._bits)))
        if start is not None:
            places = start + (order if chosen is None else chosen[order])
            self._places.append(self._place_blocks.copied(places))

    def each(self) -> Iterator[tuple[Ints, Places]]:
        """Keys and places of each part."""
        none = np.zeros(0, dtype=np.int64)
        for part in range(2**self._bits):
            inside = [slice(ends[part - 1] if part else 0, ends[part]) for ends in self._ends]
            keys, places = (
                [one[own] for one, own in zip(held, inside, strict=False)]
                for held in (self._keys, self._places)
            )
            yield np.concatenate([none, *keys]), np.concatenate(places or [none])


def _hashed(keys: Ints, bits: int) -> Words:
    """The upper bits of each key's hash."""
    if not bits:
        return np.zeros(len(keys), dtype=np.uint64)
    return (keys * ODD).view(np.uint64) >> np.uint64(64 - bits)


def _keys(meetings: Meetings) -> Iterator[tuple[int, Ints]]:
    """Keys a block at a time, and the place of the first of these."""
    for part in meetings.blocks():
        yield part.start, meetings.keys(part)


def _all_keys(meetings: Meetings, others: Callable[[], Iterable[Meetings]]) -> Iterator[Ints]:
    for _, keys in _keys(meetings):
        yield keys
    for one in others():
        yield one.keys()

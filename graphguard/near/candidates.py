"""Near pairs: things whose keys agree in a band, compared, without all pairs of a crowded key.

Reads keys, writes nothing. In order of rank every member of a key meets the first one and the next
few: all pairs of a small group, a bounded number a member of a large one.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Marks = NDArray[np.uint64]
Alike = Callable[[Ints], NDArray[np.bool_]]
"""Whether pairs, shape [2, num_pairs], are near enough."""
REACH = 64
"""Members of a key that each is compared with beside the first."""
PAIRS_AT_ONCE = 200_000


def near_pairs(
    bands: Iterable[Marks],
    rank: Ints,
    alike: Alike,
    reach: int = REACH,
    likely: Alike | None = None,
) -> Ints:
    """The pairs that agree in a band and are alike.

    Args:
        bands: Keys of all things, shape [num_things], one array a band.
        rank: Order of the things, a permutation: who represents a crowded key.
        alike: Compares pairs exactly; each is asked about once.
        reach: Members of a key that each is compared with beside the first.
        likely: If given, only pairs of which this is true are compared; it should cost little,
            since it is asked about a pair in each band where both agree.

    Returns:
        Shape [2, num_pairs]: lower place first, sorted.

    Cost: at most (reach + 1) candidates a thing and band; memory eight bytes a candidate of one
        band and a pair compared.
    """
    seen = np.zeros(0, dtype=np.int64)
    found = [seen]
    in_order = np.argsort(rank)
    for keys in bands:
        together = _together(keys[in_order], in_order, reach)
        new = _missing(together if likely is None else _chosen(together, likely), seen)
        found.append(_chosen(new, alike))
        seen = np.sort(np.concatenate([seen, new]))
    return _ends(np.sort(np.concatenate(found)))


def _chosen(numbers: Ints, asked: Alike) -> Ints:
    """The pairs of which something is true, asked in parts."""
    parts = [np.zeros(0, dtype=np.int64)]
    for start in range(0, len(numbers), PAIRS_AT_ONCE):
        part = numbers[start : start + PAIRS_AT_ONCE]
        parts.append(part[asked(_ends(part))])
    return np.concatenate(parts)


def _together(keys: Marks, thing: Ints, reach: int) -> Ints:
    """Candidates of one band as one number each, ascending; things come in order of rank."""
    order = np.argsort(keys, kind="stable")
    key, place = keys[order], thing[order]
    starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]]) if len(key) else order
    sizes = np.diff(np.append(starts, len(key)))
    crowded = np.repeat(sizes > 1, sizes)
    first = np.repeat(place[starts], sizes)[crowded]
    parts = [np.zeros(0, dtype=np.int64)]
    for one, other in _meetings(key[crowded], place[crowded], first, reach):
        low, high = np.minimum(one, other), np.maximum(one, other)
        parts.append(low << 32 | high)
    return _distinct(np.concatenate(parts))


def _meetings(key: Marks, place: Ints, first: Ints, reach: int) -> Iterator[tuple[Ints, Ints]]:
    apart = place != first
    yield first[apart], place[apart]
    for step in range(1, reach + 1):
        same = np.flatnonzero(key[step:] == key[:-step])
        if not len(same):
            return
        yield place[same], place[same + step]


def _distinct(numbers: Ints) -> Ints:
    """Distinct numbers, none negative, ascending."""
    # Numbers of two halves defeat the hashing of `numpy.unique`: a hundred times slower.
    ordered = np.sort(numbers)
    return ordered[np.diff(ordered, prepend=-1) > 0]


def _missing(numbers: Ints, seen: Ints) -> Ints:
    """The numbers that are not among those seen; both ascending."""
    if not len(seen):
        return numbers
    place = np.searchsorted(seen, numbers)
    new: Ints = numbers[seen[np.minimum(place, len(seen) - 1)] != numbers]
    return new


def _ends(numbers: Ints) -> Ints:
    return np.stack([numbers >> 32, numbers & (2**32 - 1)])

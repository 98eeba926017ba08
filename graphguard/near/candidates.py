"""Near pairs: things whose keys agree in a band, compared, without all pairs of a crowded key.

Reads keys, writes nothing. In order of rank every member of a key meets the first one and the next
few: all pairs of a small group, a bounded number a member of a large one.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Marks = NDArray[np.uint64]
Alike = Callable[[Ints], NDArray[np.bool_]]
"""Whether pairs, shape [2, num_pairs], are near enough."""
REACH = 16
"""Members of a key that each is compared with beside the first."""
PAIRS_AT_ONCE = 200_000


def near_pairs(bands: Iterable[Marks], rank: Ints, alike: Alike, reach: int = REACH) -> Ints:
    """The pairs that agree in a band and are alike.

    Args:
        bands: Keys of all things, shape [num_things], one array a band.
        rank: Order of the things, a permutation: who represents a crowded key.
        alike: Compares candidates exactly; each pair is asked about once.
        reach: Members of a key that each is compared with beside the first.

    Returns:
        Shape [2, num_pairs]: lower place first, sorted.

    Cost: at most (reach + 1) candidates a thing and band; memory eight bytes a candidate.
    """
    seen = np.zeros(0, dtype=np.int64)
    found = [seen]
    for keys in bands:
        new = _missing(_together(keys, rank, reach), seen)
        found += _alike(new, alike)
        seen = np.sort(np.concatenate([seen, new]))
    return _ends(np.sort(np.concatenate(found)))


def cheap_pairs(bands: Iterable[Marks], rank: Ints, alike: Alike, reach: int) -> Ints:
    """As `near_pairs` where comparing costs less than remembering: a pair is asked about often.

    Cost: memory eight bytes a candidate of one band, and a pair found.
    """
    found = np.zeros(0, dtype=np.int64)
    for keys in bands:
        found = _distinct(np.concatenate([found, *_alike(_together(keys, rank, reach), alike)]))
    return _ends(found)


def _alike(numbers: Ints, alike: Alike) -> list[Ints]:
    parts = (
        numbers[start : start + PAIRS_AT_ONCE] for start in range(0, len(numbers), PAIRS_AT_ONCE)
    )
    return [part[alike(_ends(part))] for part in parts]


def _together(keys: Marks, rank: Ints, reach: int) -> Ints:
    """Candidates of one band as one number each, ascending."""
    crowd = (
        pl.DataFrame({"key": keys, "rank": rank, "place": np.arange(len(keys))})
        .filter(pl.len().over("key") > 1)
        .sort("key", "rank")
        .with_columns(first=pl.col("place").first().over("key"))
    )
    parts = [np.zeros(0, dtype=np.int64)]
    for one, other in _meetings(crowd, reach):
        low, high = np.minimum(one, other), np.maximum(one, other)
        parts.append(low << 32 | high)
    return _distinct(np.concatenate(parts))


def _meetings(crowd: pl.DataFrame, reach: int) -> Iterator[tuple[Ints, Ints]]:
    key, place, first = (crowd.get_column(name).to_numpy() for name in ("key", "place", "first"))
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

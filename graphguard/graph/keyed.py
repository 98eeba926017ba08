"""Hashes of keys: every random choice about a node follows its key and the seed, no index."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def key_hash(keys: Iterable[str]) -> NDArray[np.uint64]:
    """Hash keys to 64 bits, the same on every machine and in every version (BLAKE2b).

    Args:
        keys: Entity keys, `n` of them.

    Returns:
        Shape [n], uint64. One second a million keys: keep it and use `seeded` for each use.

    >>> key_hash(["a"]).tolist()
    [3405396810240292928]
    """
    digests = b"".join(blake2b(key.encode(), digest_size=8).digest() for key in keys)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


class KeyHashes:
    """`key_hash` of the keys that are asked for: few where only a sample needs them.

    >>> KeyHashes(["a", "b", "a"])[np.array([2, 0])].tolist()
    [3405396810240292928, 3405396810240292928]
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, places: NDArray[Any]) -> NDArray[np.uint64]:
        """Hashes at these places, shape as theirs."""
        asked = np.zeros(len(self), dtype=np.bool_)
        asked[places] = True
        back = np.cumsum(asked) - 1
        hashes = key_hash(self._keys[place] for place in np.flatnonzero(asked).tolist())
        found: NDArray[np.uint64] = hashes[back[places]]
        return found


Hashes = NDArray[np.uint64] | KeyHashes
"""Hashes by place, at hand or made when they are asked for."""


def seeded(hashed: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Return another, unrelated hash for each seed (splitmix64), shape and type as given.

    >>> bool((seeded(np.arange(3, dtype=np.uint64), 1) == np.arange(3)).any())
    False
    """
    with np.errstate(over="ignore"):
        mixed = hashed + (np.uint64(seed) + np.uint64(1)) * _GOLDEN
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
    return mixed ^ (mixed >> np.uint64(31))


def mix(*parts: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix hashes of one shape to one; the order of the parts matters."""
    mixed = np.zeros_like(parts[0])
    for number, part in enumerate(parts):
        with np.errstate(over="ignore"):
            mixed = seeded(mixed + part, number)
    return mixed

"""Nearly equal pictures: perceptual hashes at most so many bits apart.

Reads hashes as hexadecimal digits, writes nothing. Pictures that were cropped, scaled or compressed
anew have hashes that differ in few bits (PDQ: 256 bits, 31 apart). Two hashes so near agree, in one
of m parts, in all but few bits; which pairs do is a group-by per part and choice of these bits.
Method: Norouzi, Punjani, Fleet 2012, "Fast Search in Hamming Space with Multi-Index Hashing".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.graph.keyed import key_hash, mix
from graphguard.near.candidates import near_pairs
from graphguard.near.groups import centres

Ints = NDArray[np.int64]
Marks = NDArray[np.uint64]
Bits = NDArray[np.uint8]

CROWD = 2_000
"""Hashes of one key up to which all pairs are compared; beyond, each with so many others."""
MOST_BANDS = 5_000
GROUPING = 2.0
"""What grouping a hash by a key costs beside comparing a pair, as measured."""


@dataclass(frozen=True)
class Parts:
    """How hashes are cut: `number` parts, of which one agrees in all but `off` bits."""

    number: int
    off: int


def picture_groups(hashes: pl.Series, most_bits: int) -> Ints:
    """The group of each hash, as the place of its centre among the distinct hashes in order.

    Args:
        hashes: Hexadecimal digits; what is none, or of another length than most, stands alone.
        most_bits: Bits in which two hashes of a group may differ from its centre.

    Returns:
        Shape [num_hashes], int64.

    Raises:
        ValueError: No value is a hash, or so many bits are a quarter of it or more.
    """
    frame = hashes.str.to_lowercase().alias("hash").to_frame()
    distinct = frame.unique().sort("hash")
    place = frame.join(
        distinct.with_row_index("place"), on="hash", how="left", maintain_order="left"
    )
    values = distinct.get_column("hash")
    known, bits = hash_bits(values)
    centre = np.arange(len(values))
    if 4 * most_bits >= bits.shape[1]:
        message = f"{most_bits} bits of {bits.shape[1]} make strangers alike; ask for fewer"
        raise ValueError(message)
    rank = np.argsort(np.argsort(key_hash(values.gather(known).to_list()), kind="stable"))
    near = near_hashes(bits, rank, most_bits)
    centre[known] = known[centres(rank, near)]
    found: Ints = centre[place.get_column("place").to_numpy()]
    return found


def hash_bits(values: pl.Series) -> tuple[Ints, Bits]:
    """The bits of hashes in hexadecimal digits.

    Args:
        values: Strings.

    Returns:
        Places of the values that are hashes of the commonest length, ascending, and their bits,
        shape [num_hashes, num_bits].

    Raises:
        ValueError: No value is a hash.
    """
    size = values.str.len_bytes()
    whole = values.str.contains(r"^(?:[0-9a-fA-F]{2})+$")
    lengths, counts = np.unique(size.filter(whole).to_numpy(), return_counts=True)
    if not len(lengths):
        message = "no value is a hash"
        raise ValueError(message)
    commonest = int(lengths[counts.argmax()])
    known = np.flatnonzero((whole & (size == commonest)).to_numpy())
    raw = bytes.fromhex("".join(values.gather(known).to_list()))
    packed = np.frombuffer(raw, dtype=np.uint8).reshape(len(known), commonest // 2)
    return known, np.unpackbits(packed, axis=1)


def near_hashes(bits: Bits, rank: Ints, most_bits: int) -> Ints:
    """All pairs of hashes at most so many bits apart, where no key is a crowd's.

    Args:
        bits: Distinct hashes, shape [num_hashes, num_bits].
        rank: Their order, a permutation.
        most_bits: Largest Hamming distance, inclusive.

    Returns:
        Shape [2, num_pairs]: lower place first, sorted.

    Cost: hashes times the keys of `cheapest_parts`, and comparing what shares one.
    """
    words = _as_words(bits)

    def alike(pairs: Ints) -> NDArray[np.bool_]:
        apart = np.bitwise_count(words[pairs[0]] ^ words[pairs[1]]).sum(axis=1, dtype=np.int64)
        near: NDArray[np.bool_] = apart <= most_bits
        return near

    cut = cheapest_parts(len(bits), bits.shape[1], most_bits)
    return near_pairs(_keys(bits, cut), rank, alike, CROWD, likely=alike)


def cheapest_parts(num_hashes: int, num_bits: int, most_bits: int) -> Parts:
    """The cut that finds all near pairs with least work, for hashes that are like random ones.

    Of m parts one differs in at most `most_bits // m` bits. Fewer parts are wider, so fewer hashes
    share a key; but there are more choices of the bits in which they may differ.

    >>> cheapest_parts(1_000_000, 256, 31)
    Parts(number=16, off=1)
    """
    best, least = Parts(most_bits + 1, 0), float("inf")
    for number in range(1, min(most_bits + 1, num_bits) + 1):
        width, off = num_bits // number, most_bits // number
        if off >= width:
            continue
        bands = number * comb(-(-num_bits // number), off)
        others = num_hashes / 2 ** min(width - off, 60)
        cost = bands * num_hashes * (GROUPING + others / 2)
        if bands <= MOST_BANDS and cost < least:
            best, least = Parts(number, off), cost
    return best


def _keys(bits: Bits, cut: Parts) -> Iterator[Marks]:
    """A key for each part and choice of bits that are left out of it."""
    edges = np.linspace(0, bits.shape[1], cut.number + 1).astype(np.int64)
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        for left_out in combinations(range(low, high), cut.off):
            kept = bits[:, [at for at in range(low, high) if at not in left_out]]
            yield mix(*_as_words(kept).T)


def _as_words(bits: Bits) -> Marks:
    """Bits in words of 64, padded with zeros, shape [num_hashes, num_words]."""
    packed = np.packbits(bits, axis=1)
    padded = np.zeros((len(bits), -(-packed.shape[1] // 8) * 8), dtype=np.uint8)
    padded[:, : packed.shape[1]] = packed
    words: Marks = padded.view("<u8").astype(np.uint64)
    return words

"""Near-duplicate texts: which texts are one text with words changed.

Reads strings, writes nothing. Texts that are equal once plain are one; of the others MinHash bands
nominate pairs, and the Jaccard similarity of their shingles decides.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.graph.keyed import key_hash, mix
from graphguard.near.candidates import near_pairs
from graphguard.near.groups import centres
from graphguard.near.minhash import banding, signatures
from graphguard.near.overlap import Overlaps
from graphguard.near.shingles import plain_texts, shingles

Ints = NDArray[np.int64]
Marks = NDArray[np.uint64]
KEPT = 0.993
"""Share of the pairs at the similarity that their sketches do not rule out."""


@dataclass(frozen=True)
class TextRules:
    """When two texts are near.

    Attributes:
        similarity: Jaccard similarity of their shingles from which on they are, above 0, below 1.
        width: Characters of a shingle.
        recall: Chance with which a pair exactly at that similarity is compared.
        permutations: Orders of a signature at most.
        seed: Of the orders.
    """

    similarity: float = 0.5
    width: int = 4
    recall: float = 0.95
    permutations: int = 128
    seed: int = 0


@dataclass(frozen=True)
class PlainTexts:
    """Distinct texts.

    Attributes:
        plain: The distinct texts as they are compared, shape [num_distinct].
        place: Of each text given, its place there, shape [num_texts].
        name: Hash of each distinct text, the same everywhere and always, shape [num_distinct].
        rank: Their order by name, shape [num_distinct]: it says nothing of the texts, and does not
            depend on which others there are.
    """

    plain: pl.Series
    place: Ints
    name: Marks
    rank: Ints

    @classmethod
    def of(cls, texts: pl.Series) -> "PlainTexts":
        """Put together the texts that are equal once plain; `texts` has no nulls."""
        frame = plain_texts(texts).alias("plain").to_frame()
        distinct = frame.unique().sort("plain")
        numbered = distinct.with_row_index("place")
        place = frame.join(numbered, on="plain", how="left", maintain_order="left")
        plain = distinct.get_column("plain")
        name = key_hash(plain.to_list())
        rank = np.empty(len(name), dtype=np.int64)
        rank[np.argsort(name, kind="stable")] = np.arange(len(name))
        return cls(plain, place.get_column("place").cast(pl.Int64).to_numpy(), name, rank)


def text_groups(texts: pl.Series, rules: TextRules) -> Marks:
    """The group of each text, named by the hash of its centre's text.

    Args:
        texts: Strings without nulls.
        rules: When two are near.

    Returns:
        Shape [num_texts]. Every text is near the centre of its group, or equal to it once plain.
        Names do not depend on the order of the texts, nor on how often each is there.

    Raises:
        ValueError: `rules` cannot be met.

    Cost: O(characters + texts x permutations); memory about 16 bytes a shingle and nine
        an order of a distinct text, and eight for each pair compared.
    """
    known = PlainTexts.of(texts)
    pairs = near_texts(known.plain, known.rank, rules)
    return known.name[centres(known.rank, pairs)][known.place]


def near_texts(plain: pl.Series, rank: Ints, rules: TextRules, scope: Marks | None = None) -> Ints:
    """Pairs of texts that are near.

    Args:
        plain: Texts as they are compared.
        rank: Their order, a permutation; it decides what is compared in crowded bands.
        rules: When two are near.
        scope: If given, only texts of one scope are compared; shape [num_texts].

    Returns:
        Shape [2, num_pairs]: lower place first, sorted.
    """
    near = rules.similarity
    cut = banding(near, min(rules.recall / KEPT, 1 - 1e-6), rules.permutations)
    sets = shingles(plain, rules.width)
    signed = signatures(sets, cut, rules.seed)
    held = Overlaps.of(sets)
    return near_pairs(
        signed.keys if scope is None else (mix(keys, scope) for keys in signed.keys),
        rank,
        lambda pairs: held.near(pairs, near),
        likely=lambda pairs: signed.likely(pairs, near),
    )

"""Embedding neighbours as evidence: mutual, near for where they are, and tested against chance."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray


def mutual_pairs(ids: NDArray[np.int64], similarity: NDArray[np.float32]) -> pl.DataFrame:
    """Pairs that are each other's neighbours, nearer than is usual around both.

    A pair counts if its similarity is at least the median similarity of each one's neighbours: in
    a crowd of like users everybody is near everybody, and only the nearest half says anything.

    Args:
        ids: Neighbours of each user, shape [n, k]; -1 where there are fewer.
        similarity: Their similarities, shape [n, k].

    Returns:
        `user_a` < `user_b`, `similarity`, sorted.
    """
    n, k = ids.shape
    known = ids >= 0
    usual = np.array(
        [
            np.median(row[here]) if here.any() else np.inf
            for row, here in zip(similarity, known, strict=True)
        ]
    )
    one, other = np.repeat(np.arange(n), k)[known.ravel()], ids[known]
    value = similarity[known].astype(np.float64)
    near = (value >= usual[one]) & (value >= usual[other])
    frame = pl.DataFrame(
        {
            "user_a": np.minimum(one, other)[near],
            "user_b": np.maximum(one, other)[near],
            "similarity": value[near],
        }
    )
    both = frame.group_by("user_a", "user_b").agg(pl.col("similarity").min(), pl.len())
    return both.filter(pl.col("len") == 2).drop("len").sort("user_a", "user_b")


def similarity_p(
    pairs: pl.DataFrame, vectors: NDArray[Any], seed: int, draws: int = 200_000
) -> NDArray[np.float64]:
    """log10 of the share of random pairs of users that are as similar.

    Args:
        pairs: `similarity` of each pair.
        vectors: Vectors of length 1, shape [n, dim].
        seed: Seed of the draw.
        draws: Random pairs; no p is below one in this number.

    Returns:
        Shape [pairs], at most 0.
    """
    if not pairs.height or len(vectors) < 3:
        return np.zeros(pairs.height)
    rng = np.random.Generator(np.random.Philox(seed))
    one, other = rng.integers(0, len(vectors), (2, draws))
    kept = one != other
    chance = np.sort(np.einsum("ij,ij->i", vectors[one[kept]], vectors[other[kept]]))
    found = pairs.get_column("similarity").to_numpy()
    above = len(chance) - np.searchsorted(chance, found - 1e-6, side="left")
    result: NDArray[np.float64] = np.log10((above + 1) / (len(chance) + 1))
    return result

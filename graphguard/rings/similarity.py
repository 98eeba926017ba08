"""Embedding neighbours as evidence: mutual, near for where they are, and tested against chance."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

STRATA, LEAST_IN_STRATUM = 8, 50
"""Most groups of users by activity, and the fewest users of one (but for a last, odd one)."""


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


def strata(acts: NDArray[np.int64], objects: NDArray[np.int64]) -> NDArray[np.int64]:
    """Put users of like activity together: by number of acts, then of distinct objects.

    Args:
        acts: Acts of each user, shape [n].
        objects: Distinct objects of each user, shape [n].

    Returns:
        Stratum of each user, from 0; users who are equal in both are in one. At most `STRATA`.
    """
    order = np.lexsort((objects, acts))
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (np.diff(acts[order]) != 0) | (np.diff(objects[order]) != 0)
    first = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
    size = max(-(-len(order) // STRATA), LEAST_IN_STRATUM)
    found = np.empty(len(order), dtype=np.int64)
    found[order] = np.minimum(first // size, max(len(order) // size - 1, 0))
    return found


def similarity_p(
    pairs: pl.DataFrame,
    vectors: NDArray[Any],
    stratum: NDArray[np.int64],
    seed: int,
    draws: int = 50_000,
) -> NDArray[np.float64]:
    """log10 of the share of random pairs of users of like activity that are as similar.

    The busy are like the busy, and the idle like the idle, without any of them being in league: so
    chance is drawn from pairs of one user of the first one's stratum and one of the second's.

    Args:
        pairs: `user_a`, `user_b` (rows of `vectors`) and `similarity` of each pair.
        vectors: Vectors of length 1, shape [n, dim].
        stratum: Stratum of each row, shape [n].
        seed: Seed of the draws.
        draws: Random pairs for each two strata; no p is below one in this number.

    Returns:
        Shape [pairs], at most 0; 0 where the strata hold nobody else.

    Cost: `draws` inner products for each two strata that occur together.
    """
    result = np.zeros(pairs.height)
    first, second = (stratum[pairs.get_column(name).to_numpy()] for name in ("user_a", "user_b"))
    low, high = np.minimum(first, second), np.maximum(first, second)
    found = pairs.get_column("similarity").to_numpy()
    rows = [np.flatnonzero(stratum == one) for one in range(int(stratum.max(initial=-1)) + 1)]
    for one, other in sorted(set(zip(low.tolist(), high.tolist(), strict=True))):
        rng = np.random.Generator(np.random.Philox([seed, one, other]))
        a, b = rng.choice(rows[one], draws), rng.choice(rows[other], draws)
        apart = a != b
        chance = np.sort(np.einsum("ij,ij->i", vectors[a[apart]], vectors[b[apart]]))
        mine = (low == one) & (high == other)
        above = len(chance) - np.searchsorted(chance, found[mine] - 1e-6, side="left")
        result[mine] = np.log10((above + 1) / (len(chance) + 1))
    return result

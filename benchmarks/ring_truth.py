"""How well pairs and rings agree with the true ones."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def pair_figures(pairs: Ints, truth: Ints) -> tuple[int, int, int]:
    """Pairs told, pairs told of one true ring, and true pairs.

    Args:
        pairs: Users of each pair, shape [2, n].
        truth: Ring of each user, -1 for none.
    """
    same = (truth[pairs[0]] >= 0) & (truth[pairs[0]] == truth[pairs[1]])
    size = np.bincount(truth[truth >= 0])
    return pairs.shape[1], int(same.sum()), int((size * (size - 1) // 2).sum())


def ring_figures(rings: list[Ints], truth: Ints) -> tuple[int, int, int]:
    """Rings told, rings found, and true rings.

    A true ring is found when one told ring holds at least half of it and is at least half made of
    it.
    """
    size = np.bincount(truth[truth >= 0]) if (truth >= 0).any() else np.zeros(0, dtype=np.int64)
    found = set()
    for members in rings:
        inside = truth[members]
        names, count = np.unique(inside[inside >= 0], return_counts=True)
        good = (2 * count >= size[names]) & (2 * count >= len(members))
        found |= set(names[good].tolist())
    return len(rings), len(found), int((size > 0).sum())


def f1(told: int, found: int, true: int) -> float:
    """Harmonic mean of found / told and found / true; 1 where there is nothing to find or tell."""
    return 2 * found / (told + true) if told + true else 1.0


def b_cubed(
    rings: list[Ints], truth: Ints, judged: NDArray[np.bool_]
) -> tuple[float, float, float]:
    """B-cubed precision, recall and F1 of the judged users (Bagga and Baldwin 1998).

    Precision of a user: of all in its told ring, the share of its own true ring. Recall: of its
    true ring, the share in its told ring. Who is in no ring stands alone.

    Args:
        rings: Members of each told ring; no user in two.
        truth: True ring of each user, -1 for none, shape [num_users].
        judged: Whose figures are averaged, shape [num_users].
    """
    told = np.arange(len(truth)) + len(rings)
    for number, members in enumerate(rings):
        told[members] = number
    alone = truth.max(initial=-1) + 1 + np.arange(len(truth))
    frame = pl.DataFrame(
        {"told": told, "true": np.where(truth >= 0, truth, alone), "judged": judged}
    ).with_columns(
        pl.len().over("told", "true").alias("both"),
        pl.len().over("told").alias("in_told"),
        pl.len().over("true").alias("in_true"),
    )
    mine = frame.filter("judged")
    shares = mine.select(
        (pl.col("both") / pl.col("in_told")).mean().alias("precision"),
        (pl.col("both") / pl.col("in_true")).mean().alias("recall"),
    ).row(0)
    precision, recall = (float(value) for value in shares)
    return precision, recall, 2 * precision * recall / (precision + recall)

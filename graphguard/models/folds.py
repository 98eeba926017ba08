"""Folds of rows by their users' keys: who is in one fold is never shown what the fold's labels say.

Rows that train and rows to score are dealt alike, so nothing has to be told apart when scoring.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.graph.keyed import key_hash, seeded
from graphguard.models.base import GraphContext


def node_keys(context: GraphContext) -> pl.Series:
    """Key of each node that rows may be about, in order of dense index."""
    return pl.Series("key", context.graph.keys(context.node_type), dtype=pl.String)


def row_folds(
    node: NDArray[np.int64],
    keys: pl.Series,
    draw: tuple[int, int],
    group: NDArray[np.int64] | None,
) -> NDArray[np.int64]:
    """Fold of each row by its key; rows of one group go by the smallest hash among them.

    Args:
        node: Dense index of each row's user, shape [n].
        keys: Key of each row's user.
        draw: Number of folds, and the seed.
        group: Group of each node, shape [num_nodes]; None where every user is its own.

    Returns:
        Shape [n], int64 in [0, folds).
    """
    folds, seed = draw
    hashed = seeded(key_hash(keys), seed)
    if group is not None:
        _, dense = np.unique(group[node], return_inverse=True)
        smallest = np.full(dense.max(initial=-1) + 1, np.iinfo(np.uint64).max, dtype=np.uint64)
        np.minimum.at(smallest, dense, hashed)
        hashed = seeded(smallest[dense], seed)
    return (hashed % np.uint64(folds)).astype(np.int64)

"""Brute force in NumPy: the reference that every other engine is tested against."""

import numpy as np

from graphguard.index.protocol import Floats, Ids, check_k, normalised, ranked_candidates

_CELLS_AT_ONCE = 16_000_000
_SLACK = 2e-5
"""A float32 product of unit rows errs by less; what lies this near the edge is ranked anew."""


class ExactIndex:
    """All similarities, block by block.

    Cost: time O(q * n * dim), memory one block of 64 MB and the rows.
    """

    engine = "exact"

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._rows: Floats = np.empty((0, dim), dtype=np.float32)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, vectors: Floats) -> None:
        """Append rows, see `NeighborIndex.add`."""
        self._rows = np.concatenate([self._rows, normalised(vectors, self._dim)])

    def search(self, queries: Floats, k: int) -> tuple[Floats, Ids]:
        """Return the nearest rows, see `NeighborIndex.search`."""
        check_k(k)
        return search_rows(normalised(queries, self._dim), self._rows, k)


def search_rows(queries: Floats, rows: Floats, k: int) -> tuple[Floats, Ids]:
    """Search rows of length 1 by brute force; both arguments of width `dim`, float32."""
    similarity = np.full((len(queries), k), -np.inf, dtype=np.float32)
    ids = np.full((len(queries), k), -1, dtype=np.int64)
    wanted = min(k, len(rows))
    if wanted == 0:
        return similarity, ids
    block = max(1, _CELLS_AT_ONCE // len(rows))
    for start in range(0, len(queries), block):
        part = queries[start : start + block]
        rough = part @ rows.T
        edge = np.partition(rough, len(rows) - wanted, axis=1)[:, len(rows) - wanted]
        query, row = np.nonzero(rough >= edge[:, None] - np.float32(_SLACK))
        best, found = ranked_candidates(part, rows, (query, row), k)
        similarity[start : start + block], ids[start : start + block] = best, found
    return similarity, ids


def recall(found: Floats, true: Floats) -> float:
    """Return the share of true neighbours found, judged by similarity so that ties do not count.

    Args:
        found: Similarities found, falling, shape [q, k]; -inf where missing.
        true: Similarities of the true neighbours, shape [q, k].

    Returns:
        A share in [0, 1]; 1 where there is nothing to find.
    """
    exists = np.isfinite(true)
    if not exists.any():
        return 1.0
    weakest = np.min(np.where(exists, true, np.inf), axis=1, keepdims=True)
    hits = np.sum(np.isfinite(found) & (found >= weakest), axis=1)
    return float(np.sum(np.minimum(hits, exists.sum(axis=1))) / exists.sum())

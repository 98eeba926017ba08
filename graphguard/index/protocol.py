"""What a neighbour index is, how one is opened, and the exact ranking that all engines end with.

Similarity is the cosine: rows are scaled to length 1 on their way in. Engines only propose
candidates; similarities are then computed anew in float64 and ranked by (similarity, id), so that
equal rows come out in the same order from every engine.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from graphguard.errors import BuildMissing, DataError

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]

ENGINES = ("auto", "exact", "flat", "ivf", "hnsw", "gpu")
EXACT_BELOW = 200_000
"""Rows below which `auto` searches exactly."""

_PAIRS_AT_ONCE = 2_000_000


class IndexInvalid(DataError):
    """Vectors cannot be indexed or searched."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"neighbour index: {reason}")


@dataclass(frozen=True)
class IndexSettings:
    """How an index searches.

    Attributes:
        engine: 'auto' (flat below 200,000 rows, ivf above), 'exact' (NumPy, the reference), or
            FAISS: 'flat' (exact), 'ivf' (k-means cells), 'hnsw' (graph), 'gpu' (flat on all GPUs).
        seed: Seed of k-means, of the graph's levels and of samples.
        target_recall: Recall that the search effort of 'ivf' and 'hnsw' is tuned to.
        threads: CPU threads of a search; 0 takes all that OMP_NUM_THREADS allows. The result does
            not depend on it: whatever is built is built by one thread.
    """

    engine: str = "auto"
    seed: int = 0
    target_recall: float = 0.98
    threads: int = 0


class NeighborIndex(Protocol):
    """Rows that can be searched by cosine similarity."""

    @property
    def engine(self) -> str:
        """Name of the engine at work; never 'auto'."""
        ...

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def add(self, vectors: Floats) -> None:
        """Append rows; their ids count on from those already there.

        Args:
            vectors: Shape [n, dim], float32, finite; any length, scaled to 1 here.

        Raises:
            IndexInvalid: Another shape, or a value that is not finite.
        """
        ...

    def search(self, queries: Floats, k: int) -> tuple[Floats, Ids]:
        """Return the `k` rows most similar to each query.

        Args:
            queries: Shape [q, dim], float32, finite.
            k: Neighbours wanted, at least 1.

        Returns:
            Similarities, shape [q, k], float32 in [-1, 1], falling, ties by rising id; and ids,
            shape [q, k], int64. Where fewer than `k` rows exist: id -1 and similarity -inf.

        Raises:
            IndexInvalid: Another shape, a value that is not finite, or `k` below 1.
        """
        ...


def open_index(dim: int, settings: IndexSettings | None = None) -> NeighborIndex:
    """Make an empty index.

    Args:
        dim: Width of a row, at least 1.
        settings: Engine and effort. 'auto' decides at the first `add`.

    Returns:
        The index.

    Raises:
        BuildMissing: The engine needs FAISS and it is not installed.
        IndexInvalid: The engine is 'gpu' and FAISS sees none.
        ValueError: The engine is unknown.
    """
    settings = settings or IndexSettings()
    if settings.engine not in ENGINES:
        message = f"index.engine must be one of {', '.join(ENGINES)}, got '{settings.engine}'"
        raise ValueError(message)
    if settings.engine == "exact":
        from graphguard.index.exact import ExactIndex

        return ExactIndex(dim)
    try:
        from graphguard.index.faiss_engine import FaissIndex
    except ModuleNotFoundError as error:
        if error.name != "faiss":
            raise
        feature = f"index.engine = '{settings.engine}'"
        raise BuildMissing(feature, "faiss") from error
    return FaissIndex(dim, settings)


def normalised(vectors: NDArray[Any], dim: int) -> Floats:
    """Return rows of length 1, shape [n, dim], float32; rows of length 0 stay.

    The length is taken in float64, so that equal directions come out equal and huge rows finite.

    Raises:
        IndexInvalid: Another shape, or a value that is not finite.
    """
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        message = f"expected rows of width {dim}, found shape {vectors.shape}"
        raise IndexInvalid(message)
    wide = vectors.astype(np.float64)
    finite = np.isfinite(wide).all(axis=1)
    if not finite.all():
        message = f"row {int(np.argmin(finite))} holds a value that is not finite"
        raise IndexInvalid(message)
    length = np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]
    np.divide(wide, length, out=wide, where=length > 0)
    return wide.astype(np.float32)


def check_k(k: int) -> None:
    """Refuse a number of neighbours below 1."""
    if k < 1:
        message = f"k must be 1 or more, got {k}"
        raise IndexInvalid(message)


def pair_similarity(queries: Floats, rows: Floats, pairs: tuple[Ids, Ids]) -> Floats:
    """Return the cosine of each (query, row) pair, summed in float64 in one fixed order.

    A matrix product rounds differently with the shape of its block; this does not, so equal rows
    always get equal similarities.

    Args:
        queries: Rows of length 1, shape [q, dim].
        rows: Rows of length 1, shape [n, dim].
        pairs: Indices into both, each of shape [num_pairs].

    Returns:
        Shape [num_pairs], float32 in [-1, 1].
    """
    left, right = pairs
    similarity = np.empty(len(left), dtype=np.float32)
    for start in range(0, len(left), _PAIRS_AT_ONCE // max(1, queries.shape[1] // 8)):
        part = slice(start, start + _PAIRS_AT_ONCE // max(1, queries.shape[1] // 8))
        product = queries[left[part]].astype(np.float64) * rows[right[part]]
        similarity[part] = np.clip(product.sum(axis=1), -1.0, 1.0)
    return similarity


def ranked_candidates(
    queries: Floats, rows: Floats, pairs: tuple[Ids, Ids], k: int
) -> tuple[Floats, Ids]:
    """Rank candidate pairs exactly and keep the best `k` of each query.

    Args:
        queries: Rows of length 1, shape [q, dim].
        rows: Rows of length 1, shape [n, dim].
        pairs: Query and row index of each candidate, no pair twice, each of shape [num_pairs].
        k: Neighbours wanted.

    Returns:
        Similarities and ids, each of shape [q, k], as `NeighborIndex.search` promises them.
    """
    left, right = pairs
    similarity = pair_similarity(queries, rows, pairs)
    order = np.lexsort((right, -similarity, left))
    left, right, similarity = left[order], right[order], similarity[order]
    first = np.searchsorted(left, np.arange(len(queries)))
    place = np.arange(len(left)) - first[left]
    kept = place < k
    best = np.full((len(queries), k), -np.inf, dtype=np.float32)
    ids = np.full((len(queries), k), -1, dtype=np.int64)
    best[left[kept], place[kept]] = similarity[kept]
    ids[left[kept], place[kept]] = right[kept]
    return best, ids

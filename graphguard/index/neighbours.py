"""Embedding neighbourhoods of all rows, with the recall they were found at.

Users who do nothing have equal embeddings, thousands of them, and a graph index loses its way among
equal points. So equal rows are indexed once and their ids put back afterwards.
"""

from dataclasses import dataclass

import numpy as np

from graphguard.index.exact import recall, search_rows
from graphguard.index.protocol import (
    Floats,
    Ids,
    IndexInvalid,
    IndexSettings,
    check_k,
    normalised,
    open_index,
)

_QUERIES_AT_ONCE = 8_192


@dataclass(frozen=True)
class Neighbourhoods:
    """The nearest rows of each row.

    Attributes:
        ids: Neighbours of each row, itself left out, shape [n, k], int64; -1 where there are fewer.
        similarity: Their cosine similarity, shape [n, k], float32, falling, ties by rising id; -inf
            where the id is -1.
        recall: Share of true neighbours among those found, measured by brute force on a sample.
        engine: Engine that searched.
    """

    ids: Ids
    similarity: Floats
    recall: float
    engine: str


def neighbourhoods(
    vectors: Floats, k: int, settings: IndexSettings | None = None, sample: int = 1000
) -> Neighbourhoods:
    """Find the `k` rows most similar to each row.

    Args:
        vectors: Embeddings, shape [n, dim], float32, finite. A row of zeros says nothing, so it has
            no neighbours and is nobody's.
        k: Neighbours wanted, at least 1.
        settings: Engine, seed and effort.
        sample: Rows whose neighbours are also found by brute force, at least 1.

    Returns:
        Neighbours, similarities and the measured recall.

    Raises:
        IndexInvalid: Another shape, a value that is not finite, or `k` or `sample` below 1.
        MissingExtra: The engine needs FAISS and it is not installed.

    Cost: 'flat' O(n² * dim); 'ivf' about O(n^1.5 * dim). Memory: two copies of the embeddings and
        the result.
    """
    settings = settings or IndexSettings()
    check_k(k)
    if sample < 1:
        message = f"sample must be 1 or more, got {sample}"
        raise IndexInvalid(message)
    if vectors.ndim != 2:
        message = f"expected embeddings of shape [n, dim], found shape {vectors.shape}"
        raise IndexInvalid(message)
    unit = normalised(vectors, vectors.shape[1])
    equal = _EqualRows.of(unit)
    index = open_index(vectors.shape[1], settings)
    index.add(equal.rows)
    ids = np.full((len(unit), k), -1, dtype=np.int64)
    similarity = np.full((len(unit), k), -np.inf, dtype=np.float32)
    for start in range(0, len(equal.rows), _QUERIES_AT_ONCE):
        groups = np.arange(start, min(start + _QUERIES_AT_ONCE, len(equal.rows)))
        lists = equal.expanded(index.search(equal.rows[groups], k + 1))
        members, place = equal.members_of(groups)
        similarity[members], ids[members] = _without_self(members, place, lists)
    chosen = _sample(np.flatnonzero(equal.group >= 0), sample, settings.seed)
    groups, place = np.unique(equal.group[chosen], return_inverse=True)
    lists = equal.expanded(search_rows(equal.rows[groups], equal.rows, k + 1))
    true, _ = _without_self(chosen, place, lists)
    return Neighbourhoods(ids, similarity, recall(similarity[chosen], true), index.engine)


@dataclass(frozen=True)
class _EqualRows:
    """Rows that are equal to the bit, indexed once.

    `rows` [groups, dim] are the distinct rows by first occurrence; `group` [n] is the group of each
    row, -1 for rows of zeros; group g holds the rows `members[start[g]:start[g + 1]]`, rising.
    """

    rows: Floats
    group: Ids
    members: Ids
    start: Ids

    @classmethod
    def of(cls, unit: Floats) -> "_EqualRows":
        present = np.flatnonzero(unit.any(axis=1))
        first, inverse = _distinct(unit[present])
        group = np.full(len(unit), -1, dtype=np.int64)
        group[present] = inverse
        members = present[np.argsort(inverse, kind="stable")]
        start = np.concatenate([[0], np.cumsum(np.bincount(inverse, minlength=len(first)))])
        return cls(unit[present[first]], group, members, start)

    def members_of(self, groups: Ids) -> tuple[Ids, Ids]:
        """Return the rows of `groups`, and for each its place in `groups`."""
        size = self.start[groups + 1] - self.start[groups]
        place = np.repeat(np.arange(len(groups)), size)
        offset = np.arange(len(place)) - np.repeat(np.cumsum(size) - size, size)
        return self.members[self.start[groups][place] + offset], place

    def expanded(self, found: tuple[Floats, Ids]) -> tuple[Floats, Ids]:
        """Put rows in the place of groups and keep as many as there were groups, best first.

        Args:
            found: Similarities and groups, each of shape [q, width], as a search returns them.

        Returns:
            Similarities and rows, each of shape [q, width], ties by rising row.
        """
        near, groups = found
        width = groups.shape[1]
        size = np.where(groups >= 0, self.start[groups + 1] - self.start[groups], 0)
        size = np.minimum(size, width)
        enough = np.cumsum(size, axis=1) >= width
        # Groups that tie with the last one needed stay in: their rows may have the lower ids.
        last = np.where(enough.any(axis=1), np.argmax(enough, axis=1), width - 1)
        weakest = np.take_along_axis(near, last[:, None], axis=1)
        query, column = np.nonzero((groups >= 0) & (near >= weakest))
        count = size[query, column]
        place = np.repeat(np.arange(len(query)), count)
        offset = np.arange(len(place)) - np.repeat(np.cumsum(count) - count, count)
        row = self.members[self.start[groups[query, column]][place] + offset]
        owner, value = query[place], near[query, column][place]
        order = np.lexsort((row, -value, owner))
        owner, row, value = owner[order], row[order], value[order]
        rank = np.arange(len(owner)) - np.searchsorted(owner, np.arange(len(near)))[owner]
        kept = rank < width
        similarity = np.full(near.shape, -np.inf, dtype=np.float32)
        rows = np.full(near.shape, -1, dtype=np.int64)
        similarity[owner[kept], rank[kept]] = value[kept]
        rows[owner[kept], rank[kept]] = row[kept]
        return similarity, rows


def _distinct(rows: Floats) -> tuple[Ids, Ids]:
    """Return the first row of each set of equal rows, rising, and the set of each row."""
    # Adding 0 makes one of the two zeros; a sum of products mod 2^64 then stands for the row.
    drawn = np.random.default_rng(0).integers(2**64, size=rows.shape[1], dtype=np.uint64)
    factors = np.atleast_1d(drawn) | np.uint64(1)
    code = np.zeros(len(rows), dtype=np.uint64)
    for column in range(rows.shape[1]):
        bits = (rows[:, column] + np.float32(0.0)).view(np.uint32)
        code += bits * factors[column]
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    if (rows[first[inverse]] != rows).any():
        _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    number = np.empty(len(first), dtype=np.int64)
    number[order] = np.arange(len(first))
    return first[order], number[inverse]


def _without_self(rows: Ids, place: Ids, lists: tuple[Floats, Ids]) -> tuple[Floats, Ids]:
    """Give each row the list at its place, less itself, or less the last where it is not in it."""
    similarity, ids = lists[0][place], lists[1][place]
    drop = ids == rows[:, None]
    drop[:, -1] |= ~drop.any(axis=1)
    shape = (len(rows), ids.shape[1] - 1)
    return similarity[~drop].reshape(shape), ids[~drop].reshape(shape)


def _sample(rows: Ids, size: int, seed: int) -> Ids:
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(rows, size=min(size, len(rows)), replace=False))

"""Pairs that may be near are told by folded sets; what is near is decided exactly."""

import numpy as np
import pytest

from graphguard.near.overlap import BITS, Overlaps, as_rows, jaccard
from graphguard.near.shingles import Shingles


def sets_of(rows: list[list[int]]) -> Shingles:
    start = np.cumsum([0, *map(len, rows)])
    marks = [np.sort(np.array(row, dtype=np.uint64)) for row in rows]
    return Shingles(start, np.concatenate(marks))


@pytest.mark.parametrize("vocabulary", [60, BITS, 5 * BITS])
def test_folding_changes_no_decision(vocabulary):
    rng = np.random.default_rng(vocabulary)
    base = rng.choice(vocabulary, 40, replace=False)
    rows = []
    for _ in range(120):
        kept = base[rng.random(40) < rng.uniform(0.3, 1.0)]
        more = rng.choice(vocabulary, int(rng.integers(1, 20)), replace=False)
        rows.append(np.union1d(kept, more).tolist())
    sets = sets_of(rows)
    pairs = np.stack(np.triu_indices(len(rows), 1))

    found = Overlaps.of(sets).near(pairs, 0.5)

    exact = [
        len(set(rows[a]) & set(rows[b])) / len(set(rows[a]) | set(rows[b])) for a, b in pairs.T
    ]
    assert found.tolist() == [value >= 0.5 for value in exact]
    assert np.allclose(jaccard(as_rows(sets), pairs), exact)
    assert 100 < found.sum() < 0.9 * found.size


def test_a_pair_that_folds_onto_the_same_bits_is_not_near_for_that():
    # The second set's elements fold onto those of the first, yet none is the same.
    first, filler = list(range(10)), list(range(10, BITS))
    second = list(range(BITS, BITS + 10))

    overlaps = Overlaps.of(sets_of([first, second, filler]))

    assert np.array_equal(overlaps.folded[0], overlaps.folded[1])
    assert not overlaps.near(np.array([[0], [1]]), 0.1)[0]


def test_exactly_half_is_near():
    overlaps = Overlaps.of(sets_of([[1, 2, 3], [2, 3, 4], [2, 4, 5]]))

    assert overlaps.near(np.array([[0, 0], [1, 2]]), 0.5).tolist() == [True, False]

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphguard.index.neighbours import neighbourhoods
from graphguard.index.protocol import IndexInvalid, IndexSettings, normalised, pair_similarity

ENGINES = ["exact", "flat", "ivf", "hnsw"]


def brute_force(rows, k):
    """Neighbours of every row by full sort; the oracle."""
    unit = normalised(rows, rows.shape[1])
    present = unit.any(axis=1)
    ids = np.full((len(rows), k), -1)
    for row in np.flatnonzero(present):
        others = np.array([other for other in np.flatnonzero(present) if other != row], dtype=int)
        near = pair_similarity(unit, unit, (np.full(len(others), row), others))
        best = others[np.lexsort((others, -near))][:k]
        ids[row, : len(best)] = best
    return ids


@pytest.mark.parametrize("engine", ENGINES)
def test_a_row_is_not_its_own_neighbour(engine):
    #   0: →    1: ↗    2: ↑        nearest of 0 is 1, of 2 is 1; 1 ties between 0 and 2
    rows = np.array([[1, 0], [1, 1], [0, 1]], dtype=np.float32)

    found = neighbourhoods(rows, 2, IndexSettings(engine=engine))

    assert found.ids.tolist() == [[1, 2], [0, 2], [1, 0]]
    assert found.similarity[0].tolist() == pytest.approx([np.sqrt(0.5), 0.0], abs=1e-6)
    assert found.engine == engine


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(-1, 2), min_size=2, max_size=2), min_size=1, max_size=30),
    st.integers(1, 6),
)
def test_neighbourhoods_equal_a_full_sort(rows, k):
    rows = np.array(rows, dtype=np.float32)

    for engine in ("exact", "flat"):
        assert (
            neighbourhoods(rows, k, IndexSettings(engine=engine)).ids == brute_force(rows, k)
        ).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_thousands_of_equal_rows_do_not_crowd_out_the_rest(engine):
    # 5,000 idle users with one embedding, and 300 others
    rng = np.random.default_rng(0)
    rows = np.concatenate([np.ones((5000, 8)), rng.normal(size=(300, 8))]).astype(np.float32)

    found = neighbourhoods(rows, 10, IndexSettings(engine=engine))

    assert found.ids[0].tolist() == list(range(1, 11))
    assert found.ids[4999].tolist() == list(range(10))
    assert (found.similarity[:5000] == found.similarity[0, 0]).all()
    assert found.recall > 0.97


@pytest.mark.parametrize("engine", ENGINES)
def test_rows_of_zeros_are_nobodys_neighbours(engine):
    rows = np.array([[1, 0], [0, 0], [1, 1]], dtype=np.float32)

    found = neighbourhoods(rows, 2, IndexSettings(engine=engine))

    assert found.ids.tolist() == [[2, -1], [-1, -1], [0, -1]]
    assert np.isneginf(found.similarity[1]).all()


def test_recall_is_measured_not_assumed():
    rows = np.random.default_rng(1).normal(size=(3000, 32)).astype(np.float32)

    poor = neighbourhoods(rows, 10, IndexSettings(engine="ivf", target_recall=0.2), sample=300)
    exact = neighbourhoods(rows, 10, IndexSettings(engine="flat"), sample=300)

    assert exact.recall == 1.0
    assert poor.recall < 0.9
    every = neighbourhoods(rows, 10, IndexSettings(engine="ivf", target_recall=0.2), sample=3000)
    shared = [len(set(a) & set(b)) for a, b in zip(every.ids, exact.ids, strict=True)]
    assert every.recall == pytest.approx(np.mean(shared) / 10)


def test_one_seed_makes_one_result():
    rows = np.random.default_rng(2).normal(size=(2000, 16)).astype(np.float32)

    for engine in ("ivf", "hnsw"):
        first, again = (
            neighbourhoods(rows, 5, IndexSettings(engine=engine, seed=4, threads=threads))
            for threads in (1, 2)
        )
        assert (first.ids == again.ids).all()
        assert first.recall == again.recall


def test_renumbering_rows_renumbers_neighbours():
    rows = np.random.default_rng(3).normal(size=(200, 6)).astype(np.float32)
    order = np.random.default_rng(4).permutation(200)

    plain = neighbourhoods(rows, 5, IndexSettings(engine="flat"))
    turned = neighbourhoods(rows[order], 5, IndexSettings(engine="flat"))

    assert (order[turned.ids] == plain.ids[order]).all()
    assert (turned.similarity == plain.similarity[order]).all()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_rows_have_no_neighbours(engine, count):
    found = neighbourhoods(np.ones((count, 3), dtype=np.float32), 4, IndexSettings(engine=engine))

    assert found.ids.tolist() == [[-1] * 4] * count
    assert found.recall == 1.0


def test_sizes_below_one_are_refused():
    rows = np.eye(3, dtype=np.float32)

    with pytest.raises(IndexInvalid, match="k must be 1 or more, got 0"):
        neighbourhoods(rows, 0)
    with pytest.raises(IndexInvalid, match="sample must be 1 or more, got 0"):
        neighbourhoods(rows, 1, sample=0)
    with pytest.raises(IndexInvalid, match=r"shape \[n, dim\], found shape \(3,\)"):
        neighbourhoods(rows[0], 1)

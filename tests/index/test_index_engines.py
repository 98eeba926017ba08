import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphguard.errors import BuildMissing
from graphguard.index.exact import recall
from graphguard.index.protocol import IndexInvalid, IndexSettings, normalised, open_index

ENGINES = ["exact", "flat", "ivf", "hnsw"]
EXACT_ENGINES = ["exact", "flat"]


def made(engine, rows, **settings):
    index = open_index(rows.shape[1], IndexSettings(engine=engine, **settings))
    index.add(rows)
    return index


def clustered(seed, count=3000, dim=16, clusters=60):
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=(clusters, dim))
    rows = centre[rng.integers(clusters, size=count)] + 0.4 * rng.normal(size=(count, dim))
    return rows.astype(np.float32)


@pytest.mark.parametrize("engine", ENGINES)
def test_missing_neighbours_come_back_as_minus_one(engine):
    # two rows at right angles; three neighbours asked for
    index = made(engine, np.eye(2, dtype=np.float32))

    similarity, ids = index.search(np.array([[1, 0]], dtype=np.float32), k=3)

    assert ids.tolist() == [[0, 1, -1]]
    assert similarity.tolist() == [[1.0, 0.0, -np.inf]]


@pytest.mark.parametrize("engine", ENGINES)
def test_an_empty_index_finds_nothing(engine):
    index = open_index(2, IndexSettings(engine=engine))

    similarity, ids = index.search(np.ones((1, 2), dtype=np.float32), k=2)

    assert (len(index), ids.tolist(), similarity.tolist()) == (0, [[-1, -1]], [[-np.inf] * 2])


@pytest.mark.parametrize("engine", ENGINES)
def test_length_does_not_matter(engine):
    index = made(engine, np.array([[1000, 0], [0.001, 0.001]], dtype=np.float32))

    similarity, ids = index.search(np.array([[2, 2]], dtype=np.float32), k=2)

    assert ids.tolist() == [[1, 0]]
    assert similarity[0].tolist() == pytest.approx([1.0, np.sqrt(0.5)], abs=1e-6)


@pytest.mark.parametrize("engine", EXACT_ENGINES)
def test_ties_come_by_rising_id_even_at_the_edge(engine):
    # 100 rows at right angles to the query and to each other, and 50 copies of the query
    rows = np.zeros((150, 101), dtype=np.float32)
    rows[np.arange(100), np.arange(1, 101)] = 1
    rows[100:, 0] = 1
    index = made(engine, rows)

    _, few = index.search(rows[100:101], k=10)
    _, more = index.search(rows[100:101], k=55)

    assert few[0].tolist() == list(range(100, 110))
    assert more[0].tolist() == [*range(100, 150), 0, 1, 2, 3, 4]


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_agrees_with_the_exact_one(engine):
    rows, queries = np.split(clustered(0, count=3200), [3000])

    similarity, ids = made(engine, rows).search(queries, k=10)
    true_similarity, true_ids = made("exact", rows).search(queries, k=10)

    if engine in EXACT_ENGINES:
        assert (ids == true_ids).all()
        assert (similarity == true_similarity).all()
    else:
        assert recall(similarity, true_similarity) > 0.9
    # Whatever is found is ranked by its true similarity.
    unit = [normalised(each, 16).astype(np.float64) for each in (queries, rows)]
    expected = np.einsum("qd,qkd->qk", unit[0], unit[1][ids])
    assert similarity == pytest.approx(expected, abs=1e-6)
    assert (np.diff(similarity, axis=1) <= 0).all()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.integers(-2, 2), min_size=3, max_size=3), min_size=1, max_size=30),
    st.integers(1, 8),
)
def test_flat_equals_exact_on_rows_full_of_ties(rows, k):
    rows = np.array(rows, dtype=np.float32)

    similarity, ids = made("flat", rows).search(rows, k)
    true_similarity, true_ids = made("exact", rows).search(rows, k)

    assert (ids == true_ids).all()
    assert (similarity == true_similarity).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_one_input_makes_one_answer(engine):
    rows = clustered(2)

    first = made(engine, rows, seed=3, threads=1).search(rows[:50], k=10)
    again = made(engine, rows, seed=3, threads=2).search(rows[:50], k=10)

    assert (first[1] == again[1]).all()
    assert (first[0] == again[0]).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_rows_may_come_in_parts(engine):
    rows = clustered(3, count=400)
    index = open_index(16, IndexSettings(engine=engine))

    index.add(rows[:300])
    index.add(rows[300:])
    index.add(rows[:0])

    assert len(index) == 400
    assert index.search(rows, k=1)[1][:, 0].tolist() == list(range(400))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (np.ones((2, 3), np.float32), r"rows of width 2, found shape \(2, 3\)"),
        (np.ones(2, np.float32), r"found shape \(2,\)"),
        (np.array([[1, 1], [1, np.nan]], np.float32), "row 1 holds a value that is not finite"),
        (np.array([[np.inf, 1]], np.float32), "row 0 holds"),
    ],
)
def test_rows_that_cannot_be_searched_are_refused(engine, rows, told):
    index = made(engine, np.eye(2, dtype=np.float32))

    with pytest.raises(IndexInvalid, match=told):
        index.add(rows)
    with pytest.raises(IndexInvalid, match=told):
        index.search(rows, k=1)


@pytest.mark.parametrize("engine", ENGINES)
def test_no_neighbours_cannot_be_asked_for(engine):
    with pytest.raises(IndexInvalid, match="k must be 1 or more, got 0"):
        made(engine, np.eye(2, dtype=np.float32)).search(np.eye(2, dtype=np.float32), k=0)


def test_auto_turns_to_cells_where_rows_are_many(monkeypatch):
    monkeypatch.setattr("graphguard.index.faiss_engine.EXACT_BELOW", 100)

    assert made("auto", clustered(4, count=99)).engine == "flat"
    assert made("auto", clustered(4, count=100)).engine == "ivf"


def test_effort_grows_until_the_target_is_reached():
    rows = np.random.default_rng(5).normal(size=(4000, 24)).astype(np.float32)
    true = made("exact", rows).search(rows[:100], k=32)[0]

    easy = made("ivf", rows, target_recall=0.3)
    hard = made("ivf", rows, target_recall=0.97)

    assert easy.effort < hard.effort
    assert recall(easy.search(rows[:100], k=32)[0], true) < 0.9
    assert recall(hard.search(rows[:100], k=32)[0], true) > 0.95
    assert made("flat", rows).effort == 0


def test_an_unknown_engine_names_the_known_ones():
    with pytest.raises(ValueError, match="must be one of auto, exact, flat, ivf, hnsw, gpu, got"):
        open_index(2, IndexSettings(engine="annoy"))


def test_gpu_is_refused_by_the_cpu_build(monkeypatch):
    monkeypatch.delattr("graphguard.index.faiss_engine.faiss.StandardGpuResources", raising=False)

    with pytest.raises(IndexInvalid, match="the installed faiss is the CPU build; use 'auto'"):
        open_index(2, IndexSettings(engine="gpu"))


def test_a_missing_build_of_faiss_names_both(monkeypatch):
    monkeypatch.delitem(sys.modules, "graphguard.index.faiss_engine", raising=False)
    monkeypatch.setitem(sys.modules, "faiss", None)

    with pytest.raises(BuildMissing) as caught:
        open_index(2, IndexSettings(engine="ivf"))

    assert str(caught.value) == (
        "index.engine = 'ivf' needs faiss, which comes in two builds that overwrite each other: "
        "pip install 'graphguard[cpu]' or 'graphguard[gpu]'"
    )
    assert open_index(2, IndexSettings(engine="exact")).engine == "exact"


def test_an_error_of_faiss_comes_without_its_source_lines(monkeypatch):
    index = made("flat", np.eye(2, dtype=np.float32))

    class Broken:
        def search(self, queries, k):
            message = "Error in void faiss::f() at faiss/f.cpp:1: Error: 'x' failed: bad\nwhy it is"
            raise RuntimeError(message)

    monkeypatch.setattr(index, "_index", Broken())
    with pytest.raises(IndexInvalid, match="FAISS failed while searching: why it is$"):
        index.search(np.eye(2, dtype=np.float32), k=1)


def test_recall_counts_a_tie_as_found():
    true = np.array([[0.9, 0.5], [0.9, -np.inf]], dtype=np.float32)

    assert recall(np.array([[0.9, 0.5], [0.9, -np.inf]], dtype=np.float32), true) == 1.0
    assert recall(np.array([[0.9, 0.4], [0.1, -np.inf]], dtype=np.float32), true) == 1 / 3
    assert recall(np.empty((0, 2), np.float32), np.empty((0, 2), np.float32)) == 1.0

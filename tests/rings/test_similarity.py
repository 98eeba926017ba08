import numpy as np
import polars as pl

from graphguard.rings.similarity import LEAST_IN_STRATUM, STRATA, mutual_pairs, similarity_p, strata


def test_neighbours_count_if_mutual_and_nearer_than_usual_around_both():
    # 0 and 1 name each other; 2 names 0, which does not name it; 3 has one neighbour only.
    ids = np.array([[1, 3], [0, 2], [0, 1], [0, -1]])
    near = np.array([[0.9, 0.8], [0.9, 0.5], [0.7, 0.5], [0.8, 0.0]], dtype=np.float32)

    assert mutual_pairs(ids, near).select("user_a", "user_b").rows() == [(0, 1)]


def pairs(*rows):
    return pl.DataFrame(rows, schema=["user_a", "user_b", "similarity"], orient="row")


def test_p_is_the_share_of_random_pairs_as_similar():
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 2_000)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    # On a circle two random points are within an angle a of each other with chance a / pi.
    similarity = np.cos(np.pi * np.array([0.5, 0.1, 0.01, 0.0]))
    asked = pairs(*((0, 1, float(one)) for one in similarity))
    p = 10 ** similarity_p(asked, circle, np.zeros(2_000, dtype=np.int64), seed=1)

    np.testing.assert_allclose(p[:3], [0.5, 0.1, 0.01], rtol=0.12)
    assert 0 < p[3] < 1e-3


def test_the_busy_are_held_against_the_busy():
    # The idle are anywhere on the circle, the busy all in a tenth of it.
    rng = np.random.default_rng(1)
    busy = np.arange(2_000) >= 1_000
    angle = np.where(busy, rng.uniform(0, 0.2 * np.pi, 2_000), rng.uniform(0, 2 * np.pi, 2_000))
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    near = float(np.cos(0.05 * np.pi))
    asked = pairs((0, 1, near), (1_000, 1_001, near), (0, 1_000, near))

    p = 10 ** similarity_p(asked, circle, busy.astype(np.int64), seed=1)

    # 0.05 of pi either way: a twentieth of all pairs of idle ones, nearly half of the busy ones'.
    np.testing.assert_allclose(p[0], 0.05, rtol=0.12)
    np.testing.assert_allclose(p[1], 1 - 0.75**2, rtol=0.12)
    assert p[0] * 0.5 < p[2] < p[1]


def test_strata_are_of_like_size_and_never_part_equals():
    acts = np.repeat([0, 3, 4, 900], [500, 100, 300, 100])
    objects = np.where(acts == 4, np.arange(1_000) % 300, acts)

    found = strata(acts, objects)

    assert len(set(found[:500].tolist())) == 1
    assert (np.diff(found[np.lexsort((objects, acts))]) >= 0).all()
    assert 3 <= len(np.unique(found)) <= STRATA
    assert np.bincount(found)[np.unique(found)].min() >= LEAST_IN_STRATUM


def test_too_few_vectors_say_nothing():
    asked = pairs((0, 0, 1.0))

    assert similarity_p(asked, np.eye(1), np.zeros(1, dtype=np.int64), seed=1).tolist() == [0.0]
    assert similarity_p(asked.clear(), np.eye(2), np.zeros(2, dtype=np.int64), seed=1).size == 0
    assert strata(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)).size == 0

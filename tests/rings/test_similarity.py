import numpy as np
import polars as pl

from graphguard.rings.similarity import mutual_pairs, similarity_p


def test_neighbours_count_if_mutual_and_nearer_than_usual_around_both():
    # 0 and 1 name each other; 2 names 0, which does not name it; 3 has one neighbour only.
    ids = np.array([[1, 3], [0, 2], [0, 1], [0, -1]])
    near = np.array([[0.9, 0.8], [0.9, 0.5], [0.7, 0.5], [0.8, 0.0]], dtype=np.float32)

    assert mutual_pairs(ids, near).select("user_a", "user_b").rows() == [(0, 1)]


def test_p_is_the_share_of_random_pairs_as_similar():
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 2_000)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    # On a circle two random points are within an angle a of each other with chance a / pi.
    similarity = np.cos(np.pi * np.array([0.5, 0.1, 0.01, 0.0]))
    p = 10 ** similarity_p(pl.DataFrame({"similarity": similarity}), circle, seed=1)

    np.testing.assert_allclose(p[:3], [0.5, 0.1, 0.01], rtol=0.1)
    assert 0 < p[3] < 1e-3


def test_too_few_vectors_say_nothing():
    pairs = pl.DataFrame({"similarity": [1.0]})

    assert similarity_p(pairs, np.eye(2), seed=1).tolist() == [0.0]

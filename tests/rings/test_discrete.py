import numpy as np
import pytest

from graphguard.rings.discrete import discrete_steps, log10_discrete_q
from graphguard.rings.significance import log10_poisson_tail


def tails(expected):
    return log10_poisson_tail(np.arange(1, 11)[:, np.newaxis], expected)


def test_q_is_what_chance_gives_in_all_tests_over_what_was_found():
    # A thousand tests expect .001 each, ten expect .1: at .001 chance gives 1 and no tenth counts.
    chances = np.array([[1e-3, 0.1], [1_000.0, 10.0]])
    p = log10_poisson_tail(np.array([1, 1, 1]), np.array([1e-3, 1e-3, 0.1]))

    q = 10 ** log10_discrete_q(p, *discrete_steps(p, tails(chances[0]), chances[1]))

    assert q[:2] == pytest.approx([1.0 / 2] * 2, rel=0.01)
    assert q[2] == pytest.approx((1.0 + 10 * 0.095) / 3, rel=0.01)


def test_chance_gives_as_many_false_ones_as_q_says():
    rng = np.random.default_rng(5)
    expected = rng.choice([1e-3, 3e-3, 0.03, 0.2], size=20_000)
    chances = np.stack(np.unique(expected, return_counts=True)).astype(np.float64)
    false = []
    for _ in range(40):
        hits = rng.poisson(expected)
        came = np.flatnonzero(hits)
        # Four hundred true ones, of two hits where few are expected.
        p = log10_poisson_tail(hits[came], expected[came])
        true = log10_poisson_tail(np.full(400, 2), np.full(400, 1e-3))
        every = np.concatenate([p, true])
        q = log10_discrete_q(every, *discrete_steps(every, tails(chances[0]), chances[1]))
        told = q <= np.log10(0.05)
        false.append(told[: len(p)].sum() / max(told.sum(), 1))
    assert np.mean(false) <= 0.05
    assert np.max([one > 0 for one in false])

"""A night's level comes from its scores alone, and moves no further than they tell."""

import numpy as np
import pytest
from scipy.special import expit, logit

from graphguard.models.calibrate import Calibrator, fit_calibrator
from graphguard.models.level import level_shift


def night(share, count, apart, seed):
    """Log-odds that are right at a share of a fifth, of users of whom `share` are positive."""
    rng = np.random.default_rng(seed)
    label = rng.random(count) < share
    value = rng.normal(np.where(label, apart / 2, -apart / 2), 1.0)
    return apart * value + logit(0.2), label


@pytest.mark.parametrize("share", [0.1, 0.2, 0.35])
def test_the_level_of_a_night_is_found_without_a_label(share):
    log_odds, label = night(share, 20_000, apart=3.0, seed=1)

    shift = level_shift(log_odds, 0.2)

    assert shift == pytest.approx(logit(label.mean()) - logit(0.2), abs=0.06)
    assert expit(log_odds + shift).mean() == pytest.approx(label.mean(), rel=0.03)


def test_scores_that_tell_nothing_move_nothing():
    assert level_shift(np.full(1000, logit(0.2)), 0.2) == pytest.approx(0, abs=1e-6)


def test_few_rows_and_rings_move_the_level_less():
    log_odds, _ = night(0.4, 4000, apart=2.0, seed=2)

    alone, rings = level_shift(log_odds, 0.2), level_shift(log_odds, 0.2, worth=0.01)

    assert 0.1 * alone < rings < 0.9 * alone
    assert rings == pytest.approx(level_shift(log_odds[::100], 0.2), abs=0.3)


def test_the_order_of_rows_changes_no_bit():
    log_odds, _ = night(0.3, 5000, apart=2.0, seed=3)

    assert level_shift(log_odds, 0.2) == level_shift(log_odds[::-1], 0.2)


def fitted(seed, bends):
    """A calibrator, and scores of a night in which half as many are positive."""
    rng = np.random.default_rng(seed)
    label = rng.random(20_000) < 0.2
    score = expit(rng.normal(np.where(label, 2.0, -1.0), 1.0) * np.where(bends, 0.5, 1.0))
    later = rng.random(20_000) < 0.1
    tonight = expit(rng.normal(np.where(later, 2.0, -1.0), 1.0) * np.where(bends, 0.5, 1.0))
    return fit_calibrator(score, label), tonight, later


@pytest.mark.parametrize("bends", [False, True])
def test_a_night_of_fewer_positives_is_told_lower_chances_in_the_same_order(bends):
    standing, score, label = fitted(4, bends)

    tonight = standing.tonight(score)

    said = tonight.apply(score)
    assert standing.apply(score).mean() > 1.15 * label.mean()
    assert said.mean() == pytest.approx(label.mean(), rel=0.05)
    assert tonight.share == pytest.approx(label.mean(), rel=0.05)
    assert (np.argsort(said) == np.argsort(score)).all()


def test_steps_move_with_the_level():
    stairs = Calibrator("isotonic", (1, 1, 0), (-1.0, 1.0), (0.1, 0.9), 9, 3, {}, share=0.5)
    score = expit(np.repeat([-1.0, 1.0], [950, 50]))

    tonight = stairs.tonight(score)

    assert logit(tonight.values) - logit(stairs.values) == pytest.approx(logit(tonight.share))
    assert tonight.values[0] < 0.02


def test_a_night_without_rows_leaves_the_level():
    standing, score, _ = fitted(4, bends=False)

    assert standing.tonight(score[:0]) == standing


def test_positives_in_rings_count_as_few():
    score, label = np.random.default_rng(5).random(400), np.arange(400) < 40
    ring = np.where(np.arange(400) < 40, np.arange(400) // 20, np.arange(400))

    assert fit_calibrator(score, label).worth == 1.0
    assert fit_calibrator(score, label, ring).worth == pytest.approx(1 / 20)

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


def slices(shares, moved=0.0, seed=4):
    """Scores, labels and slices of unlike shares; each slice's scores lie `moved` above the last's.

    Scores are log-odds of two normal classes, made a little too sure.
    """
    rng = np.random.default_rng(seed)
    part = np.repeat(np.arange(len(shares)), 10_000)
    label = rng.random(len(part)) < np.array(shares)[part]
    score = expit(rng.normal(np.where(label, 2.0, -1.5), 1.0) + moved * part)
    return score, label.astype(int), part


@pytest.fixture(scope="module")
def standing():
    """A calibrator of two slices, a tenth and a third of them positive."""
    score, label, part = slices((0.1, 0.33))
    return fit_calibrator(score, label, part=part)


def test_a_night_of_fewer_positives_is_told_lower_chances_in_the_same_order(standing):
    score, label, _ = slices((0.05,), seed=5)

    tonight = standing.tonight(score)

    said = tonight.apply(score)
    assert standing.follows
    assert standing.apply(score).mean() > 1.3 * label.mean()
    assert said.mean() == pytest.approx(label.mean(), rel=0.1)
    assert tonight.share == pytest.approx(said.mean(), rel=0.1)
    assert (np.argsort(said) == np.argsort(score)).all()


def test_where_scores_moved_and_positives_did_not_nothing_follows():
    score, label, part = slices((0.2, 0.2), moved=1.0)

    made = fit_calibrator(score, label, part=part)

    assert not made.follows
    assert made.tonight(score[:5000]) == made


def test_one_slice_cannot_tell_whether_levels_follow():
    score, label, _ = slices((0.2,))

    assert not fit_calibrator(score, label).follows


def test_steps_move_with_the_level():
    stairs = Calibrator("isotonic", (1, 1, 0), (-1.0, 1.0), (0.1, 0.9), 9, 3, {}, follows=True)
    score = expit(np.repeat([-1.0, 1.0], [950, 50]))

    tonight = stairs.tonight(score)

    before, after = (one.curve.at(np.array([-1.0, 1.0])) for one in (stairs, tonight))
    assert after - before == pytest.approx(logit(tonight.share))
    assert expit(after[0]) < 0.05


def test_a_night_without_rows_leaves_the_level(standing):
    assert standing.tonight(np.empty(0)) == standing


def test_positives_in_rings_count_as_few():
    score, label = np.random.default_rng(5).random(400), np.arange(400) < 40
    ring = np.where(np.arange(400) < 40, np.arange(400) // 20, np.arange(400))

    assert fit_calibrator(score, label).worth == 1.0
    assert fit_calibrator(score, label, ring).worth == pytest.approx(1 / 20)

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from graphguard.evaluate.calibration import Prior, calibration_report, fit_line


def draw(count=40_000, seed=0):
    """True chances, and what came of them."""
    rng = np.random.default_rng(seed)
    chance = expit(rng.normal(-3, 1.5, count))
    return chance, (rng.random(count) < chance).astype(int)


def test_true_chances_have_slope_one_and_bins_that_agree():
    chance, label = draw()

    report = calibration_report(chance, label, bins=5)

    assert report.slope == pytest.approx(1, abs=0.05)
    assert report.diagram_slope == pytest.approx(1, abs=0.05)
    assert report.expected_over_observed == pytest.approx([1] * 5, abs=0.1)
    assert report.brier_skill > 0.1
    assert report.top_said == pytest.approx(report.top_seen, abs=0.05)
    assert report.ece < 0.01


def test_sure_scores_have_a_slope_below_one_and_timid_ones_above():
    chance, label = draw()

    sure = calibration_report(expit(2 * logit(chance)), label)
    timid = calibration_report(expit(0.5 * logit(chance)), label)

    assert sure.slope == pytest.approx(0.5, abs=0.03)
    assert timid.slope == pytest.approx(2.0, abs=0.1)
    assert sure.diagram_slope < 1 < timid.diagram_slope


def test_the_line_is_that_of_a_logistic_regression():
    chance, label = draw(3000)
    log_odds = 0.7 * logit(chance) + 1

    line = fit_line(log_odds, label)

    peer = LogisticRegression(C=1e9, tol=1e-10, max_iter=1000).fit(log_odds[:, None], label)
    assert line.slope == pytest.approx(peer.coef_[0, 0], rel=1e-3)
    assert line.shift == pytest.approx(peer.intercept_[0], rel=1e-3)


def test_a_prior_draws_the_slope_to_one_and_bounds_hold():
    chance, label = draw(3000)
    log_odds = 3 * logit(chance)

    slopes = [
        fit_line(log_odds, label, weight, Prior(0.5, 0.05, 1.0)).slope
        for weight in (1.0, 0.01, 1e-6)
    ]

    assert slopes[0] == pytest.approx(1 / 3, abs=0.03)
    assert slopes[0] < slopes[1] < slopes[2] == pytest.approx(1, abs=0.01)
    assert fit_line(logit(chance) / 3, label, 1.0, Prior(0.5, 0.05, 1.0)).slope == 1.0


def test_the_top_takes_all_that_tie_with_its_last_row():
    # a hundredth of 200 rows is 2, but 4 share the highest probability
    probability = np.concatenate([np.full(4, 0.5), np.full(196, 0.1)])
    label = np.concatenate([[1, 1, 1, 0], np.repeat([1, 0], [20, 176])])

    report = calibration_report(probability, label)

    assert (report.top_said, report.top_seen) == (0.5, 0.75)

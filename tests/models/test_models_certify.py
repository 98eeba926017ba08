import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from graphguard.models.certify import (
    Certificate,
    between,
    certify_threshold,
    ends_of,
    precision_there,
)


def draw(rng, count=3000):
    """Scores that are true chances: P(positive | score) = score."""
    score = expit(rng.normal(-1, 3, size=count))
    return score, (rng.random(count) < score).astype(int)


def true_precision(threshold):
    """Precision above a threshold in the world of `draw`, from two million rows."""
    score = expit(np.random.default_rng(0).normal(-1, 3, size=2_000_000))
    return score[score >= threshold].mean()


def test_the_promise_is_broken_no_more_often_than_stated():
    # 400 slices, confidence 0.9: at most 40 broken promises on average, 3 sigma is 58
    rng = np.random.default_rng(1)
    broken = given_out = 0
    for _ in range(400):
        certificate = certify_threshold(*draw(rng), precision=0.9, confidence=0.9)
        if certificate.threshold is not None:
            given_out += 1
            broken += true_precision_table(certificate.threshold) < 0.9

    assert given_out > 390
    assert broken <= 58


def test_the_threshold_is_not_much_too_strict():
    # With 30,000 rows the promise comes near the true threshold of precision 0.9.
    certificate = certify_threshold(
        *draw(np.random.default_rng(2), 30_000), precision=0.9, confidence=0.9
    )

    assert 0.9 <= true_precision(certificate.threshold) < 0.925


def test_a_miss_at_the_very_top_does_not_end_the_search():
    # the highest score is negative, the next 499 are positive
    score = np.arange(1000, 0, -1) / 1000
    label = np.concatenate([[0], np.ones(499, int), np.zeros(500, int)])

    certificate = certify_threshold(score, label, precision=0.9, confidence=0.95)

    assert certificate.threshold is not None
    assert certificate.selected > 300
    assert certificate.precision_low >= 0.9


def test_too_few_rows_prove_nothing():
    certificate = certify_threshold(np.ones(20), np.ones(20), precision=0.95, confidence=0.95)

    assert certificate.threshold is None
    assert certificate.reason == (
        "no threshold: precision 0.95 with confidence 0.95 needs at least 90 independent rows "
        "without a miss, the slice has 20"
    )


def test_poor_scores_prove_nothing_and_say_how_far_they_came():
    rng = np.random.default_rng(3)
    score, label = rng.random(2000), (rng.random(2000) < 0.3).astype(int)

    certificate = certify_threshold(score, label, precision=0.9, confidence=0.9)

    assert certificate.threshold is None
    assert certificate.reason.startswith(
        "no threshold holds precision 0.9 with confidence 0.9: at best "
    )
    assert certificate.precision_low < 0.9


def test_a_threshold_takes_whole_ties():
    # 200 rows at 0.9, all positive; 200 at 0.5, none
    score, label = np.repeat([0.9, 0.5], 200), np.repeat([1, 0], 200)

    certificate = certify_threshold(score, label, precision=0.9, confidence=0.9)

    assert (certificate.threshold, certificate.selected, certificate.positives) == (0.9, 200, 200)
    assert certificate.reason == (
        "precision 0.9 with confidence 0.9 holds: 200 of 200 rows at or above 0.9 are positive"
    )


def test_a_ring_counts_as_one_row():
    # 300 positives of 3 rings are 3 observations, of 300 lone users 300
    score, label = np.arange(600, 0, -1) / 600, np.repeat([1, 0], 300)
    rings = np.concatenate([np.repeat([0, 1, 2], 100), np.arange(3, 303)])

    alone = certify_threshold(score, label, 0.9, 0.9, group=np.arange(600))
    ringed = certify_threshold(score, label, 0.9, 0.9, group=rings)

    assert alone == certify_threshold(score, label, 0.9, 0.9)
    assert alone.threshold is not None
    assert ringed.threshold is None


def draw_rings(rng, count=300):
    """Rings of 1 to 30 users with like scores, each enforced as a whole: P(ring) = its score."""
    size = np.exp(rng.uniform(0, np.log(30.99), count)).astype(int)
    chance = expit(rng.normal(0, 2, count))
    ring = np.repeat(np.arange(count), size)
    score = np.clip(chance[ring] + rng.normal(0, 0.01, len(ring)), 0, 1)
    return score, (rng.random(count) < chance).astype(int)[ring], ring


def test_a_promise_about_rings_is_kept_where_one_about_rows_is_not():
    # 100 slices, confidence 0.9: 10 broken promises on average, and 19 are 3 sigma
    rng = np.random.default_rng(0)
    size = np.exp(rng.uniform(0, np.log(30.99), 400_000)).astype(int)
    chance = expit(rng.normal(0, 2, 400_000))
    broken = {"rings": 0, "rows": 0}
    given_out = dict(broken)
    for _ in range(100):
        score, label, ring = draw_rings(rng)
        for name, group in (("rings", ring), ("rows", None)):
            threshold = certify_threshold(score, label, 0.6, 0.9, group).threshold
            if threshold is not None:
                above = chance >= threshold
                given_out[name] += 1
                broken[name] += np.sum(size[above] * chance[above]) / np.sum(size[above]) < 0.6

    assert given_out["rings"] > 80
    assert broken["rings"] <= 5
    assert broken["rows"] > 10


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.randoms(use_true_random=False))
def test_row_order_does_not_matter_to_the_certificate(seed, shuffler):
    score, label = draw(np.random.default_rng(seed), 400)
    score = np.round(score, 2)
    order = list(range(400))
    shuffler.shuffle(order)

    assert certify_threshold(score[order], label[order], 0.8, 0.9) == certify_threshold(
        score, label, 0.8, 0.9
    )


def test_no_rows_prove_nothing():
    assert certify_threshold(np.empty(0), np.empty(0), 0.9, 0.9).threshold is None


def test_shares_outside_the_unit_interval_are_refused():
    with pytest.raises(ValueError, match="precision must lie between 0 and 1, got 1.0"):
        certify_threshold(np.ones(3), np.ones(3), 1.0, 0.9)
    with pytest.raises(ValueError, match="confidence must lie between 0 and 1, got 0"):
        certify_threshold(np.ones(3), np.ones(3), 0.9, 0)
    with pytest.raises(ValueError, match="1 NaN of 2"):
        certify_threshold(np.array([1, np.nan]), np.ones(2), 0.9, 0.9)


_SORTED = np.sort(expit(np.random.default_rng(0).normal(-1, 3, size=2_000_000)))
_MEAN_ABOVE = np.cumsum(_SORTED[::-1])[::-1] / np.arange(len(_SORTED), 0, -1)


def true_precision_table(threshold):
    return _MEAN_ABOVE[np.searchsorted(_SORTED, threshold)]


def test_a_threshold_on_another_scale_selects_the_same_rows():
    score, label = draw(np.random.default_rng(6))
    score = score.astype(np.float32)
    certificate = certify_threshold(score, label, 0.9, 0.9)
    cubed = score.astype(np.float64) ** 3

    threshold = between(ends_of(certificate, score), lambda raw: raw**3)

    assert ((cubed >= threshold) == (score >= certificate.threshold)).all()
    assert ends_of(certify_threshold(score[:9], label[:9], 0.9, 0.9), score) is None


def test_a_threshold_at_the_lowest_score_has_nothing_below():
    lowest = Certificate(0.5, 1.0, 0.9, 400, 400, "")

    assert ends_of(lowest, np.linspace(0.5, 0.9, 400)) == (0.5, 0.5)


def test_a_slice_of_many_positives_must_show_more_and_one_of_few_no_less():
    # odds of one half at twice the odds of being positive: 2 of 3 rows, half of them elsewhere
    assert precision_there(0.5, 2 / 102, 1 / 101) == pytest.approx(2 / 3)
    assert precision_there(0.5, 1 / 101, 2 / 102) == 0.5
    rng = np.random.default_rng(8)
    label = rng.random(40_000) < 0.3
    score = np.where(label, rng.normal(1, 1, 40_000), rng.normal(-1, 1, 40_000))
    kept = ~label | (rng.random(40_000) < 0.5)  # half of the positives are not there later

    found = certify_threshold(score, label, precision_there(0.9, 0.3, 0.15 / 0.85), 0.9)
    plain = certify_threshold(score, label, 0.9, 0.9)

    later = [label[kept & (score >= one.threshold)].mean() for one in (found, plain)]
    assert later[0] >= 0.9 > later[1]

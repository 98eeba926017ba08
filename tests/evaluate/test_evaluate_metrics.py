import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from graphguard.evaluate import metrics
from graphguard.evaluate.ranking import rank_metrics


@st.composite
def ranked_rows(draw):
    """Scores with many ties, and labels of both classes."""
    label = draw(st.lists(st.integers(0, 1), min_size=2, max_size=40))
    label = [0, 1, *label]
    score = draw(st.lists(st.integers(0, 6), min_size=len(label), max_size=len(label)))
    return np.array(score) / 8, np.array(label)


@settings(deadline=None)
@given(ranked_rows())
def test_rank_metrics_agree_with_scikit_learn(rows):
    score, label = rows

    assert metrics.auprc(score, label) == pytest.approx(
        oracle.average_precision_score(label, score)
    )
    assert metrics.auroc(score, label) == pytest.approx(oracle.roc_auc_score(label, score))


@settings(deadline=None)
@given(ranked_rows())
def test_probability_metrics_agree_with_scikit_learn(rows):
    probability, label = rows
    inside = probability * 0.9 + 0.05

    assert metrics.brier(inside, label) == pytest.approx(oracle.brier_score_loss(label, inside))
    assert metrics.log_loss(inside, label) == pytest.approx(oracle.log_loss(label, inside))


@settings(deadline=None)
@given(ranked_rows(), st.floats(0, 1))
def test_recall_at_fpr_is_the_best_of_all_thresholds(rows, max_fpr):
    score, label = rows
    recalls = [
        np.mean(score[label == 1] >= threshold)
        for threshold in np.unique(score)
        if np.mean(score[label == 0] >= threshold) <= max_fpr
    ]

    assert metrics.recall_at_fpr(score, label, max_fpr) == pytest.approx(max(recalls, default=0.0))


@settings(deadline=None)
@given(ranked_rows(), st.integers(1, 50), st.randoms(use_true_random=False))
def test_no_metric_depends_on_row_order(rows, k, shuffler):
    score, label = rows
    order = list(range(len(score)))
    shuffler.shuffle(order)

    for measure in (
        metrics.auprc,
        metrics.auroc,
        metrics.recall_at_fpr,
        metrics.expected_calibration_error,
    ):
        assert measure(score, label) == pytest.approx(measure(score[order], label[order]))
    assert metrics.precision_at_k(score, label, k) == pytest.approx(
        metrics.precision_at_k(score[order], label[order], k)
    )


def test_a_budget_that_ends_inside_a_tie_takes_its_share():
    # score  9  5  5  5  1       budget 2: the 9, and one of three fives of which one is positive
    # label  1  1  0  0  1
    score, label = np.array([9, 5, 5, 5, 1]), np.array([1, 1, 0, 0, 1])

    assert metrics.precision_at_k(score, label, 2) == pytest.approx((1 + 1 / 3) / 2)
    assert metrics.recall_at_k(score, label, 2) == pytest.approx((1 + 1 / 3) / 3)


def test_a_budget_beyond_the_rows_takes_all_of_them():
    score, label = np.array([3, 2, 1]), np.array([0, 1, 0])

    assert metrics.precision_at_k(score, label, 100) == pytest.approx(1 / 3)
    assert metrics.recall_at_k(score, label, 100) == 1.0


def test_recall_at_one_percent_allows_one_false_alarm_in_a_hundred():
    # 100 negatives at 0..99; positives at 98.5 (one negative above) and 97.5 (two above)
    score = np.concatenate([np.arange(100), [98.5, 97.5]])
    label = np.concatenate([np.zeros(100), np.ones(2)])

    assert metrics.recall_at_fpr(score, label, 0.01) == 0.5


def test_brier_skill_is_zero_for_the_base_rate():
    label = np.array([1, 0, 0, 0])

    assert metrics.brier_skill(np.full(4, 0.25), label) == pytest.approx(0.0)
    assert metrics.brier_skill(label.astype(float), label) == pytest.approx(1.0)


def test_reliability_bins_hold_equal_positives_and_whole_ties():
    # said   .1 x4 (no positive)   .2 x4 (two positives)   .8 x4 (two positives)
    said = np.repeat([0.1, 0.2, 0.8], 4)
    label = np.array([0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0])

    low, high = metrics.reliability_bins(said, label, bins=2)

    assert (low.rows, low.positives, low.low, low.high) == (8, 2, 0.1, 0.2)
    assert (high.rows, high.positives, high.seen) == (4, 2, 0.5)
    assert low.said == pytest.approx(0.15)
    assert low.seen_low < 0.25 < low.seen_high
    assert metrics.expected_calibration_error(said, label, 2) == pytest.approx(
        (8 * 0.1 + 4 * 0.3) / 12
    )


@pytest.mark.parametrize(
    ("score", "label", "told"),
    [
        ([0.1, 0.2], [0, 0], "found 0 and 2"),
        ([0.1, 0.2], [1, 1], "found 2 and 0"),
        ([], [], "found 0 and 0"),
        ([0.1, np.nan], [0, 1], "1 NaN of 2"),
        ([0.1, 0.2], [0, 2], "found 2"),
        ([0.1], [0, 1], r"got \(1,\) \(2,\)"),
    ],
)
def test_input_that_no_metric_can_use_is_refused(score, label, told):
    with pytest.raises(ValueError, match=told):
        metrics.auprc(np.array(score, dtype=float), np.array(label))


def test_a_probability_outside_the_unit_interval_is_refused():
    with pytest.raises(ValueError, match="found 1.5"):
        metrics.brier(np.array([0.5, 1.5]), np.array([0, 1]))


def test_a_budget_below_one_is_refused():
    with pytest.raises(ValueError, match="got 0"):
        metrics.precision_at_k(np.array([0.5, 0.6]), np.array([0, 1]), 0)


def test_clopper_pearson_matches_the_published_interval():
    # 3 of 20 at 95%: [0.0321, 0.3789] (Newcombe 1998 and any table)
    low, high = metrics.clopper_pearson(3, 20, 0.95)

    assert (round(low, 4), round(high, 4)) == (0.0321, 0.3789)
    assert metrics.clopper_pearson(5, 5, 0.95)[1] == 1.0


def test_the_report_names_budget_and_rate():
    assert list(rank_metrics(7, 0.05)) == [
        "auprc",
        "auroc",
        "recall_at_fpr_0.05",
        "precision_at_budget",
        "recall_at_budget",
        "recall_at_positives",
    ]

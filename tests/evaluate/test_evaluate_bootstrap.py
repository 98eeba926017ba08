import numpy as np
import pytest

from graphguard.evaluate import metrics
from graphguard.evaluate.bootstrap import Bootstrap, intervals, paired_difference
from graphguard.evaluate.ranking import rank_metrics


def noisy_world(seed, positives=80, negatives=800, shift=1.5):
    rng = np.random.default_rng(seed)
    label = np.repeat([1, 0], [positives, negatives])
    score = rng.normal(size=len(label)) + shift * label
    return score, label


def plain_bootstrap(score, label, measure, replicates, seed):
    """Resample rows one by one: slow, and the oracle."""
    rng = np.random.default_rng(seed)
    positive, negative = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    values = []
    for _ in range(replicates):
        rows = np.concatenate(
            [rng.choice(positive, len(positive)), rng.choice(negative, len(negative))]
        )
        values.append(measure(score[rows], label[rows]))
    return np.quantile(values, [0.025, 0.975])


@pytest.mark.parametrize("name", ["auprc", "auroc", "recall_at_fpr_0.01", "precision_at_budget"])
def test_intervals_agree_with_resampling_rows_one_by_one(name):
    score, label = noisy_world(1)
    score = np.round(score, 1)  # with ties
    measure = {
        "auprc": metrics.auprc,
        "auroc": metrics.auroc,
        "recall_at_fpr_0.01": metrics.recall_at_fpr,
        "precision_at_budget": lambda s, y: metrics.precision_at_k(s, y, 50),
    }[name]

    found = intervals(score, label, rank_metrics(50), Bootstrap(2000))[name]
    low, high = plain_bootstrap(score, label, measure, 2000, seed=5)

    assert found.value == pytest.approx(measure(score, label))
    width = high - low
    assert found.low == pytest.approx(low, abs=0.12 * width)
    assert found.high == pytest.approx(high, abs=0.12 * width)


def test_paired_difference_agrees_with_resampling_rows_one_by_one():
    score, label = noisy_world(2)
    other = score + np.random.default_rng(3).normal(size=len(score))
    rng = np.random.default_rng(4)
    positive, negative = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    gaps = []
    for _ in range(1500):
        rows = np.concatenate(
            [rng.choice(positive, len(positive)), rng.choice(negative, len(negative))]
        )
        gaps.append(
            metrics.auprc(score[rows], label[rows]) - metrics.auprc(other[rows], label[rows])
        )
    low, high = np.quantile(gaps, [0.025, 0.975])

    found = paired_difference((score, other), label, rank_metrics(50), Bootstrap(1500))["auprc"]

    assert found.low == pytest.approx(low, abs=0.15 * (high - low))
    assert found.high == pytest.approx(high, abs=0.15 * (high - low))


def test_a_ranking_does_not_differ_from_itself():
    score, label = noisy_world(5)

    found = paired_difference((score, 2 * score), label, rank_metrics(50))

    assert {(gap.value, gap.low, gap.high) for gap in found.values()} == {(0.0, 0.0, 0.0)}


def test_same_seed_same_interval_and_row_order_does_not_matter():
    score, label = noisy_world(6)
    order = np.random.default_rng(7).permutation(len(score))

    first = intervals(score, label, rank_metrics(20), Bootstrap(200, seed=1))

    assert intervals(score[order], label[order], rank_metrics(20), Bootstrap(200, seed=1)) == first
    assert intervals(score, label, rank_metrics(20), Bootstrap(200, seed=2)) != first


def test_nine_in_ten_intervals_hold_the_truth():
    # Two normal laws 1.5 apart: AUROC = Phi(1.5 / sqrt 2) = 0.8556.
    held = 0
    for seed in range(200):
        score, label = noisy_world(seed, positives=60, negatives=300)
        auroc = {"auroc": rank_metrics(1)["auroc"]}
        found = intervals(score, label, auroc, Bootstrap(400, confidence=0.9, seed=seed))["auroc"]
        held += found.low <= 0.8556 <= found.high

    assert 168 <= held <= 192


def test_a_perfect_ranking_has_an_interval_of_width_zero():
    score, label = np.array([4, 3, 2, 1]), np.array([1, 1, 0, 0])

    found = intervals(score, label, rank_metrics(2), Bootstrap(100))

    assert {(each.low, each.high) for each in found.values()} == {(1.0, 1.0)}

"""Metrics of scores against labels, on plain arrays, with ties counted exactly.

Rows with one score are one tie group: a threshold takes all of it, a budget that ends inside it
takes its share. So no metric depends on the order of the rows. Missing classes are a `ValueError`,
never a warning and a made-up number.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from graphguard.evaluate.ranking import Floats, checked, rank_counts


def auprc(score: NDArray[Any], label: NDArray[Any]) -> float:
    """Return the area under the precision-recall curve, as average precision (no interpolation).

    Args:
        score: Higher is more suspicious, shape [n], no NaN.
        label: 0 or 1, shape [n].

    Returns:
        A number in (0, 1]; random scores give the share of positives.

    Raises:
        ValueError: A class is absent, a score is NaN, or shapes differ. All metrics here share
            this.

    >>> auprc(np.array([0.9, 0.8, 0.1]), np.array([1, 0, 1]))  # (1/1 + 2/3) / 2
    0.8333333333333333
    """
    return float(rank_counts(score, label).auprc())


def auroc(score: NDArray[Any], label: NDArray[Any]) -> float:
    """Return the chance that a positive outranks a negative, ties counting one half.

    >>> auroc(np.array([0.9, 0.8, 0.1]), np.array([1, 0, 1]))
    0.5
    """
    return float(rank_counts(score, label).auroc())


def recall_at_fpr(score: NDArray[Any], label: NDArray[Any], max_fpr: float = 0.01) -> float:
    """Return the largest recall of any threshold (score >= t) with FPR at most `max_fpr`.

    >>> recall_at_fpr(np.array([0.9, 0.8, 0.1]), np.array([1, 0, 1]))
    0.5
    """
    return float(rank_counts(score, label).recall_at_fpr(max_fpr))


def precision_at_k(score: NDArray[Any], label: NDArray[Any], k: int) -> float:
    """Return the share of positives among the `k` highest scores (all rows when `k` exceeds them).

    Where the cut falls inside a tie group, the value is the mean over all orders of the group.

    >>> precision_at_k(np.array([0.9, 0.5, 0.5]), np.array([1, 1, 0]), k=2)
    0.75
    """
    return float(rank_counts(score, label).precision_at_k(k))


def recall_at_k(score: NDArray[Any], label: NDArray[Any], k: int) -> float:
    """Return the share of all positives among the `k` highest scores, ties as in `precision_at_k`.

    >>> recall_at_k(np.array([0.9, 0.5, 0.5]), np.array([1, 1, 0]), k=1)
    0.5
    """
    return float(rank_counts(score, label).recall_at_k(k))


def brier(probability: NDArray[Any], label: NDArray[Any]) -> float:
    """Return the mean squared error of the probabilities; 0 is perfect.

    >>> brier(np.array([0.5, 0.0]), np.array([1, 0]))
    0.125
    """
    values, positive = _probabilities(probability, label)
    return float(np.mean((values - positive) ** 2))


def brier_skill(probability: NDArray[Any], label: NDArray[Any]) -> float:
    """Return 1 - brier / brier of the constant base rate; 0 is no better than the base rate.

    >>> brier_skill(np.array([1.0, 0.0]), np.array([1, 0]))
    1.0
    """
    rate = float(np.mean(label))
    return 1.0 - brier(probability, label) / (rate * (1.0 - rate))


def log_loss(probability: NDArray[Any], label: NDArray[Any]) -> float:
    """Return the mean negative log-likelihood in nats; a sure error (0 for a positive) is infinite.

    >>> round(log_loss(np.array([0.5, 0.5]), np.array([1, 0])), 4)
    0.6931
    """
    values, positive = _probabilities(probability, label)
    with np.errstate(divide="ignore"):
        return float(-np.mean(np.log(np.where(positive, values, 1.0 - values))))


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows of like probability: what was said and what came true.

    Attributes:
        low: Smallest probability in the bin.
        high: Largest probability in the bin.
        rows: Number of rows.
        positives: Number of positives among them.
        said: Mean probability.
        seen: Share of positives.
        seen_low: Lower end of the 95% Clopper-Pearson interval of `seen`.
        seen_high: Upper end.
    """

    low: float
    high: float
    rows: int
    positives: int
    said: float
    seen: float
    seen_low: float
    seen_high: float


def reliability_bins(
    probability: NDArray[Any], label: NDArray[Any], bins: int = 10
) -> tuple[ReliabilityBin, ...]:
    """Cut the rows, by rising probability, into bins that hold about equally many positives.

    With one positive in a thousand, bins of equal width or equal size say nothing about the high
    end; bins of equal positives are as exact everywhere. Tie groups are never split, so there may
    be fewer than `bins` bins.

    Args:
        probability: Shape [n], in [0, 1].
        label: 0 or 1, shape [n].
        bins: Largest number of bins, at least 1.

    Returns:
        The bins, lowest probability first.
    """
    values, positive = _probabilities(probability, label)
    tie_values, tie = np.unique(values, return_inverse=True)
    tie_positives = np.bincount(tie, weights=positive)
    # A tie group goes where its middle positive lies; groups without one go with their neighbours.
    middle = np.cumsum(tie_positives) - tie_positives / 2
    bin_of_tie = np.minimum(middle * bins // tie_positives.sum(), bins - 1).astype(np.int64)
    bin_of_row = bin_of_tie[tie]
    rows = np.bincount(bin_of_row)
    positives = np.bincount(bin_of_row, weights=positive)
    said = np.bincount(bin_of_row, weights=values)
    made = []
    for number in np.unique(bin_of_tie):
        count, found = int(rows[number]), int(positives[number])
        low, high = clopper_pearson(found, count, confidence=0.95)
        inside = tie_values[bin_of_tie == number]
        made.append(
            ReliabilityBin(
                low=float(inside[0]),
                high=float(inside[-1]),
                rows=count,
                positives=found,
                said=float(said[number]) / count,
                seen=found / count,
                seen_low=low,
                seen_high=high,
            )
        )
    return tuple(made)


def expected_calibration_error(
    probability: NDArray[Any], label: NDArray[Any], bins: int = 10
) -> float:
    """Return the mean over rows of |said - seen| of the row's reliability bin.

    >>> expected_calibration_error(np.array([0.2, 0.2, 0.6, 0.6]), np.array([0, 0, 1, 1]), bins=2)
    0.3
    """
    made = reliability_bins(probability, label, bins)
    gap = sum(each.rows * abs(each.said - each.seen) for each in made)
    return round(gap / len(label), 15)


def clopper_pearson(successes: float, trials: float, confidence: float) -> tuple[float, float]:
    """Return the exact two-sided interval of a binomial share.

    Args:
        successes: At most `trials`; need not be whole (an effective count).
        trials: Above 0.
        confidence: Chance that the interval holds the true share, in (0, 1).

    Returns:
        Lower and upper end, in [0, 1]. Each end alone errs with chance (1 - confidence) / 2.

    >>> low, high = clopper_pearson(0, 10, confidence=0.9)
    >>> low, round(high, 4)
    (0.0, 0.2589)
    """
    tail = (1.0 - confidence) / 2.0
    low = betaincinv(successes, trials - successes + 1.0, tail) if successes > 0 else 0.0
    high = (
        betaincinv(successes + 1.0, trials - successes, 1.0 - tail) if successes < trials else 1.0
    )
    return float(low), float(high)


def _probabilities(
    probability: NDArray[Any], label: NDArray[Any]
) -> tuple[Floats, NDArray[np.bool_]]:
    values, positive = checked(probability, label)
    outside = values[(values < 0.0) | (values > 1.0)]
    if len(outside):
        message = f"a probability must lie in [0, 1], found {outside[0]}"
        raise ValueError(message)
    return values, positive

"""Counts along a ranking: all that rank metrics need, for one sample or for many resamples at once.

Rows with one score stand or fall together, so a ranking is a list of tie groups, best first. Groups
without a positive that follow each other are merged: no metric here can tell them apart, and what
is left has at most 2 * positives + 1 groups, however many rows there are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RankCounts:
    """Positives and negatives of each tie group, best score first.

    Attributes:
        positives: Shape [..., groups], float64; leading axes are resamples.
        negatives: Shape [..., groups], float64.
    """

    positives: Floats
    negatives: Floats

    def auprc(self) -> Floats:
        """Average precision: the mean over positives of the precision at their threshold."""
        caught, flagged = self._cumulated()
        precision = _divide(caught, flagged)
        return np.asarray(np.sum(self.positives * precision, axis=-1) / caught[..., -1])

    def auroc(self) -> Floats:
        """Chance that a positive outranks a negative, ties counting one half."""
        above = np.cumsum(self.negatives, axis=-1)
        num_negatives = above[..., -1:]
        below = num_negatives - above + 0.5 * self.negatives
        num_pairs = np.sum(self.positives, axis=-1) * num_negatives[..., 0]
        return np.asarray(np.sum(self.positives * below, axis=-1) / num_pairs)

    def recall_at_fpr(self, max_fpr: float) -> Floats:
        """Largest recall of a threshold whose false-positive rate is at most `max_fpr`."""
        caught, flagged = self._cumulated()
        false = flagged - caught
        allowed = false / false[..., -1:] <= max_fpr
        return np.asarray(np.max(np.where(allowed, caught, 0.0), axis=-1) / caught[..., -1])

    def precision_at_k(self, k: int) -> Floats:
        """Share of positives in the first `k` rows; a tie group at the edge in proportion."""
        _, flagged = self._cumulated()
        size = np.minimum(k, flagged[..., -1])
        return np.asarray(self._caught_by(k) / size)

    def recall_at_k(self, k: int) -> Floats:
        """Share of all positives found in the first `k` rows, ties in proportion."""
        return np.asarray(self._caught_by(k) / np.sum(self.positives, axis=-1))

    def recall_at_positives(self) -> Floats:
        """Share of the positives among as many first rows as there are positives.

        Tang et al. 2023, "GADBench", name it Rec@K.
        """
        # A resample keeps the number of positives, so that one number does for all of them.
        return self.recall_at_k(int(np.sum(self.positives, axis=-1).flat[0]))

    def _cumulated(self) -> tuple[Floats, Floats]:
        caught = np.cumsum(self.positives, axis=-1)
        return caught, caught + np.cumsum(self.negatives, axis=-1)

    def _caught_by(self, k: int) -> Floats:
        if k < 1:
            message = f"k must be 1 or more, got {k}"
            raise ValueError(message)
        size = self.positives + self.negatives
        before = np.cumsum(size, axis=-1) - size
        share = _divide(np.clip(k - before, 0, size), size)
        return np.asarray(np.sum(self.positives * share, axis=-1))


RankMetric = Callable[[RankCounts], Floats]
"""A metric of a ranking: counts of shape [..., groups] to values of shape [...]."""


def rank_metrics(budget: int, max_fpr: float = 0.01) -> dict[str, RankMetric]:
    """Return the metrics every run reports.

    Args:
        budget: Rows that people can review a night, at least 1.
        max_fpr: False-positive rate at which recall is read, in [0, 1].

    Returns:
        Metric by name, in the order of a report.

    >>> list(rank_metrics(200))[:2]
    ['auprc', 'auroc']
    """
    return {
        "auprc": RankCounts.auprc,
        "auroc": RankCounts.auroc,
        f"recall_at_fpr_{max_fpr:g}": partial(RankCounts.recall_at_fpr, max_fpr=max_fpr),
        "precision_at_budget": partial(RankCounts.precision_at_k, k=budget),
        "recall_at_budget": partial(RankCounts.recall_at_k, k=budget),
        "recall_at_positives": RankCounts.recall_at_positives,
    }


def checked(score: NDArray[Any], label: NDArray[Any]) -> tuple[Floats, NDArray[np.bool_]]:
    """Return scores as float64 and labels as bool after checking that a metric can be made of them.

    Args:
        score: Higher is more suspicious, shape [n], no NaN.
        label: 0 or 1, shape [n], both present.

    Raises:
        ValueError: Shapes differ, a score is NaN, a label is neither 0 nor 1, or a class is absent.
    """
    if score.ndim != 1 or score.shape != label.shape:
        message = f"score and label must be one-dimensional alike, got {score.shape} {label.shape}"
        raise ValueError(message)
    values = score.astype(np.float64)
    if np.isnan(values).any():
        message = (
            f"score holds {int(np.isnan(values).sum())} NaN of {len(values)}; drop or fill them"
        )
        raise ValueError(message)
    wrong = label[(label != 0) & (label != 1)]
    if len(wrong):
        message = f"label must be 0 or 1, found {wrong[0]}"
        raise ValueError(message)
    positive = label.astype(np.bool_)
    found = int(positive.sum())
    if found in (0, len(positive)):
        message = (
            f"a metric needs positives and negatives, found {found} and {len(positive) - found}"
        )
        raise ValueError(message)
    return values, positive


def group_of_row(score: Floats, positive: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the merged tie group of each row, best score first, shape [n], int64 from 0."""
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    tie = np.concatenate([[0], np.cumsum(ranked[1:] != ranked[:-1])])
    has_positive = np.bincount(tie, weights=positive[order]) > 0
    opens = has_positive.copy()
    opens[0] = True
    opens[1:] |= has_positive[:-1]
    group = np.empty(len(score), dtype=np.int64)
    group[order] = (np.cumsum(opens) - 1)[tie]
    return group


def rank_counts(score: NDArray[Any], label: NDArray[Any]) -> RankCounts:
    """Count positives and negatives along the ranking.

    Args:
        score: Higher is more suspicious, shape [n].
        label: 0 or 1, shape [n].

    Returns:
        Counts of shape [groups].

    Raises:
        ValueError: See `checked`.

    >>> counts = rank_counts(np.array([0.9, 0.5, 0.5, 0.2, 0.1]), np.array([1, 1, 0, 0, 0]))
    >>> counts.positives.tolist(), counts.negatives.tolist()
    ([1.0, 1.0, 0.0], [0.0, 1.0, 2.0])
    """
    values, positive = checked(score, label)
    return counts_of(group_of_row(values, positive), positive)


def counts_of(group: NDArray[np.int64], positive: NDArray[np.bool_]) -> RankCounts:
    """Count positives and negatives of each group; `group` and `positive` have shape [n]."""
    positives = np.bincount(group, weights=positive).astype(np.float64)
    return RankCounts(positives, np.bincount(group) - positives)


def _divide(part: Floats, whole: Floats) -> Floats:
    # An empty group is possible in a resample; it holds nothing, so its share is never used.
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)

"""Bootstrap intervals of rank metrics, positives and negatives resampled apart.

A resample changes only how often each tie group occurs, so counts per group are drawn
(multinomial), never rows: a million rows with a thousand positives cost what two thousand groups
cost. Two rankings of the same rows are resampled together, which is what makes their difference
sharp.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from graphguard.evaluate.ranking import (
    Floats,
    RankCounts,
    RankMetric,
    checked,
    counts_of,
    group_of_row,
)

_CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Bootstrap:
    """How an interval is made.

    Attributes:
        replicates: Number of resamples.
        confidence: Share of resamples inside the interval, in (0, 1).
        seed: Same seed, same interval.
    """

    replicates: int = 1000
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class Interval:
    """A value with its percentile interval."""

    value: float
    low: float
    high: float


def intervals(
    score: NDArray[Any],
    label: NDArray[Any],
    metrics: Mapping[str, RankMetric],
    settings: Bootstrap | None = None,
) -> dict[str, Interval]:
    """Return each metric with its bootstrap interval.

    Args:
        score: Higher is more suspicious, shape [n].
        label: 0 or 1, shape [n].
        metrics: Metric by name, see `ranking.rank_metrics`.
        settings: Resamples, confidence and seed.

    Returns:
        Interval by metric name. The value is that of the sample, not of the resamples.

    Raises:
        ValueError: A class is absent, a score is NaN, or shapes differ.

    Cost: O(replicates * positives) time, bounded memory.
    """
    settings = settings or Bootstrap()
    values, positive = checked(score, label)
    groups = [group_of_row(values, positive)]
    point = _point(groups[0], positive, metrics)
    drawn: dict[str, list[Floats]] = {name: [] for name in metrics}
    for (counts,) in _resamples(groups, positive, settings):
        for name, metric in metrics.items():
            drawn[name].append(metric(counts))
    return {name: _interval(point[name], drawn[name], settings) for name in metrics}


def paired_difference(
    scores: tuple[NDArray[Any], NDArray[Any]],
    label: NDArray[Any],
    metrics: Mapping[str, RankMetric],
    settings: Bootstrap | None = None,
) -> dict[str, Interval]:
    """Return the difference of each metric between two rankings of the same rows.

    Args:
        scores: Challenger and baseline, each of shape [n].
        label: 0 or 1, shape [n].
        metrics: Metric by name.
        settings: Resamples, confidence and seed.

    Returns:
        Interval of challenger minus baseline by metric name; above 0 the challenger is better.

    Raises:
        ValueError: A class is absent, a score is NaN, or shapes differ.

    Cost: O(replicates * groups that are distinct in both rankings).
    """
    settings = settings or Bootstrap()
    groups, positive = [], np.empty(0, dtype=np.bool_)
    for score in scores:
        values, positive = checked(score, label)
        groups.append(group_of_row(values, positive))
    points = [_point(group, positive, metrics) for group in groups]
    drawn: dict[str, list[Floats]] = {name: [] for name in metrics}
    for challenger, baseline in _resamples(groups, positive, settings):
        for name, metric in metrics.items():
            drawn[name].append(metric(challenger) - metric(baseline))
    return {
        name: _interval(points[0][name] - points[1][name], drawn[name], settings)
        for name in metrics
    }


def _point(
    group: NDArray[np.int64], positive: NDArray[np.bool_], metrics: Mapping[str, RankMetric]
) -> dict[str, float]:
    counts = counts_of(group, positive)
    return {name: float(metric(counts)) for name, metric in metrics.items()}


def _interval(value: float, drawn: list[Floats], settings: Bootstrap) -> Interval:
    tail = (1.0 - settings.confidence) / 2.0
    low, high = np.quantile(np.concatenate(drawn), [tail, 1.0 - tail])
    return Interval(value, float(low), float(high))


def _resamples(
    groups: Sequence[NDArray[np.int64]], positive: NDArray[np.bool_], settings: Bootstrap
) -> Any:
    """Yield, chunk by chunk, one `RankCounts` a ranking with counts of shape [chunk, groups]."""
    rng = np.random.default_rng(settings.seed)
    classes = [_Cells.of(groups, positive), _Cells.of(groups, ~positive)]
    widest = max(len(cells.count) for cells in classes)
    chunk = max(1, min(settings.replicates, _CELLS_AT_ONCE // widest))
    for start in range(0, settings.replicates, chunk):
        size = min(chunk, settings.replicates - start)
        positives, negatives = (cells.draw(rng, size) for cells in classes)
        yield [RankCounts(*pair) for pair in zip(positives, negatives, strict=True)]


@dataclass(frozen=True)
class _Cells:
    """Rows of one class, counted by the groups they have in every ranking.

    `count[i]` rows share cell i; `to_group[r]` adds cells up to the groups of ranking r.
    """

    count: NDArray[np.int64]
    to_group: tuple[csr_array, ...]

    @classmethod
    def of(cls, groups: Sequence[NDArray[np.int64]], inside: NDArray[np.bool_]) -> "_Cells":
        sizes = [int(group.max()) + 1 for group in groups]
        code = np.ravel_multi_index([group[inside] for group in groups], sizes)
        cell, count = np.unique(code, return_counts=True)
        number = np.arange(len(cell))
        ones = np.ones(len(cell))
        to_group = tuple(
            csr_array((ones, (number, group)), shape=(len(cell), size))
            for group, size in zip(np.unravel_index(cell, sizes), sizes, strict=True)
        )
        return cls(count, to_group)

    def draw(self, rng: np.random.Generator, size: int) -> list[Floats]:
        total = int(self.count.sum())
        drawn = rng.multinomial(total, self.count / total, size=size).astype(np.float64)
        return [np.asarray(drawn @ onto) for onto in self.to_group]

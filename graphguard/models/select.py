"""Champion and challengers: which model scores tonight.

A new model takes over only when it is better beyond the luck of the slice; otherwise the model of
the last run stays, so that scores do not jump from night to night between models that are equally
good.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphguard.evaluate.bootstrap import Bootstrap, Interval, intervals, paired_difference
from graphguard.evaluate.ranking import rank_metrics

_DECIDING = ("auprc", "precision_at_budget")


@dataclass(frozen=True)
class Choice:
    """The champion and why.

    Attributes:
        champion: Name of the model that scores.
        reason: The sentence for the report.
        metrics: Interval by metric name, by model name, on the selection slice.
        differences: Interval of challenger minus previous champion by metric name, by challenger;
            empty where there was no previous champion to compare with.
    """

    champion: str
    reason: str
    metrics: Mapping[str, Mapping[str, Interval]]
    differences: Mapping[str, Mapping[str, Interval]]


def choose_champion(
    scores: Mapping[str, NDArray[Any]],
    label: NDArray[Any],
    budget: int,
    previous: str | None = None,
    settings: Bootstrap | None = None,
) -> Choice:
    """Choose the model that scores, on the selection slice.

    A challenger wins when the paired bootstrap intervals of its AUPRC and of its precision at the
    review budget both lie above the previous champion's; where the previous champion's precision is
    already the highest there can be, equal precision is enough. Several challengers share the error
    (Bonferroni), and the winner of highest AUPRC takes over.

    Args:
        scores: Model name to its scores of the slice, each of shape [n], simplest model first.
        label: 0 or 1, shape [n].
        budget: Rows that people can review a night, at least 1.
        previous: Champion of the last run; None, or a model not in `scores`, means there is none,
            and the highest AUPRC is taken (the earlier model on a tie).
        settings: Resamples, confidence and seed of the bootstrap.

    Returns:
        The choice with its reason.

    Raises:
        ValueError: `scores` is empty, or a metric cannot be made of a model's scores.
    """
    if not scores:
        message = "no model to choose from: training.models is empty"
        raise ValueError(message)
    settings = settings or Bootstrap()
    every = rank_metrics(budget)
    metrics = {name: intervals(score, label, every, settings) for name, score in scores.items()}
    if previous is None or previous not in scores:
        best = max(scores, key=lambda name: metrics[name]["auprc"].value)
        return Choice(best, _first_reason(best, previous, metrics), metrics, {})
    challengers = [name for name in scores if name != previous]
    shared = replace(
        settings, confidence=1.0 - (1.0 - settings.confidence) / max(len(challengers), 1)
    )
    deciding = {name: every[name] for name in _DECIDING}
    differences = {
        name: paired_difference((scores[name], scores[previous]), label, deciding, shared)
        for name in challengers
    }
    size = min(budget, len(label))
    ceiling = min(1.0, float(np.sum(label)) / size)
    saturated = metrics[previous]["precision_at_budget"].value >= ceiling
    winners = [name for name in challengers if _wins(differences[name], saturated=saturated)]
    if not winners:
        reason = _stay_reason(previous, differences)
        return Choice(previous, reason, metrics, differences)
    best = max(winners, key=lambda name: metrics[name]["auprc"].value)
    reason = f"'{best}' replaces '{previous}': {_told(differences[best])}"
    return Choice(best, reason, metrics, differences)


def _wins(difference: Mapping[str, Interval], *, saturated: bool) -> bool:
    precision = difference["precision_at_budget"]
    holds = precision.low > 0 or (saturated and precision.value >= 0)
    return difference["auprc"].low > 0 and holds


def _first_reason(
    best: str, previous: str | None, metrics: Mapping[str, Mapping[str, Interval]]
) -> str:
    value = metrics[best]["auprc"].value
    told = (
        f"'{best}' has the highest AUPRC of {len(metrics)} models, {value:.3f}"
        if len(metrics) > 1
        else f"'{best}' is the only model, AUPRC {value:.3f}"
    )
    if previous is None:
        return f"no champion before: {told}"
    return f"the champion before, '{previous}', was not trained: {told}"


def _stay_reason(previous: str, differences: Mapping[str, Mapping[str, Interval]]) -> str:
    if not differences:
        return f"'{previous}' stays: it has no challenger"
    nearest = max(differences, key=lambda name: differences[name]["auprc"].value)
    return (
        f"'{previous}' stays: '{nearest}' does not win AUPRC and precision at the review budget "
        f"beyond chance, {_told(differences[nearest])}"
    )


def _told(difference: Mapping[str, Interval]) -> str:
    parts = []
    for name, words in zip(_DECIDING, ("AUPRC", "precision at budget"), strict=True):
        gap = difference[name]
        parts.append(f"{words} {gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]")
    return ", ".join(parts)

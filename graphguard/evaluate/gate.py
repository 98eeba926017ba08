"""The drift gate: may tonight's scores be acted on without a person looking first?

Probabilities and thresholds were proven on the newest anchor whose labels are known. They hold
tonight only if the rows look as they did then (columns), the model says of them what it said then
(scores, and how many are among the highest: more abuse than ever shows there; Lipton et al. 2018,
"Detecting and Correcting for Label Shift"), and labels have kept coming as they did (a backlog of
reviewers, or a change of what they decide, makes every probability wrong though no row has
changed). Red means: only reviews leave.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, logit

from graphguard.evaluate.drift import (
    ColumnDrift,
    DriftLimits,
    DriftReport,
    Past,
    Verdict,
    column_drift,
    drift_report,
)

SMALLEST = 1e-12
"""Scores are kept this far from 0 and 1 when their log-odds are compared."""


@dataclass(frozen=True)
class LabelCount:
    """New positives of one anchor's horizon.

    Attributes:
        positives: Independent ones: users of one component count as one.
        rows: Rows that could have become positive.
    """

    positives: int
    rows: int


@dataclass(frozen=True)
class LabelFlow:
    """Whether labels come as they did.

    Attributes:
        ratio: Positives of the newest anchor over those expected from the anchors before, of which
            at least one is expected.
        p_value: Chance of such a change, or a larger one, under equal rates.
        newest: Of the newest anchor.
        before: Of the anchors before, together.
        verdict: 'green' or 'red'.
    """

    ratio: float
    p_value: float
    newest: LabelCount
    before: LabelCount
    verdict: Verdict


@dataclass(frozen=True)
class TailShift:
    """How many rows score above what few did at the reference.

    Attributes:
        quantile: Of the reference's scores.
        ratio: Share of tonight's rows above it, over that of the reference's rows.
        p_value: Chance of as many in as large a night.
        verdict: 'green' or 'red'.
    """

    quantile: float
    ratio: float
    p_value: float
    verdict: Verdict


@dataclass(frozen=True)
class GateInputs:
    """What the gate looks at, oldest anchor first.

    Attributes:
        rows: Features of each anchor, tonight's last, each [rows, columns].
        names: Column names.
        scores: The model's raw probabilities of anchors that did not train it, tonight's last, each
            of shape [rows].
        labels: Counts of the anchors whose labels are known; the last is the reference.
        past: Gains of the model; its anchors are not read.
    """

    rows: Sequence[NDArray[Any]]
    names: Sequence[str]
    scores: Sequence[NDArray[Any]]
    labels: Sequence[LabelCount]
    past: Past


@dataclass(frozen=True)
class GateReport:
    """The verdict, the sentence that gives it, and its parts."""

    verdict: Verdict
    reason: str
    features: DriftReport
    score: ColumnDrift
    tail: tuple[TailShift, ...]
    labels: LabelFlow | None


def drift_gate(night: GateInputs, limits: DriftLimits | None = None) -> GateReport:
    """Compare tonight with the anchor that calibrated the model.

    Args:
        night: Rows, scores and labels of past anchors and of tonight.
        limits: Where amber and red begin.

    Returns:
        The report; red where one of its parts is.

    Raises:
        ValueError: There are fewer than two anchors of rows or scores, or one is empty.
    """
    limits = limits or DriftLimits()
    for what, anchors in (("rows", night.rows), ("scores", night.scores)):
        if len(anchors) < 2:
            message = f"drift needs {what} of two anchors, got {len(anchors)}"
            raise ValueError(message)
    past = Past(night.rows[:-2], night.past.gains)
    features = drift_report(night.rows[-2], night.rows[-1], night.names, limits, past)
    inner = [np.clip(one.astype(np.float64), SMALLEST, 1 - SMALLEST) for one in night.scores]
    # A model grown anew, of few positives, scores a little differently every night.
    lenient = replace(limits, red=limits.score, amber=limits.red)
    score = column_drift("score", [logit(one) for one in inner], lenient, limits.alpha)
    tail = score_tail(night.scores[-2], night.scores[-1], limits)
    labels = label_flow(night.labels, limits) if len(night.labels) > 1 else None
    verdict, reason = _verdict(features, score, tail, labels)
    return GateReport(verdict, reason, features, score, tail, labels)


def score_tail(
    before: NDArray[Any], now: NDArray[Any], limits: DriftLimits | None = None
) -> tuple[TailShift, ...]:
    """Count the rows above high quantiles of the reference.

    Args:
        before: Scores of the reference, shape [n].
        now: Tonight's scores, shape [m].
        limits: Quantiles, and the ratio from which each is red.

    Returns:
        One shift a quantile.

    >>> [round(shift.ratio) for shift in score_tail(np.arange(100.0), np.arange(100.0) + 10)]
    [3, 11]
    """
    limits = limits or DriftLimits()
    found = []
    for quantile, most in limits.tail:
        # Ties of the reference at its quantile stay below, on both sides.
        edge = np.quantile(before, quantile, method="lower")
        usual = max(float(np.mean(before > edge)), 1 / len(before))
        above = int(np.sum(now > edge))
        p_value = float(betainc(above, len(now) - above + 1, usual)) if above else 1.0
        ratio = above / len(now) / usual
        red = ratio >= most and p_value < limits.label_alpha
        found.append(TailShift(quantile, ratio, p_value, "red" if red else "green"))
    return tuple(found)


def label_flow(counts: Sequence[LabelCount], limits: DriftLimits | None = None) -> LabelFlow:
    """Compare the newest anchor's rate of positives with that of the anchors before.

    Args:
        counts: Two or more anchors, oldest first.
        limits: Factor and chance from which a change is drift.

    Returns:
        The flow. The test is binomial, given the sum of positives, two-sided by doubling.

    >>> flow = label_flow([LabelCount(40, 1000), LabelCount(3, 1000)])
    >>> flow.verdict, round(flow.ratio, 3)
    ('red', 0.075)
    """
    limits = limits or DriftLimits()
    newest = counts[-1]
    before = LabelCount(
        sum(one.positives for one in counts[:-1]), sum(one.rows for one in counts[:-1])
    )
    share = newest.rows / max(newest.rows + before.rows, 1)
    total, seen = newest.positives + before.positives, newest.positives
    # P(X >= k) = I_p(k, n - k + 1); P(X <= k) is that of the rest.
    more = float(betainc(seen, total - seen + 1, share)) if seen else 1.0
    fewer = float(betainc(total - seen, seen + 1, 1.0 - share)) if total > seen else 1.0
    p_value = min(1.0, 2 * min(more, fewer))
    expected = before.positives * newest.rows / max(before.rows, 1)
    ratio = seen / max(expected, 1.0)
    rates = [one.positives / max(one.rows, 1) for one in counts]
    beyond = limits.label_beyond
    more_than_ever = ratio >= limits.label_ratio and rates[-1] >= beyond * max(rates[:-1])
    fewer_than_ever = ratio <= 1 / limits.label_ratio and rates[-1] <= min(rates[:-1]) / beyond
    far = more_than_ever or fewer_than_ever
    red = far and p_value < limits.label_alpha
    return LabelFlow(ratio, p_value, newest, before, "red" if red else "green")


def _verdict(
    features: DriftReport,
    score: ColumnDrift,
    tail: tuple[TailShift, ...],
    labels: LabelFlow | None,
) -> tuple[Verdict, str]:
    red = []
    for shift in tail:
        if shift.verdict == "red":
            red.append(
                f"{shift.ratio:.2g} times as many users score above the {shift.quantile:.0%} mark"
            )
            break
    if score.verdict == "red":
        red.append(
            f"the score has moved (PSI {score.psi:.2f}, usual {score.usual:.2f}, KS {score.ks:.2f})"
        )
    if labels is not None and labels.verdict == "red":
        red.append(
            f"new positives come {labels.ratio:.2g} times as often as before "
            f"({labels.newest.positives} independent ones in {labels.newest.rows} rows, "
            f"{labels.before.positives} in {labels.before.rows} before)"
        )
    if features.verdict == "red":
        red.append(features.reason)
    if red:
        return "red", "; ".join(red)
    if score.verdict == "amber":
        return "amber", f"the score has moved (PSI {score.psi:.2f}); {features.reason}"
    return features.verdict, features.reason

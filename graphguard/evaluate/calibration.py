"""Do probabilities mean what they say? The figures of a reliability diagram, on plain arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from graphguard.evaluate.metrics import (
    ReliabilityBin,
    brier_skill,
    expected_calibration_error,
    reliability_bins,
)
from graphguard.evaluate.ranking import Floats, checked

SMALLEST = 1e-12
"""Probabilities are kept this far from 0 and 1 when their log-odds are taken."""
TOP = 0.01
"""Share of the rows that is the top."""


@dataclass(frozen=True)
class Line:
    """logit(p) = slope * logit(said) + shift."""

    slope: float
    shift: float


@dataclass(frozen=True)
class Prior:
    """A normal prior on a line's slope, and the slopes allowed."""

    spread: float
    lowest: float
    highest: float
    expected: float = 1.0


@dataclass(frozen=True)
class CalibrationReport:
    """How far probabilities can be believed.

    Attributes:
        slope: Of the log-odds that fit best against those said (Cox 1958): below 1 the scores are
            too sure, above 1 too timid.
        shift: Of the same line.
        diagram_slope: Of the straight line through the reliability diagram, row by row.
        expected_over_observed: Expected over observed positives of each of the bins, lowest first.
        brier_skill: 1 - Brier score over that of the base rate.
        ece: Expected calibration error over the bins.
        top_said: Mean probability of the highest hundredth of the rows.
        top_seen: Share of positives there.
        bins: The bins, of like numbers of positives.
    """

    slope: float
    shift: float
    diagram_slope: float
    expected_over_observed: tuple[float, ...]
    brier_skill: float
    ece: float
    top_said: float
    top_seen: float
    bins: tuple[ReliabilityBin, ...]


def calibration_report(
    probability: NDArray[Any], label: NDArray[Any], bins: int = 10
) -> CalibrationReport:
    """Hold probabilities against what came true.

    Args:
        probability: Shape [n], in [0, 1].
        label: 0 or 1, shape [n], both present.
        bins: Largest number of bins of like numbers of positives.

    Returns:
        The report. Rows tied with the last of the top hundredth belong to it.

    Raises:
        ValueError: A class is absent, shapes differ, or a probability lies outside [0, 1].

    Cost: O(n log n).
    """
    made = reliability_bins(probability, label, bins)
    values, positive = checked(probability, label)
    line = fit_line(logit(np.clip(values, SMALLEST, 1 - SMALLEST)), positive)
    count = max(1, int(len(values) * TOP))
    top = values >= np.partition(values, -count)[-count]
    spread = values - values.mean()
    over = float(spread @ spread)
    return CalibrationReport(
        slope=line.slope,
        shift=line.shift,
        diagram_slope=float(spread @ positive) / over if over else 0.0,
        expected_over_observed=tuple(one.said / one.seen for one in made if one.positives),
        brier_skill=brier_skill(probability, label),
        ece=expected_calibration_error(probability, label, bins),
        top_said=float(values[top].mean()),
        top_seen=float(positive[top].mean()),
        bins=made,
    )


def fit_line(
    log_odds: Floats, positive: NDArray[Any], weight: float = 1.0, prior: Prior | None = None
) -> Line:
    """Fit the line of log-odds that makes the labels likeliest.

    Args:
        log_odds: Log-odds said, shape [n].
        positive: Whether each row is positive, shape [n].
        weight: What a row counts against the prior.
        prior: Where the slope is expected; None: anywhere above 0.

    Returns:
        The line.

    Cost: O(n) an iteration, some tens of them.
    """
    fit = _fitted(log_odds, positive, np.zeros(len(log_odds), dtype=np.int64), weight, prior)
    return Line(float(fit[0]), float(fit[1]))


def fit_slope(
    log_odds: Floats,
    positive: NDArray[Any],
    part: NDArray[Any],
    weight: float = 1.0,
    prior: Prior | None = None,
) -> float:
    """As `fit_line`, with a shift for each part of the rows: the slope within parts alone.

    Args:
        log_odds: Log-odds said, shape [n].
        positive: Whether each row is positive, shape [n].
        part: Part of each row, shape [n].
        weight: What a row counts against the prior.
        prior: Where the slope is expected; None: anywhere above 0.
    """
    place = np.unique(part, return_inverse=True)[1].astype(np.int64)
    return float(_fitted(log_odds, positive, place, weight, prior)[0])


def _fitted(
    log_odds: Floats,
    positive: NDArray[Any],
    place: NDArray[np.int64],
    weight: float,
    prior: Prior | None,
) -> Floats:
    """Slope, and the shift of each part."""
    where = prior or Prior(np.inf, 0.0, 100.0)
    hits = np.asarray(positive, dtype=np.float64)
    parts = int(place.max(initial=0)) + 1

    def loss(at: Floats) -> tuple[float, Floats]:
        slope, shift = at[0], at[1:]
        said = shift[place] + slope * log_odds
        missed = expit(said) - hits
        value = weight * float(np.sum(np.logaddexp(0.0, said) - hits * said))
        value += (slope - where.expected) ** 2 / (2 * where.spread**2)
        steep = weight * float(missed @ log_odds) + (slope - where.expected) / where.spread**2
        level = weight * np.bincount(place, missed, minlength=parts)
        # Scaled by the rows: the search stops at the same nearness however many there are.
        return value / len(said), np.concatenate([[steep], level]) / len(said)

    bounds = [(where.lowest, where.highest), *[(-50.0, 50.0)] * parts]
    start = np.array([min(max(1.0, where.lowest), where.highest), *[0.0] * parts])
    options = {"ftol": 1e-13, "gtol": 1e-9, "maxiter": 500}
    fit = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B", options=options)
    return np.asarray(fit.x)

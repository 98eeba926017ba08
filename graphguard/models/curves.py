"""The forms that a calibration may have, and how each is fitted to counted rows."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, log_expit, logit

from graphguard.evaluate.calibration import Line
from graphguard.evaluate.ranking import Floats

Method = Literal["logistic", "beta", "isotonic"]


@dataclass(frozen=True)
class Curve:
    """An increasing map from the log-odds of a score to those of a probability.

    Attributes:
        coefficients: a, b, c of logit(p) = a * log(s) - b * log(1 - s) + c; unused with knots.
        knots: Log-odds of the score at block centres, rising; empty unless isotonic.
        values: Probability at each knot, not falling.
    """

    coefficients: tuple[float, float, float] = (1.0, 1.0, 0.0)
    knots: tuple[float, ...] = ()
    values: tuple[float, ...] = ()

    def at(self, log_odds: Floats) -> Floats:
        """Return the log-odds of the fitted probability."""
        if self.knots:
            return np.asarray(logit(np.interp(log_odds, self.knots, self.values)))
        a, b, c = self.coefficients
        return np.asarray(a * log_expit(log_odds) - b * log_expit(-log_odds) + c)

    def moved(self, transfer: Line) -> "Curve":
        """Return the curve with slope and shift of its log-odds changed."""
        slope, shift = transfer.slope, transfer.shift
        if self.knots:
            values = expit(shift + slope * logit(np.asarray(self.values)))
            return Curve(knots=self.knots, values=tuple(values.tolist()))
        a, b, c = self.coefficients
        return Curve(coefficients=(slope * a, slope * b, slope * c + shift))


def fit_curve(method: Method, log_odds: Floats, positives: Floats, negatives: Floats) -> Curve:
    """Fit one form to counted rows.

    Args:
        method: The form.
        log_odds: Log-odds of the score of each cell, shape [cells], rising.
        positives: Positives in each cell, shape [cells].
        negatives: Negatives in each cell.

    Returns:
        The curve; finite where scores separate the classes too.
    """
    if method == "isotonic":
        return _fit_isotonic(log_odds, positives, negatives)
    return _fit_beta(log_odds, positives, negatives, tied=method == "logistic")


def _fit_beta(log_odds: Floats, positives: Floats, negatives: Floats, *, tied: bool) -> Curve:
    """Maximise the likelihood over a, b >= 0 and c; `tied` asks for a = b."""
    found, lacking = positives.sum(), negatives.sum()
    # Platt's targets stand for one unseen row of each class: separable scores keep a finite slope.
    ones = positives * (found + 1) / (found + 2) + negatives / (lacking + 2)
    zeros = positives + negatives - ones
    columns = np.stack([log_expit(log_odds), -log_expit(-log_odds), np.ones_like(log_odds)])
    if tied:
        columns = np.stack([log_odds, columns[2]])
    scale = max(min(found, lacking), 1.0)

    def loss(weights: Floats) -> tuple[float, Floats]:
        said = weights @ columns
        value = -np.sum(ones * log_expit(said)) - np.sum(zeros * log_expit(-said))
        slope = columns @ ((ones + zeros) * expit(said) - ones)
        return float(value / scale), np.asarray(slope / scale)

    start = np.ones(len(columns))
    start[-1] = 0.0
    bounds = [(0.0, 20.0)] * (len(columns) - 1) + [(-200.0, 200.0)]
    options = {"ftol": 1e-13, "gtol": 1e-9, "maxiter": 500}
    fit = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B", options=options)
    weights = [float(weight) for weight in fit.x]
    return Curve(coefficients=(weights[0], weights[-2], weights[-1]))


def _fit_isotonic(log_odds: Floats, positives: Floats, negatives: Floats) -> Curve:
    rows = positives + negatives
    present = rows > 0
    share = positives[present] / rows[present]
    fit = isotonic_regression(share, weights=rows[present])
    block = np.repeat(np.arange(len(fit.blocks) - 1), np.diff(fit.blocks))
    weight = np.bincount(block, weights=rows[present])
    centre = np.bincount(block, weights=rows[present] * log_odds[present]) / weight
    # No finite slice shows that a chance is 0 or 1: half a row of doubt is left at both ends.
    lowest = 0.5 / (negatives.sum() + 1.0)
    highest = 1.0 - 0.5 / (positives.sum() + 1.0)
    value = np.clip(fit.x[fit.blocks[:-1]], lowest, highest)
    return Curve(knots=tuple(centre.tolist()), values=tuple(value.tolist()))

"""The forms that a calibration may have, and how each is fitted to counted rows."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, log_expit, logit

from graphguard.evaluate.calibration import Line
from graphguard.evaluate.ranking import Floats
from graphguard.models.cells import Counted

Method = Literal["logistic", "beta", "isotonic", "mean"]
STAIRS: dict[Method, float] = {"logistic": 0.0, "beta": 0.0, "isotonic": 1.0, "mean": 0.5}
"""What the isotonic curve weighs beside the smooth one."""


@dataclass(frozen=True)
class Curve:
    """An increasing map from the log-odds of a score to those of a probability.

    Attributes:
        coefficients: a, b, c of logit(p) = a * log(s) - b * log(1 - s) + c, the smooth curve.
        knots: Log-odds of the score at block centres, rising; empty without an isotonic curve.
        values: Probability at each knot, not falling.
        stairs: Weight of the isotonic probability in the mean with the smooth one, in [0, 1].
        line: Changes the log-odds of that mean.
    """

    coefficients: tuple[float, float, float] = (1.0, 1.0, 0.0)
    knots: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    stairs: float = 0.0
    line: Line = Line(1.0, 0.0)

    def at(self, log_odds: Floats) -> Floats:
        """Return the log-odds of the fitted probability."""
        return np.asarray(self.line.slope * self._mean(log_odds) + self.line.shift)

    def moved(self, line: Line) -> "Curve":
        """Return the curve with slope and shift of its log-odds changed."""
        slope, shift = line.slope, line.shift
        return replace(self, line=Line(slope * self.line.slope, slope * self.line.shift + shift))

    def _mean(self, log_odds: Floats) -> Floats:
        """Log-odds of the mean of both curves."""
        a, b, c = self.coefficients
        smooth = a * log_expit(log_odds) - b * log_expit(-log_odds) + c
        if not self.stairs:
            return np.asarray(smooth)
        high = np.interp(log_odds, self.knots, self.values)
        if self.stairs == 1:
            return np.asarray(logit(high))
        # Complements are added up apart: 1 - p has no digits left where p is nearly 1.
        own, other = self.stairs, 1.0 - self.stairs
        bad = own * high + other * expit(smooth)
        good = own * (1.0 - high) + other * expit(-smooth)
        return np.asarray(np.log(bad) - np.log(good))


def fit_curve(method: Method, rows: Counted) -> Curve:
    """Fit one form to counted rows; 'mean' is that of the beta and the isotonic curve.

    Returns:
        The curve; finite where scores separate the classes too.
    """
    stairs = STAIRS[method]
    counted = (rows.log_odds, rows.positives, rows.negatives)
    smooth = Curve() if stairs == 1 else _fit_beta(*counted, tied=method == "logistic")
    steps = _drawn_isotonic(rows) if stairs else Curve()
    return Curve(smooth.coefficients, steps.knots, steps.values, stairs)


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


def _drawn_isotonic(rows: Counted) -> Curve:
    """The mean of isotonic curves over all draws (bagging, Breiman 1996).

    One fit is too sure of its steps: each stands on the few rings that happen to lie there.
    """
    fits = [_fit_isotonic(rows.log_odds, each, rows.negatives) for each in rows.drawn]
    knots = np.unique(np.concatenate([one.knots for one in fits]))
    values = np.mean([np.interp(knots, one.knots, one.values) for one in fits], axis=0)
    # Sums in another order may differ in the last bits.
    rising = np.maximum.accumulate(values)
    return Curve(knots=tuple(knots.tolist()), values=tuple(rising.tolist()))


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

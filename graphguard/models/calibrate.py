"""From a model's own probability to the chance that a row is enforced: calibration.

Fitted on a later slice than the model, at the true prevalence. Three forms compete by
cross-validated log loss inside the slice: logistic (Platt 1999), beta (Kull et al. 2017, "Beta
calibration") and isotonic (pool adjacent violators, centred as in Oron and Flournoy 2017). All are
strictly increasing, so calibration never changes who ranks above whom.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, log_expit, logit

from graphguard.errors import ArtefactInvalid, TooFewLabels
from graphguard.evaluate.ranking import Floats
from graphguard.models.base import read_json_object

Method = Literal["logistic", "beta", "isotonic"]

FEWEST_POSITIVES: dict[Method, int] = {"logistic": 1, "beta": 20, "isotonic": 200}
"""Positives and negatives from which a form takes part: a freer form needs more to be fitted on."""
FOLDS = 5

_LOWEST, _HIGHEST = 1e-46, 1.0 - 1e-8
"""Scores are kept inside; every float32 in [0, 1] stays distinct."""
_TIE_BREAK = 1e-6
"""Weight of the raw log-odds in the result: moves no probability by more, and leaves no tie."""
_CELL = 1e-3
"""Scores whose log-odds agree to this are fitted as one: a million rows become a few thousand."""


@dataclass(frozen=True)
class Calibrator:
    """A strictly increasing map from scores to probabilities.

    Attributes:
        method: The form that won.
        coefficients: a, b, c of logit(p) = a * log(s) - b * log(1 - s) + c, with a, b at least 0;
            a = b for 'logistic'; unused for 'isotonic'.
        knots: Log-odds of the score at block centres, rising; empty unless 'isotonic'.
        values: Probability at each knot, not falling.
        rows: Rows fitted on.
        positives: Positives among them.
        log_loss: Cross-validated log loss in nats by form; empty where only one form took part.
    """

    method: Method
    coefficients: tuple[float, float, float]
    knots: tuple[float, ...]
    values: tuple[float, ...]
    rows: int
    positives: int
    log_loss: Mapping[str, float]

    def apply(self, score: NDArray[Any]) -> Floats:
        """Return calibrated probabilities.

        Args:
            score: The model's probability, shape [n], in [0, 1].

        Returns:
            Shape [n], float64 in [0, 1], in the strict order of `score`. Keep it float64: float32
            would make ties of the smallest differences.

        Raises:
            ValueError: A score is NaN or outside [0, 1].
        """
        inner = _inner(score)
        log_odds = _log_odds(inner)
        if self.method == "isotonic":
            fitted = np.interp(log_odds, self.knots, self.values)
        else:
            a, b, c = self.coefficients
            fitted = expit(a * np.log(inner) - b * np.log1p(-inner) + c)
        lowest, highest = logit(_LOWEST), logit(_HIGHEST)
        place = (log_odds - lowest) / (highest - lowest)
        return np.asarray((1.0 - _TIE_BREAK) * fitted + _TIE_BREAK * place)

    def save(self, path: Path) -> None:
        """Write the numbers as JSON; equal calibrators make equal bytes."""
        text = json.dumps(asdict(self), indent=2, sort_keys=True, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ArtefactInvalid: The file is missing, damaged, or no increasing map.
        """
        content = read_json_object(path)
        try:
            a, b, c = (float(value) for value in content["coefficients"])
            made = cls(
                method=content["method"],
                coefficients=(a, b, c),
                knots=tuple(float(value) for value in content["knots"]),
                values=tuple(float(value) for value in content["values"]),
                rows=int(content["rows"]),
                positives=int(content["positives"]),
                log_loss={str(key): float(value) for key, value in content["log_loss"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtefactInvalid(path, f"not a calibrator ({error!r})") from error
        fault = made._fault()
        if fault:
            raise ArtefactInvalid(path, fault)
        return made

    def _fault(self) -> str | None:
        if self.method not in FEWEST_POSITIVES:
            return f"unknown method '{self.method}' (known: {', '.join(FEWEST_POSITIVES)})"
        numbers = np.array([*self.coefficients, *self.knots, *self.values])
        if not np.isfinite(numbers).all():
            return "holds a number that is not finite"
        if min(self.coefficients[:2]) < 0:
            return f"coefficients a and b must be 0 or more, found {self.coefficients}"
        if len(self.knots) != len(self.values) or (self.method == "isotonic") != bool(self.knots):
            return f"{len(self.knots)} knots and {len(self.values)} values for '{self.method}'"
        if (np.diff(self.knots) <= 0).any() or (np.diff(self.values) < 0).any():
            return "knots must rise and values must not fall"
        if self.values and not 0 <= self.values[0] <= self.values[-1] <= 1:
            return f"values must lie in [0, 1], found {self.values[0]} to {self.values[-1]}"
        return None


def fit_calibrator(score: NDArray[Any], label: NDArray[Any]) -> Calibrator:
    """Fit the forms that the number of positives allows and keep the simplest good one.

    A freer form must beat a simpler one by more than the standard error of the difference. Folds
    are shuffled ranks of each class, so the result does not depend on row order.

    Args:
        score: The model's probability on a slice it was not fitted on, shape [n], in [0, 1].
        label: 1 enforced inside the horizon, 0 not, shape [n]; no row left out or reweighted.

    Returns:
        The winning calibrator.

    Raises:
        TooFewLabels: The slice lacks positives or negatives.
        ValueError: A score is NaN or outside [0, 1].

    Cost: O(n log n); under a second for a million rows.
    """
    inner = _inner(score)
    positives = int(np.sum(label))
    scarce = min(positives, len(inner) - positives)
    if scarce == 0:
        raise TooFewLabels(
            where="calibration slice",
            positives=positives,
            negatives=len(inner) - positives,
            needed=1,
        )
    cells = _cells(inner, label)
    methods = [method for method, fewest in FEWEST_POSITIVES.items() if scarce >= fewest]
    losses = _cross_validated(cells, methods) if len(methods) > 1 else {}
    winner = _simplest_good(cells, losses)
    count = np.stack([cells.positives, cells.negatives])
    curve = _fit(winner, cells.log_odds, cells.positives.sum(axis=0), cells.negatives.sum(axis=0))
    return Calibrator(
        method=winner,
        coefficients=curve.coefficients,
        knots=curve.knots,
        values=curve.values,
        rows=len(inner),
        positives=positives,
        log_loss={
            str(method): float(np.sum(count * loss) / len(inner)) for method, loss in losses.items()
        },
    )


@dataclass(frozen=True)
class _Cells:
    """Rows of nearly one score, counted by class and fold.

    `log_odds` has shape [cells], rising; `positives` and `negatives` have shape [FOLDS, cells].
    """

    log_odds: Floats
    positives: Floats
    negatives: Floats


@dataclass(frozen=True)
class _Curve:
    coefficients: tuple[float, float, float] = (1.0, 1.0, 0.0)
    knots: tuple[float, ...] = ()
    values: tuple[float, ...] = ()

    def at(self, log_odds: Floats) -> Floats:
        """Return the log-odds of the fitted probability."""
        if self.knots:
            return np.asarray(logit(np.interp(log_odds, self.knots, self.values)))
        a, b, c = self.coefficients
        return np.asarray(a * log_expit(log_odds) - b * log_expit(-log_odds) + c)


def _cells(inner: Floats, label: NDArray[Any]) -> _Cells:
    log_odds = _log_odds(inner)
    cell_of_row = np.round(log_odds / _CELL)
    cell, place = np.unique(cell_of_row, return_inverse=True)
    counts = []
    for value in (1, 0):
        rows = np.flatnonzero(label == value)
        fold = np.empty(len(rows), dtype=np.int64)
        # Dealt in turn along the ranking, folds would share each other's luck and flatter the
        # freer forms; a fixed shuffle of the ranks is as blind to row order.
        shuffled = np.random.default_rng(value).permutation(len(rows))
        fold[np.argsort(log_odds[rows], kind="stable")] = shuffled % FOLDS
        flat = np.bincount(fold * len(cell) + place[rows], minlength=FOLDS * len(cell))
        counts.append(flat.reshape(FOLDS, len(cell)).astype(np.float64))
    return _Cells(cell * _CELL, counts[0], counts[1])


def _cross_validated(cells: _Cells, methods: list[Method]) -> dict[Method, Floats]:
    """Return the held-out loss of a positive and of a negative in each fold and cell.

    Returns:
        Losses by form, shape [2, FOLDS, cells]: positives first.
    """
    losses = {}
    for method in methods:
        loss = np.empty((2, *cells.positives.shape))
        for fold in range(FOLDS):
            kept = np.arange(FOLDS) != fold
            curve = _fit(
                method,
                cells.log_odds,
                cells.positives[kept].sum(axis=0),
                cells.negatives[kept].sum(axis=0),
            )
            said = curve.at(cells.log_odds)
            loss[0, fold], loss[1, fold] = -log_expit(said), -log_expit(-said)
        losses[method] = loss
    return losses


def _simplest_good(cells: _Cells, losses: Mapping[Method, Floats]) -> Method:
    """Take a freer form only where it saves more loss than one standard error of the saving."""
    count = np.stack([cells.positives, cells.negatives])
    best: Method = "logistic"
    for method, loss in losses.items():
        saved = losses[best] - loss
        total = np.sum(count * saved)
        spread = np.sqrt(np.sum(count * saved**2) - total**2 / count.sum())
        if total > spread:
            best = method
    return best


def _fit(method: Method, log_odds: Floats, positives: Floats, negatives: Floats) -> _Curve:
    if method == "isotonic":
        return _fit_isotonic(log_odds, positives, negatives)
    return _fit_beta(log_odds, positives, negatives, tied=method == "logistic")


def _fit_beta(log_odds: Floats, positives: Floats, negatives: Floats, *, tied: bool) -> _Curve:
    """Maximise the likelihood over a, b >= 0 and c; `tied` asks for a = b."""
    found, lacking = positives.sum(), negatives.sum()
    # Platt's targets stand for one unseen row of each class: separable scores keep a finite slope.
    ones = positives * (found + 1) / (found + 2) + negatives / (lacking + 2)
    zeros = positives + negatives - ones
    columns = np.stack([log_expit(log_odds), -log_expit(-log_odds), np.ones_like(log_odds)])
    if tied:
        columns = np.stack([log_odds, columns[2]])
    scale = min(found, lacking)

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
    return _Curve(coefficients=(weights[0], weights[-2], weights[-1]))


def _fit_isotonic(log_odds: Floats, positives: Floats, negatives: Floats) -> _Curve:
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
    return _Curve(knots=tuple(centre.tolist()), values=tuple(value.tolist()))


def _inner(score: NDArray[Any]) -> Floats:
    values = score.astype(np.float64)
    wrong = values[~((values >= 0.0) & (values <= 1.0))]
    if len(wrong):
        message = f"a score must lie in [0, 1], found {wrong[0]} among {len(wrong)} such"
        raise ValueError(message)
    return np.clip(values, _LOWEST, _HIGHEST)


def _log_odds(inner: Floats) -> Floats:
    return np.asarray(np.log(inner) - np.log1p(-inner))

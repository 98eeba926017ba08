"""From a model's own probability to the chance that a row is enforced: calibration.

Fitted on later slices than the model, at the true prevalence. Four forms compete by
cross-validated log loss: logistic (Platt 1999), beta (Kull et al. 2017, "Beta calibration"),
isotonic (pool adjacent violators, centred as in Oron and Flournoy 2017, the mean over draws of the
rings) and the mean of the last two. What one slice's curve is worth on another flattens the winner
(`models/transfer.py`). All are strictly increasing, so calibration never changes who ranks above
whom.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, logit

from graphguard.errors import ArtefactInvalid, TooFewLabels
from graphguard.evaluate.calibration import Line
from graphguard.evaluate.ranking import Floats
from graphguard.evaluate.splits import stratified_group_folds
from graphguard.models.base import read_json_object
from graphguard.models.cells import FOLDS, Cells, count_cells
from graphguard.models.curves import STAIRS, Curve, Method, fit_curve
from graphguard.models.level import level_follows, level_shift, share_after
from graphguard.models.transfer import design_effect, expected_share, fit_transfer, levelled

FEWEST_POSITIVES: dict[Method, int] = {"logistic": 1, "beta": 20, "mean": 20, "isotonic": 200}
"""Positives and negatives from which a form takes part: a freer form needs more to be fitted on."""
_LOWEST, _HIGHEST = 1e-46, 1.0 - 1e-8
"""Scores are kept inside; every float32 in [0, 1] stays distinct."""
_TIE_BREAK = 1e-6
"""Weight of the raw log-odds in the result: moves no probability by more, and leaves no tie."""


@dataclass(frozen=True)
class Calibrator:
    """A strictly increasing map from scores to probabilities.

    Attributes:
        method: The form that won.
        coefficients: a, b, c of logit(p) = a * log(s) - b * log(1 - s) + c, with a, b at least 0;
            a = b for 'logistic'; unused for 'isotonic'.
        knots: Log-odds of the score at block centres, rising; for 'isotonic' and 'mean' alone.
        values: Probability at each knot, not falling.
        rows: Rows fitted on.
        positives: Positives among them.
        log_loss: Cross-validated log loss in nats by form; empty where only one form took part.
        slope: What the form's slope was worth on a slice it was not fitted on, in [0.05, 1]; it is
            in `line`, or in the numbers of an older program's. 1 where there was one slice.
        share: Share of positives that the probabilities expect among rows like those fitted on.
        worth: What a row counts where a night's level is asked for: one over the number of
            positives that count as one, since rings are enforced as wholes.
        follows: Whether a night's scores move the level: they would have told the slices better.
        line: Slope and shift of the log-odds of the curves' probability.
    """

    method: Method
    coefficients: tuple[float, float, float]
    knots: tuple[float, ...]
    values: tuple[float, ...]
    rows: int
    positives: int
    log_loss: Mapping[str, float]
    slope: float = 1.0
    share: float = 0.5
    worth: float = 1.0
    follows: bool = False
    line: tuple[float, float] = (1.0, 0.0)

    @property
    def curve(self) -> Curve:
        """The map between log-odds."""
        stairs, line = STAIRS[self.method], Line(*self.line)
        return Curve(self.coefficients, self.knots, self.values, stairs, line)

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
        log_odds = _log_odds(_inner(score))
        fitted = expit(self.curve.at(log_odds))
        lowest, highest = logit(_LOWEST), logit(_HIGHEST)
        place = (log_odds - lowest) / (highest - lowest)
        return np.asarray((1.0 - _TIE_BREAK) * fitted + _TIE_BREAK * place)

    def tonight(self, score: NDArray[Any]) -> "Calibrator":
        """Return this map at the level that a night's scores tell (`models/level.py`).

        Args:
            score: The model's probability of all of the night's rows, shape [n], in [0, 1].

        Returns:
            The calibrator with its log-odds moved by one number; itself where `follows` is false,
            and without a row.

        Raises:
            ValueError: A score is NaN or outside [0, 1].
        """
        inner = _inner(score)
        if not (self.follows and len(inner)):
            return self
        shift = level_shift(self.curve.at(_log_odds(inner)), self.share, self.worth)
        slope, stands = self.line
        return replace(self, line=(slope, stands + shift), share=share_after(self.share, shift))

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
                slope=float(content["slope"]),
                # An older program's stands at the level of its slices.
                share=float(content.get("share", content["positives"] / content["rows"])),
                worth=float(content.get("worth", 1.0)),
                follows=bool(content.get("follows", False)),
                line=_pair(content.get("line", (1.0, 0.0))),
            )
        except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
            raise ArtefactInvalid(path, f"not a calibrator ({error!r})") from error
        fault = made._fault()
        if fault:
            raise ArtefactInvalid(path, fault)
        return made

    def _fault(self) -> str | None:
        if self.method not in FEWEST_POSITIVES:
            return f"unknown method '{self.method}' (known: {', '.join(FEWEST_POSITIVES)})"
        told = (*self.coefficients, *self.knots, *self.values, *self.line, self.share, self.worth)
        numbers = np.array(told)
        if not np.isfinite(numbers).all():
            return "holds a number that is not finite"
        if not (0 < self.share < 1 and 0 < self.worth <= 1):
            return f"share and worth must lie in (0, 1], found {self.share} and {self.worth}"
        if min(self.coefficients[:2]) < 0:
            return f"coefficients a and b must be 0 or more, found {self.coefficients}"
        if self.line[0] <= 0:
            return f"the slope of a line must be above 0, found {self.line[0]}"
        if len(self.knots) != len(self.values) or bool(STAIRS[self.method]) != bool(self.knots):
            return f"{len(self.knots)} knots and {len(self.values)} values for '{self.method}'"
        if (np.diff(self.knots) <= 0).any() or (np.diff(self.values) < 0).any():
            return "knots must rise and values must not fall"
        if self.values and not 0 <= self.values[0] <= self.values[-1] <= 1:
            return f"values must lie in [0, 1], found {self.values[0]} to {self.values[-1]}"
        return None


def fit_calibrator(
    score: NDArray[Any],
    label: NDArray[Any],
    group: NDArray[Any] | None = None,
    part: NDArray[Any] | None = None,
    earlier: float | None = None,
) -> Calibrator:
    """Fit the forms that the number of positives allows and keep the simplest good one.

    A freer form must beat a simpler one by more than the standard error of the difference. Folds
    are whole groups, or shuffled ranks of each class, so the result does not depend on row order.

    Args:
        score: The model's probability on slices it was not fitted on, shape [n], in [0, 1].
        label: 1 enforced inside the horizon, 0 not, shape [n]; no row left out or reweighted.
        group: Ring or component of each row, shape [n], integer: what is enforced together tells
            as much as one. None: rows are independent.
        part: Slice of each row, shape [n]: with two or more, what a curve is worth on a slice it
            was not fitted on flattens the result. None: one slice.
        earlier: Share of positives at anchors before these, in [0, 1]: how many are enforced
            differs much from slice to slice, so it weighs a half in the mean of the
            probabilities. None: they keep the share of these rows.

    Returns:
        The winning calibrator.

    Raises:
        TooFewLabels: The slice lacks positives or negatives.
        ValueError: A score is NaN or outside [0, 1].

    Cost: O(n log n); under a second for a million rows.
    """
    inner = _inner(score)
    positives = int(np.sum(label))
    _require_both(positives, len(inner) - positives)
    cells = count_cells(_log_odds(inner), label, _fold_of_row(inner, label, group), group)
    winner, losses = _choose_form(cells, min(positives, len(inner) - positives))
    count = np.stack([cells.positives, cells.negatives])
    curve = fit_curve(winner, cells.counted())
    told = _told_by_others(winner, inner, label, (part, group))
    slope, follows, worth = 1.0, False, 1.0 / design_effect(label, group)
    if told is not None and part is not None:
        slope = fit_transfer(told, label, part, group)
        follows = level_follows(told, label, part, group, worth)
    share = expected_share(positives / len(inner), earlier)
    if told is not None or earlier is not None:
        curve = curve.moved(
            levelled(curve.at(cells.log_odds), count.sum(axis=(0, 1)), slope, share)
        )
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
        slope=slope,
        share=share,
        worth=worth,
        follows=follows,
        line=(curve.line.slope, curve.line.shift),
    )


def _pair(numbers: Any) -> tuple[float, float]:
    first, second = numbers
    return float(first), float(second)


def _require_both(positives: int, negatives: int) -> None:
    """Refuse a slice of one class."""
    if min(positives, negatives) == 0:
        raise TooFewLabels(
            where="calibration slice", positives=positives, negatives=negatives, needed=1
        )


def _fold_of_row(
    inner: Floats, label: NDArray[Any], group: NDArray[Any] | None
) -> NDArray[np.int64]:
    if group is not None:
        # A ring torn by the folds would be told by its twins, and flatter the freer forms.
        hashed = np.unique(group, return_inverse=True)[1].astype(np.uint64)
        return stratified_group_folds(group, hashed, label, FOLDS)
    fold = np.empty(len(inner), dtype=np.int64)
    for value in (1, 0):
        rows = np.flatnonzero(label == value)
        # Dealt in turn along the ranking, folds would share each other's luck and flatter the
        # freer forms; a fixed shuffle of the ranks is as blind to row order.
        shuffled = np.random.default_rng(value).permutation(len(rows))
        fold[rows[np.argsort(inner[rows], kind="stable")]] = shuffled % FOLDS
    return fold


def _told_by_others(
    method: Method,
    inner: Floats,
    label: NDArray[Any],
    places: tuple[NDArray[Any] | None, NDArray[Any] | None],
) -> Floats | None:
    """Log-odds that each row is told by a curve fitted to the other slices; None without any.

    `places` are the slice and the group of each row.
    """
    part, group = places
    names = np.unique(part) if part is not None else np.empty(0)
    told = np.empty(len(inner))
    for name in names:
        mine = np.asarray(part == name)
        if not (0 < np.sum(label[~mine]) < np.sum(~mine)):
            return None
        within = None if group is None else group[~mine]
        cells = count_cells(_log_odds(inner[~mine]), label[~mine], group=within)
        told[mine] = fit_curve(method, cells.counted()).at(_log_odds(inner[mine]))
    return told if len(names) > 1 else None


def _cross_validated(cells: Cells, methods: list[Method]) -> dict[Method, Floats]:
    """Return the held-out loss of a positive and of a negative in each fold and cell.

    Returns:
        Losses by form, shape [2, FOLDS, cells]: positives first.
    """
    losses = {}
    for method in methods:
        loss = np.empty((2, *cells.positives.shape))
        for fold in range(FOLDS):
            kept = np.arange(FOLDS) != fold
            said = fit_curve(method, cells.counted(kept)).at(cells.log_odds)
            loss[0, fold], loss[1, fold] = -log_expit(said), -log_expit(-said)
        losses[method] = loss
    return losses


def _choose_form(cells: Cells, scarce: int) -> tuple[Method, dict[Method, Floats]]:
    """The form of those that so many rows of the rarer class allow, and the losses of each."""
    methods = [method for method, fewest in FEWEST_POSITIVES.items() if scarce >= fewest]
    if len(methods) == 1:
        return methods[0], {}
    losses = _cross_validated(cells, methods)
    return _simplest_good(cells, losses), losses


def _simplest_good(cells: Cells, losses: Mapping[Method, Floats]) -> Method:
    """Take a freer form only where it saves more loss than one standard error of the saving."""
    count = np.stack([cells.positives, cells.negatives])
    best = next(iter(losses))
    for method, loss in losses.items():
        saved = losses[best] - loss
        total = np.sum(count * saved)
        spread = np.sqrt(np.sum(count * saved**2) - total**2 / count.sum())
        if total > spread:
            best = method
    return best


def _inner(score: NDArray[Any]) -> Floats:
    values = score.astype(np.float64)
    wrong = values[~((values >= 0.0) & (values <= 1.0))]
    if len(wrong):
        message = f"a score must lie in [0, 1], found {wrong[0]} among {len(wrong)} such"
        raise ValueError(message)
    return np.clip(values, _LOWEST, _HIGHEST)


def _log_odds(inner: Floats) -> Floats:
    return np.asarray(np.log(inner) - np.log1p(-inner))

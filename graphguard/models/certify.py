"""A score threshold whose precision is promised with stated confidence.

Learn then test (Angelopoulos et al. 2021): thresholds are tried from the strictest down, each by an
exact binomial test of "precision is at most the target". Their error is shared by the fallback rule
(Wiens and Dmitrienko 2005): a few starting points hold equal parts of it, and a test that succeeds
hands its part on to the next threshold. So one miss among the very highest scores does not end the
search, and the chance that any certified threshold breaks its promise stays at 1 - confidence.

Users of one ring share their fate, so with rings a row proves little by itself. There the test is a
bet (Waudby-Smith and Ramdas 2024): every group pays its positives less what the target precision
would make of its rows, as a share of the largest group's rows. Were the target too high, no bettor
would get rich. One huge ring among the selected leaves all others little to prove: then there is no
threshold, for tomorrow's huge ring may be another's.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphguard.evaluate.ranking import Floats
from graphguard.models.trials import Trials, make_trials

_STARTS = 5


@dataclass(frozen=True)
class Certificate:
    """What a slice proves about a threshold.

    Attributes:
        threshold: Rows with score >= threshold hold the precision; None where none is proven.
        precision_seen: Share of positives among the slice's rows above the threshold (above the
            most hopeful one tried, where none is proven).
        precision_low: Lower confidence bound of the precision there, at the level of that test.
        selected: Rows above the threshold.
        positives: Positives among them.
        reason: The sentence for the report.
    """

    threshold: float | None
    precision_seen: float
    precision_low: float
    selected: int
    positives: int
    reason: str


def certify_threshold(
    score: NDArray[Any],
    label: NDArray[Any],
    precision: float,
    confidence: float,
    group: NDArray[Any] | None = None,
) -> Certificate:
    """Find the lowest threshold whose precision is proven.

    The promise is about rows drawn as the slice was: it says nothing after drift, which is why the
    drift gate stands beside it. The slice must not have been used to fit or calibrate.

    Args:
        score: Scores of the slice, shape [n], no NaN.
        label: 0 or 1, shape [n].
        precision: The precision to hold, in (0, 1).
        confidence: Chance, over slices, that the promise is true, in (0, 1).
        group: Component of each row, shape [n]: rows of one group share their fate, whole groups
            are drawn. None: rows are independent.

    Returns:
        The certificate; its threshold is None where no threshold passes, and `reason` says why.

    Raises:
        ValueError: `precision` or `confidence` is outside (0, 1), or a score is NaN.

    Cost: O(n log n).
    """
    _check_shares(precision, confidence)
    if np.isnan(score).any():
        message = f"score holds {int(np.isnan(score).sum())} NaN of {len(score)}"
        raise ValueError(message)
    alpha = 1.0 - confidence
    fewest = math.ceil(math.log(alpha / _STARTS) / math.log(precision))
    promise = f"precision {precision:g} with confidence {confidence:g}"
    trials = make_trials(score, label, group, fewest).viable(precision, alpha / _STARTS)
    if len(trials.selected):
        return _tried(trials, precision, alpha, promise)
    found = f"{len(score)}"
    if group is not None:
        found += f" in {len(np.unique(group))} groups"
    reason = (
        f"no threshold: {promise} needs at least {fewest} independent rows without a miss, "
        f"the slice has {found}"
    )
    return Certificate(None, 0.0, 0.0, 0, 0, reason)


def _tried(trials: Trials, precision: float, alpha: float, promise: str) -> Certificate:
    """The last threshold in a row that passes, or what the most hopeful one proves."""
    chance = trials.chances(precision)
    own = _own_levels(trials.selected, alpha)
    levels = _fallback_levels(chance, own)
    passed = np.flatnonzero((chance <= levels) & (levels > 0))
    starts = np.flatnonzero(own)
    shown = int(passed[-1]) if len(passed) else int(starts[np.argmin(chance[starts])])
    selected, positives = int(trials.selected[shown]), int(trials.positives[shown])
    low = float(trials.proven(shown, levels[shown]))
    at = float(trials.threshold[shown])
    counted = f"{positives} of {selected} rows at or above {at:.6g} are positive"
    if len(passed):
        reason = f"{promise} holds: {counted}"
    else:
        reason = f"no threshold holds {promise}: at best {counted}, which proves {low:.3f}"
    threshold = at if len(passed) else None
    return Certificate(threshold, positives / selected, low, selected, positives, reason)


def precision_there(precision: float, share: float, expected: float) -> float:
    """The precision that a slice must show for the promise to hold at the share to be expected.

    Where the slice had more positives than are to be expected, each score was worth more there:
    the odds of a row above a threshold fall with those of all rows (label shift, Saerens et al.
    2002). A slice with fewer gives no discount.

    Args:
        precision: The precision promised, in (0, 1).
        share: Share of positives in the slice, in (0, 1).
        expected: Share of positives to expect, in (0, 1).

    Returns:
        At least `precision`, below 1.

    >>> round(precision_there(0.5, 0.02, 0.01), 3)
    0.669
    """
    ratio = (share / (1 - share)) / (expected / (1 - expected))
    odds = precision / (1 - precision) * max(ratio, 1.0)
    return odds / (1 + odds)


def ends_of(certificate: Certificate, score: NDArray[Any]) -> tuple[float, float] | None:
    """The threshold between which scores of its slice: the highest below it, and its own.

    Args:
        certificate: On the scale of `score`.
        score: Scores of the slice, shape [n].

    Returns:
        The two scores, equal where none lies below; None without a threshold.
    """
    if certificate.threshold is None:
        return None
    below = score[score < certificate.threshold]
    return (float(below.max()) if len(below) else certificate.threshold, certificate.threshold)


def between(ends: tuple[float, float], scale: Callable[[NDArray[Any]], Floats]) -> float:
    """Half way between two scores on another scale, such as that of calibrated probabilities.

    Args:
        ends: Of `ends_of`.
        scale: A strictly increasing map of scores.

    Returns:
        A threshold that has the same rows above it, and which rounding moves none across.
    """
    low, high = scale(np.array(ends))
    return float((high + low) / 2)


def _own_levels(selected: NDArray[np.int64], alpha: float) -> Floats:
    """Share `alpha` among starting points, evenly spread up to a quarter of the rows."""
    last = np.searchsorted(selected, selected[-1] / 4)
    starts = np.unique(np.linspace(0, last, _STARTS).astype(np.int64))
    own = np.zeros(len(selected))
    own[starts] = alpha / len(starts)
    return own


def _fallback_levels(chance: Floats, own: Floats) -> Floats:
    """Return the level of each test: its own part plus all of its predecessor's if that passed."""
    levels = np.empty(len(chance))
    carried = 0.0
    for number, part in enumerate(own):
        levels[number] = part + carried
        carried = levels[number] if chance[number] <= levels[number] else 0.0
    return levels


def _check_shares(precision: float, confidence: float) -> None:
    for name, value in (("precision", precision), ("confidence", confidence)):
        if not 0.0 < value < 1.0:
            message = f"{name} must lie between 0 and 1, got {value}"
            raise ValueError(message)

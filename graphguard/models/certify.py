"""A score threshold whose precision is promised with stated confidence.

Learn then test (Angelopoulos et al. 2021): thresholds are tried from the strictest down, each by an
exact binomial test of "precision is at most the target". Their error is shared by the fallback rule
(Wiens and Dmitrienko 2005): a few starting points hold equal parts of it, and a test that succeeds
hands its part on to the next threshold. So one miss among the very highest scores does not end the
search, and the chance that any certified threshold breaks its promise stays at 1 - confidence.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv

from graphguard.evaluate.ranking import Floats

_STARTS = 5
_STEP = 1.15
"""Ratio of the rows above one threshold tried and the next."""


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
        group: Component of each row, shape [n]: rows of one group count together as one, by Kish's
            effective number of rows. None: rows are independent.

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
    trials = _trials(score, label, group, fewest)
    if len(trials.selected) == 0:
        reason = (
            f"no threshold: {promise} needs at least {fewest} independent rows without a miss, "
            f"the slice has {len(score)}"
        )
        return Certificate(None, 0.0, 0.0, 0, 0, reason)
    hits = trials.positives / trials.selected * trials.effective
    misses = trials.effective - hits
    # P(Binomial(effective, precision) >= hits), for whole and for effective counts alike.
    chance = np.where(hits > 0, betainc(np.maximum(hits, 1e-12), misses + 1.0, precision), 1.0)
    own = _own_levels(trials.effective, alpha)
    levels = _fallback_levels(chance, own)
    passed = np.flatnonzero((chance <= levels) & (levels > 0))
    starts = np.flatnonzero(own)
    shown = int(passed[-1]) if len(passed) else int(starts[np.argmin(chance[starts])])
    selected, positives = int(trials.selected[shown]), int(trials.positives[shown])
    low = betaincinv(hits[shown], misses[shown] + 1.0, levels[shown]) if hits[shown] > 0 else 0.0
    counted = (
        f"{positives} of {selected} rows at or above {trials.threshold[shown]:.6g} are positive"
    )
    if len(passed):
        threshold, reason = float(trials.threshold[shown]), f"{promise} holds: {counted}"
    else:
        threshold = None
        reason = f"no threshold holds {promise}: at best {counted}, which proves {low:.3f}"
    return Certificate(threshold, positives / selected, float(low), selected, positives, reason)


@dataclass(frozen=True)
class _Trials:
    """Thresholds to try, strictest first, shape [trials] each; no label had a say in them."""

    threshold: Floats
    selected: NDArray[np.int64]
    positives: NDArray[np.int64]
    effective: Floats


def _trials(
    score: NDArray[Any], label: NDArray[Any], group: NDArray[Any] | None, fewest: int
) -> _Trials:
    order = np.argsort(-score, kind="stable")
    ranked = score[order].astype(np.float64)
    # A threshold takes whole tie groups, so only their last rows can end a selection.
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], len(ranked) > 0)) + 1
    sizes = [fewest]
    while sizes[-1] < len(ranked):
        sizes.append(math.ceil(sizes[-1] * _STEP))
    reachable = [size for size in sizes if size <= len(ranked)]
    selected = np.unique(ends[np.searchsorted(ends, reachable)]) if reachable else ends[:0]
    effective = selected.astype(np.float64)
    if group is not None and len(selected):
        _, dense = np.unique(group[order], return_inverse=True)
        # Kish: rows squared over the sum of squared group sizes, for every prefix.
        effective = np.array(
            [
                size**2 / np.sum(np.bincount(dense[:size]).astype(np.float64) ** 2)
                for size in selected
            ]
        )
        keep = effective >= fewest
        selected, effective = selected[keep], effective[keep]
    positives = np.cumsum(label[order] == 1)[selected - 1]
    return _Trials(ranked[selected - 1], selected, positives, effective)


def _own_levels(effective: Floats, alpha: float) -> Floats:
    """Share `alpha` among starting points, evenly spread up to a quarter of the rows."""
    last = np.searchsorted(effective, effective[-1] / 4)
    starts = np.unique(np.linspace(0, last, _STARTS).astype(np.int64))
    own = np.zeros(len(effective))
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

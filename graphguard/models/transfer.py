"""Does a calibration hold on days it was not fitted on? Its slope there, and its level.

Who is enforced comes in lumps: a ring is found as a whole, and the next two weeks find another. A
curve fitted to one slice's lumps is too sure about the next slice's. So each slice is told its
chances by a curve fitted to the others, and the slope of the log-odds (Cox 1958) says how far that
could be believed. It is that within slices: how many were enforced on the whole differs from slice
to slice by a factor of two or three, and of two slices that tell each other the one with more is
told the fewer. The slope flattens, it never sharpens.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from graphguard.evaluate.calibration import Line, Prior, fit_slope
from graphguard.evaluate.ranking import Floats

SLOPES = Prior(spread=0.05, lowest=0.05, highest=1.0)
"""Slopes allowed, above 0, so the order of scores is never lost; and how far from the expected."""
NOISE = 10.0
"""Distinct positives with which a curve loses half of its slope on other slices to noise."""
EARLIER = 0.5
"""Weight of earlier anchors' share of positives in the level of the probabilities."""
FARTHEST = 30.0
"""Most that a shift moves log-odds."""


def fit_transfer(
    log_odds: Floats,
    label: NDArray[Any],
    part: NDArray[Any],
    group: NDArray[Any] | None = None,
) -> float:
    """Fit the slope by penalised likelihood.

    Args:
        log_odds: Log-odds told to each row by curves fitted to other slices, shape [n].
        label: 0 or 1, shape [n], both present.
        part: Slice of each row, shape [n].
        group: Ring or component of each row, shape [n]: positives of one ring count together, by
            Kish's design effect. None: rows are independent.

    Returns:
        Slope in [0.05, 1].
    """
    worth = 1.0 / design_effect(label, group)
    # Noise in what is told flattens the line through it, as errors in a regressor do.
    known = distinct_positives(label, group)
    expected = max(known / (known + NOISE), SLOPES.lowest)
    return fit_slope(log_odds, label == 1, part, worth, replace(SLOPES, expected=expected))


def expected_share(seen: float, earlier: float | None) -> float:
    """The share of positives to expect, from that of the held-out slices and of anchors before."""
    return seen if earlier is None else (1 - EARLIER) * seen + EARLIER * earlier


def levelled(said: Floats, rows: Floats, slope: float, share: float) -> Line:
    """The line that flattens log-odds by a slope and keeps their mean probability at a share.

    Args:
        said: Log-odds, shape [n].
        rows: How many rows say so, shape [n].
        slope: Above 0.
        share: Mean probability wanted, in (0, 1).
    """

    def over(shift: float) -> float:
        return float(rows @ expit(slope * said + shift) / rows.sum() - share)

    return Line(slope, float(brentq(over, -FARTHEST, FARTHEST, xtol=1e-10)))


def distinct_positives(label: NDArray[Any], group: NDArray[Any] | None) -> float:
    """How many positives there are where those of one ring are alike: Hill's number of order 1.

    One large component among many lone positives lowers it by far less than Kish's number, which
    asks how far sums swing.

    Args:
        label: 0 or 1, shape [n], with a 1.
        group: Ring or component of each row, shape [n], integer. None: rows are independent.

    >>> distinct_positives(np.ones(4), np.array([0, 1, 2, 3]))
    4.0
    >>> round(distinct_positives(np.ones(4), np.array([0, 0, 0, 3])), 2)
    1.75
    """
    if group is None:
        return float(np.sum(label == 1))
    _, size = np.unique(group[label == 1], return_counts=True)
    share = size / size.sum()
    return float(np.exp(-np.sum(share * np.log(share))))


def design_effect(label: NDArray[Any], group: NDArray[Any] | None) -> float:
    """Positives that count as one, on average: sum of squares over sum of positives a group.

    Args:
        label: 0 or 1, shape [n], with a 1.
        group: Ring or component of each row, shape [n]. None: rows are independent.
    """
    if group is None:
        return 1.0
    _, dense = np.unique(group, return_inverse=True)
    positives = np.bincount(dense, weights=label == 1)
    return float(np.sum(positives**2) / np.sum(positives))

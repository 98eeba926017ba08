"""Does a calibration hold on days it was not fitted on? Its slope there, drawn towards one.

Who is enforced comes in lumps: a ring is found as a whole, and the next two weeks find another. A
curve fitted to one slice's lumps is too sure about the next slice's. So each slice is told its
chances by a curve fitted to the others, and a slope and a shift of the log-odds (Cox 1958) say how
far that could be believed. The slope flattens, it never sharpens.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphguard.evaluate.calibration import Line, Prior, fit_line
from graphguard.evaluate.ranking import Floats

SLOPES = Prior(spread=0.5, lowest=0.05, highest=1.0)
"""Slopes expected before looking, and allowed; above 0, so the order of scores is never lost."""


def fit_transfer(log_odds: Floats, label: NDArray[Any], group: NDArray[Any] | None = None) -> Line:
    """Fit slope and shift by penalised likelihood.

    Args:
        log_odds: Log-odds told to each row by curves fitted to other slices, shape [n].
        label: 0 or 1, shape [n], both present.
        group: Ring or component of each row, shape [n]: positives of one ring count together, by
            Kish's design effect. None: rows are independent.

    Returns:
        Slope in [0.05, 1] and shift.
    """
    return fit_line(log_odds, label == 1, 1.0 / _design_effect(label, group), SLOPES)


def _design_effect(label: NDArray[Any], group: NDArray[Any] | None) -> float:
    """Positives that count as one, on average: sum of squares over sum of positives a group."""
    if group is None:
        return 1.0
    _, dense = np.unique(group, return_inverse=True)
    positives = np.bincount(dense, weights=label == 1)
    return float(np.sum(positives**2) / np.sum(positives))

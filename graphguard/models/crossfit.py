"""Calibrate with every row there is, and still judge each row by a calibrator that never saw it.

The calibrator that scores tonight is fitted on all slices that did not train the model. What is
shown of its quality comes from cross-fits: each slice is told its chances by a calibrator fitted to
the others, at the level that the slice's own scores tell, as a night's are.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphguard.evaluate.ranking import Floats
from graphguard.models.calibrate import Calibrator, fit_calibrator
from graphguard.models.transfer import expected_share


@dataclass(frozen=True)
class HeldOut:
    """Rows that did not train the model.

    Attributes:
        score: The model's own probability, shape [n], in [0, 1].
        label: 0 or 1, shape [n].
        slice_: Name of each row's slice, shape [n]; no ring lies in two slices of one day.
        day: Which slices lie at one time, shape [n], any type: a ring's fate is shared within.
        group: Ring or component of each row, shape [n], integer.
        earlier: Share of positives at the anchors before; None where there are none.
    """

    score: NDArray[Any]
    label: NDArray[Any]
    slice_: NDArray[Any]
    day: NDArray[Any]
    group: NDArray[Any]
    earlier: float | None = None

    def take(self, mask: NDArray[np.bool_]) -> "HeldOut":
        """Return the rows of a mask, shape [n]."""
        return HeldOut(
            self.score[mask],
            self.label[mask],
            self.slice_[mask],
            self.day[mask],
            self.group[mask],
            self.earlier,
        )

    @property
    def expected(self) -> float:
        """The share of positives that calibrated probabilities expect."""
        return expected_share(float(np.mean(self.label)), self.earlier)

    def calibrator(self) -> Calibrator:
        """Fit to all rows; raises TooFewLabels without both classes."""
        return fit_calibrator(self.score, self.label, self.group, self.day, self.earlier)


def cross_fit(rows: HeldOut) -> tuple[Calibrator, Floats]:
    """Fit the calibrator, and tell each row its chance by one that did not see its slice.

    Args:
        rows: Rows of two slices or more.

    Returns:
        The calibrator fitted to all rows, and the chance of each row, shape [n], float64.

    Raises:
        TooFewLabels: A class is absent, or lies in one slice only.

    Cost: one fit more than there are slices.
    """
    told = np.empty(len(rows.score))
    for name in np.unique(rows.slice_):
        mine = np.asarray(rows.slice_ == name)
        others = rows.take(~mine).calibrator()
        told[mine] = others.tonight(rows.score[mine]).apply(rows.score[mine])
    return rows.calibrator(), told

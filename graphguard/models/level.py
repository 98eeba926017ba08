"""How many will be positive tonight, as far as tonight's scores tell.

A calibrator stands at the level of the slices it was fitted on. Where more users score high tonight
than did there, more will be positive, if the same kinds of users are (label shift): the share that
makes tonight's scores likeliest is found without a label (Saerens, Latinne and Decaestecker 2002,
"Adjusting the outputs of a classifier to new a priori probabilities"). A prior holds it near the
old one: scores that tell little, or positives that come in rings, which are fewer than they seem,
move it little. Where scores themselves move from slice to slice all this is wrong, so it is done
only where it would have told past slices better.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, logit

from graphguard.evaluate.ranking import Floats

LEVELS = 0.25
"""Standard deviation of the log-odds of the share of positives from one time to the next, before
looking."""
FARTHEST = 3.0
"""Most that the log-odds move."""


def level_shift(log_odds: Floats, share: float, worth: float = 1.0) -> float:
    """By how much the log-odds of all rows move, by penalised likelihood.

    Args:
        log_odds: Calibrated log-odds of tonight's rows, shape [n].
        share: Share of positives that they were calibrated to, in (0, 1).
        worth: What a row counts against the prior, in (0, 1]: one over the number of positives that
            count as one.

    Returns:
        The shift, in [-FARTHEST, FARTHEST]: negative where fewer are to be expected.

    Cost: O(n log n).

    >>> half = np.array([-3.0, 3.0])
    >>> abs(level_shift(np.repeat(half, [500, 500]), 0.5)) < 1e-6
    True
    >>> round(level_shift(np.repeat(half, [800, 200]), 0.5), 1)
    -1.5
    """
    # A sum's last bits follow its order, and rows come in any.
    said = np.sort(log_odds)
    # How much likelier a row's score is among positives, and among negatives, than among all.
    bad, good = log_expit(said) - np.log(share), log_expit(-said) - np.log1p(-share)
    stands = float(logit(share))

    def loss(shift: float) -> float:
        tonight = stands + shift
        mixed = np.logaddexp(log_expit(tonight) + bad, log_expit(-tonight) + good)
        return 0.5 * (shift / LEVELS) ** 2 - worth * float(np.sum(mixed))

    bounds = (-FARTHEST, FARTHEST)
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    return float(found.x)


def level_follows(
    log_odds: Floats,
    label: NDArray[Any],
    part: NDArray[Any],
    group: NDArray[Any] | None,
    worth: float,
) -> bool:
    """Whether moving the level by scores alone told the held-out slices better than leaving it.

    Args:
        log_odds: Log-odds told to each row by curves fitted to the other slices, shape [n].
        label: 0 or 1, shape [n].
        part: Slice of each row, shape [n].
        group: Ring or component of each row, shape [n]; None: rows are independent.
        worth: As for `level_shift`.

    Returns:
        True if the log loss saved is more than its standard error, a group counting as one.
    """
    positive = np.asarray(label) == 1
    saved = np.empty(len(log_odds))
    for name in np.unique(part):
        mine = np.asarray(part == name)
        moved = log_odds[mine] + level_shift(log_odds[mine], float(np.mean(positive[~mine])), worth)
        before, after = (_losses(said, positive[mine]) for said in (log_odds[mine], moved))
        saved[mine] = before - after
    own = np.arange(len(saved)) if group is None else np.unique(group, return_inverse=True)[1]
    sums = np.bincount(own, weights=saved)
    return bool(sums.sum() > np.sqrt(len(sums) * np.var(sums)))


def _losses(log_odds: Floats, positive: NDArray[np.bool_]) -> Floats:
    return np.asarray(-np.where(positive, log_expit(log_odds), log_expit(-log_odds)))


def share_after(share: float, shift: float) -> float:
    """The share of positives once its log-odds have moved."""
    return float(expit(logit(share) + shift))

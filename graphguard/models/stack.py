"""Stacking: how much each member's score weighs, learned on rows that trained none of them.

Wolpert 1992, "Stacked generalization", with non-negative weights (Breiman 1996, "Stacked
regressions"): a member can be left out, never turned round.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

Floats = NDArray[np.float64]

CLIP = 1e-6
"""Probabilities are cut to [CLIP, 1 - CLIP] before their log-odds are taken."""
PULL = 1.0
"""Positives that the pull towards equal weights counts for."""


@dataclass(frozen=True)
class Stack:
    """log-odds = bias + sum of weight * (member's log-odds - mean) / scale.

    Attributes:
        mean: Of each member's log-odds, shape [members].
        scale: Their standard deviation, shape [members]; 1 where it is 0.
        weight: 0 or more, shape [members].
        bias: Log-odds of a row that is average to every member.
    """

    mean: Floats
    scale: Floats
    weight: Floats
    bias: float

    def apply(self, scores: Floats) -> Floats:
        """Probability of each row from the members' probabilities, shape [n, members] to [n]."""
        standard = (log_odds(scores) - self.mean) / self.scale
        probability: Floats = expit(standard @ self.weight + self.bias)
        return probability

    @property
    def shares(self) -> Floats:
        """Weights that add up to 1; equal where all are 0."""
        total = self.weight.sum()
        members = len(self.weight)
        return self.weight / total if total > 0 else np.full(members, 1.0 / members)


def fit_stack(scores: NDArray[Any], label: NDArray[Any]) -> Stack:
    """Learn the weights by log loss, pulled towards equal ones where positives are few.

    Args:
        scores: Probability by each member, shape [n, members].
        label: 0 or 1, shape [n]; both must be there.

    Raises:
        ValueError: A class is missing.
    """
    positives = int(np.sum(label))
    if positives in (0, len(label)):
        message = f"a stack needs both classes, got {positives} positives of {len(label)} rows"
        raise ValueError(message)
    raw = log_odds(np.asarray(scores, dtype=np.float64))
    mean, spread = raw.mean(axis=0), raw.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    standard, members = (raw - mean) / scale, raw.shape[1]
    pull = PULL / positives

    def loss(parameters: Floats) -> tuple[float, Floats]:
        weight, bias = parameters[:members], parameters[members]
        margin = standard @ weight + bias
        uneven = weight - weight.mean()
        value = np.logaddexp(0.0, np.where(label == 1, -margin, margin)).mean()
        error = (expit(margin) - label) / len(label)
        slope = np.append(standard.T @ error + 2.0 * pull * uneven, error.sum())
        return float(value + pull * uneven @ uneven), slope

    start = np.append(np.full(members, 1.0 / members), logit(positives / len(label)))
    bounds = [(0.0, None)] * members + [(None, None)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return Stack(mean, scale, found.x[:members], float(found.x[members]))


def log_odds(probability: NDArray[Any]) -> Floats:
    """Log-odds of probabilities, at most some 14 in size."""
    odds: Floats = logit(np.clip(probability, CLIP, 1.0 - CLIP))
    return odds

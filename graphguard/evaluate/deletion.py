"""The deletion test: does the evidence that was named move a score more than other evidence would?

For each row the score is made anew without what was named, and without as much of the same kind
drawn by lot. Explanations that mean nothing lose no more by the first than by the second.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphguard.evaluate.bootstrap import Bootstrap, Interval
from graphguard.evaluate.ranking import Floats


@dataclass(frozen=True)
class Deletion:
    """What leaving out did.

    Attributes:
        rows: Rows compared.
        named: Mean fall of the log-odds without what was named.
        random: Mean fall without as much drawn by lot.
        gain: Mean of the paired difference, with its bootstrap interval over rows.
    """

    rows: int
    named: float
    random: float
    gain: Interval

    @property
    def passed(self) -> bool:
        """Whether what was named moves scores more than chance explains."""
        return self.gain.low > 0


def deletion_test(
    before: NDArray[np.floating],
    named: NDArray[np.floating],
    random: NDArray[np.floating],
    settings: Bootstrap | None = None,
) -> Deletion:
    """Compare two ways of leaving out, row by row.

    Args:
        before: Log-odds with all evidence, shape [n].
        named: Log-odds without what was named, shape [n].
        random: Log-odds without as much drawn by lot, shape [n], or [n, draws].
        settings: Resamples, confidence and seed.

    Raises:
        ValueError: There is no row, shapes differ, or a value is not finite.
    """
    settings = settings or Bootstrap()
    drawn = random if random.ndim == 2 else random[:, None]
    if not len(before) or named.shape != before.shape or len(drawn) != len(before):
        message = f"shapes {before.shape}, {named.shape} and {random.shape} are of no same rows"
        raise ValueError(message)
    if not all(np.isfinite(one).all() for one in (before, named, drawn)):
        message = "log-odds must be finite"
        raise ValueError(message)
    fell = (before - named).astype(np.float64)
    chance = (before - drawn.mean(axis=1)).astype(np.float64)
    gain = fell - chance
    tail = (1.0 - settings.confidence) / 2.0
    low, high = np.quantile(_means(gain, settings), [tail, 1.0 - tail])
    interval = Interval(float(gain.mean()), float(low), float(high))
    return Deletion(len(gain), float(fell.mean()), float(chance.mean()), interval)


def _means(values: Floats, settings: Bootstrap) -> Floats:
    rng = np.random.default_rng(settings.seed)
    drawn = [values[rng.integers(0, len(values), len(values))] for _ in range(settings.replicates)]
    return np.array([one.mean() for one in drawn])

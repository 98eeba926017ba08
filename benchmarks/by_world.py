"""How far a figure would be another's on other worlds: worlds are drawn anew, each as a whole.

What is enforced on one world comes in lumps that all its nights share, so rows, and nights too, are
no independent draws; worlds are (Davison and Hinkley 1997, "Bootstrap Methods", on clusters).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

World = TypeVar("World")
Figures = Mapping[str, float | Sequence[float]]
Interval = list[float] | list[list[float]]

DRAWS = 200
CONFIDENCE = 0.95
FEWEST = 4
"""Worlds below which there is no interval: drawn anew, so few show less than they differ by."""


def by_world(
    worlds: Sequence[World], figures: Callable[[Sequence[World]], Figures], draws: int = DRAWS
) -> dict[str, Interval]:
    """Percentile intervals of all figures over worlds.

    Args:
        worlds: What each world has given.
        figures: Figures of worlds; what a draw lacks, or has another number of, it does not count
            for.
        draws: How often as many worlds are drawn, with repeats.

    Returns:
        Low and high end by figure of all worlds, a pair for each number of a list; empty below
        FEWEST worlds and without draws.

    Cost: `draws` times that of `figures`.
    """
    if len(worlds) < FEWEST or draws < 1:
        return {}
    chance, whole = np.random.default_rng(0), figures(worlds)
    drawn = [
        figures([worlds[place] for place in chance.integers(0, len(worlds), len(worlds))])
        for _ in range(draws)
    ]
    tail = (1 - CONFIDENCE) / 2
    found: dict[str, Interval] = {}
    for name, value in whole.items():
        held = [one[name] for one in drawn if name in one]
        alike = [one for one in held if np.shape(one) == np.shape(value)]
        ends = np.quantile(np.array(alike), [tail, 1 - tail], axis=0)
        found[name] = np.round(ends.T, 4).tolist()
    return found


def told(interval: Sequence[float] | None) -> str:
    """An interval in words, with a space before it; nothing where there is none."""
    return f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else ""

"""Quality by kind of row: a good mean can hide that newcomers are judged by lot."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphguard.evaluate.bootstrap import Bootstrap, Interval, intervals
from graphguard.evaluate.ranking import RankMetric

FEWEST = 5
"""Fewest positives, and fewest negatives, to give a figure for."""


@dataclass(frozen=True)
class SubgroupQuality:
    """Metrics of one kind of row.

    Attributes:
        name: The kind.
        rows: Its rows.
        positives: Positives among them.
        metrics: Interval by metric name; empty below 5 rows of a class.
    """

    name: str
    rows: int
    positives: int
    metrics: Mapping[str, Interval]


def by_subgroup(
    score: NDArray[Any],
    label: NDArray[Any],
    kinds: Mapping[str, NDArray[np.bool_]],
    metrics: Mapping[str, RankMetric],
    settings: Bootstrap | None = None,
) -> tuple[SubgroupQuality, ...]:
    """Measure each kind of row by itself.

    Args:
        score: Shape [n].
        label: 0 or 1, shape [n].
        kinds: Mask over the rows by name, each of shape [n]; kinds may overlap.
        metrics: Metric by name.
        settings: Of the bootstrap.

    Returns:
        Quality of each kind, in the order of `kinds`.
    """
    found = []
    for name, mask in kinds.items():
        positives = int(np.sum(label[mask]))
        rows = int(np.sum(mask))
        enough = min(positives, rows - positives) >= FEWEST
        made = intervals(score[mask], label[mask], metrics, settings) if enough else {}
        found.append(SubgroupQuality(name, rows, positives, made))
    return tuple(found)

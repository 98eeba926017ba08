"""The model card: what a model was made of, how good it is, and what it cannot say.

Mitchell et al. 2019, "Model Cards for Model Reporting". Plain values only, so that it is written as
JSON beside the weights and shown in the report.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from graphguard.evaluate.bootstrap import Interval
from graphguard.models.base import Rows

TOP_COLUMNS = 20
"""Columns named in a card, by gain."""

LIMITS = (
    "Users never decided count as negatives, which understates the truth: where reviewers have not "
    "looked, measured precision is a lower bound.",
    "The model learns from past enforcement and repeats its blind spots; abuse of a kind that no "
    "reviewer has labelled is left to the rings, not to this score.",
    "Probabilities and thresholds hold for rows like those of the calibration slice; the drift "
    "table of the report says whether tonight's rows are.",
    "A high score is a reason to look, not a finding: contributions of columns say what moved the "
    "score, not what a user intended.",
)


@dataclass(frozen=True)
class SliceSummary:
    """A slice of rows in numbers.

    Attributes:
        name: What the slice is for: 'train', 'selection', 'calibration', 'certification'.
        first_anchor_us: Earliest anchor, microseconds since 1970 UTC; None without rows.
        last_anchor_us: Latest anchor.
        rows: Number of rows.
        users: Number of distinct nodes.
        positives: Rows labelled 1.
    """

    name: str
    first_anchor_us: int | None
    last_anchor_us: int | None
    rows: int
    users: int
    positives: int


@dataclass(frozen=True)
class CardFacts:
    """What a card is made of.

    Attributes:
        model: Name of the model.
        settings: Its settings, plain values.
        horizon_us: A row is positive when enforcement falls within this after its anchor.
        slices: Summaries of the slices used.
        metrics: Interval by metric name, by slice name.
        kinds: Rows, positives and metrics of each kind of row, plain values.
        calibration: How far the probabilities can be believed, plain values.
        columns: Column names the model reads.
        gains: Share of the gain by column name; empty for a model that has none.
        versions: Version by library name.
    """

    model: str
    settings: Mapping[str, Any]
    horizon_us: int
    slices: Sequence[SliceSummary]
    metrics: Mapping[str, Mapping[str, Interval]]
    kinds: Sequence[Mapping[str, Any]]
    calibration: Mapping[str, Any]
    columns: Sequence[str]
    gains: Mapping[str, float]
    versions: Mapping[str, str]


def summarise_slice(name: str, rows: Rows) -> SliceSummary:
    """Count the rows of a slice.

    Raises:
        ValueError: The rows carry no label.
    """
    if rows.label is None:
        message = f"slice '{name}': rows carry no label"
        raise ValueError(message)
    return SliceSummary(
        name=name,
        first_anchor_us=int(rows.anchor_us.min()) if len(rows) else None,
        last_anchor_us=int(rows.anchor_us.max()) if len(rows) else None,
        rows=len(rows),
        users=len(np.unique(rows.node)),
        positives=int(rows.label.sum()),
    )


def model_card(facts: CardFacts) -> dict[str, Any]:
    """Return the card as plain JSON values.

    Args:
        facts: What the card is made of.

    Returns:
        Keys `model`, `settings`, `predicts`, `slices`, `metrics`, `kinds`, `calibration`,
        `columns`, `top_columns` (at most 20 with a share of the gain above 0, largest first),
        `versions`, `limits`.
    """
    ranked = sorted(facts.gains.items(), key=lambda item: (-item[1], item[0]))
    days = facts.horizon_us / 86_400_000_000
    return {
        "model": facts.model,
        "settings": dict(facts.settings),
        "predicts": f"chance that a user is enforced within {days:g} days after the anchor",
        "slices": [asdict(each) for each in facts.slices],
        "metrics": {
            name: {metric: asdict(interval) for metric, interval in found.items()}
            for name, found in facts.metrics.items()
        },
        "kinds": [dict(one) for one in facts.kinds],
        "calibration": dict(facts.calibration),
        "columns": list(facts.columns),
        "top_columns": [
            {"column": column, "gain": gain} for column, gain in ranked[:TOP_COLUMNS] if gain > 0
        ],
        "versions": dict(facts.versions),
        "limits": list(LIMITS),
    }

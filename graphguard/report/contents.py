"""What a report is made of: plain tables and values, no paths."""

from dataclasses import dataclass, field
from typing import Any

import polars as pl


@dataclass(frozen=True)
class ReportContents:
    """One night.

    Attributes:
        run: `run_id`, `as_of`, `previous`, `versions`, `target`, `horizon`.
        intake: INTAKE.
        reject_reasons: `source, column, reason, rows, example` (file, row and value).
        gates: Red gates, in words.
        warnings: What else deserves a look.
        metrics: metrics.json of the training stage.
        evaluation: EVALUATION.
        card: Model card.
        scores: SCORES.
        earlier_scores: SCORES of the run before, or None.
        drift: `verdict, reason, columns` of tonight against the calibration rows.
        rings: RINGS.
        members: RING_MEMBERS.
        evidence: RING_EVIDENCE.
        changes: RING_CHANGES.
        sets: RING_SETS.
        quotes: Texts of sets that say the same, as `rings.quotes.quotes` makes them.
        decisions: DECISIONS.
        summary: Counts of the policy.
        receipt: What the sinks took.
        index: `engine, recall, neighbours` of the embedding index.
        nulls: `channels` and `alarms`: what the tests of links found in dealt nights.
        stages: `stage, rows, seconds, memory_mb`, in order.
    """

    run: dict[str, Any]
    intake: pl.DataFrame
    reject_reasons: pl.DataFrame
    gates: list[str]
    warnings: list[str]
    metrics: dict[str, Any]
    evaluation: pl.DataFrame
    card: dict[str, Any]
    scores: pl.DataFrame
    earlier_scores: pl.DataFrame | None
    drift: dict[str, Any]
    rings: pl.DataFrame
    members: pl.DataFrame
    evidence: pl.DataFrame
    changes: pl.DataFrame
    sets: pl.DataFrame
    quotes: pl.DataFrame
    decisions: pl.DataFrame
    summary: dict[str, Any]
    receipt: dict[str, Any]
    index: dict[str, Any]
    nulls: dict[str, Any]
    stages: list[dict[str, Any]] = field(default_factory=list)

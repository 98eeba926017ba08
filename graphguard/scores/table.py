"""The SCORES table: predictions, rings and reasons put side by side; no number is changed."""

from dataclasses import dataclass
from datetime import date

import polars as pl

from graphguard.schema import SCORES


@dataclass(frozen=True)
class ScoreFacts:
    """What is the same for every row of a night's scores."""

    entity_type: str
    model_id: str
    run_id: str
    as_of: date


def score_table(
    predictions: pl.DataFrame,
    members: pl.DataFrame,
    ring_risks: pl.DataFrame,
    reasons: pl.DataFrame,
    facts: ScoreFacts,
) -> pl.DataFrame:
    """Build SCORES.

    Args:
        predictions: PREDICTIONS; `risk_score` goes through untouched.
        members: RING_MEMBERS; users without a prediction are left out.
        ring_risks: `ring_id, ring_risk`, the risk nullable.
        reasons: `key, reasons` (JSON); a user without any gets an empty list.
        facts: Entity type, model, run and day.

    Returns:
        SCORES sorted by entity. Of several rings a user gets the one of highest `ring_risk`, then
        the one it has most evidence in, then the first by name.
    """
    ring = (
        members.select("key", "ring_id", "evidence_bits")
        .join(ring_risks.select("ring_id", "ring_risk"), on="ring_id", how="left")
        .sort(
            ["key", "ring_risk", "evidence_bits", "ring_id"],
            descending=[False, True, True, False],
            nulls_last=True,
        )
        .unique("key", keep="first", maintain_order=True)
    )
    return (
        predictions.select("key", "risk_score")
        .join(ring, on="key", how="left")
        .join(reasons.select("key", "reasons"), on="key", how="left")
        .select(
            pl.lit(facts.entity_type).alias("entity_type"),
            pl.col("key").alias("entity_id"),
            "risk_score",
            "ring_risk",
            "ring_id",
            pl.col("reasons").fill_null("[]"),
            pl.lit(facts.model_id).alias("model_id"),
            pl.lit(facts.run_id).alias("run_id"),
            pl.lit(facts.as_of).alias("as_of"),
        )
        .select(list(SCORES.columns))
        .sort("entity_type", "entity_id")
    )

"""The machine-readable twin of the page."""

from typing import Any

import polars as pl

from graphguard.report.contents import ReportContents


def metrics_json(contents: ReportContents) -> dict[str, Any]:
    """Counts, quality and verdicts of a night as plain values."""
    total = contents.intake.select(pl.col("read", "accepted", "rejected", "not_yet").sum())
    risk = contents.scores.get_column("risk_score")
    return {
        "run_id": contents.run["run_id"],
        "as_of": contents.run["as_of"],
        "intake": total.row(0, named=True),
        "rejects": contents.reject_reasons.select("source", "column", "reason", "rows").to_dicts(),
        "gates": contents.gates,
        "warnings": contents.warnings,
        "quality": contents.metrics["models"],
        "champion": contents.metrics["champion"],
        "calibration": {
            name: contents.metrics["calibration"][name]
            for name in ("ece", "brier_skill", "slope", "diagram_slope", "top_said", "top_seen")
        },
        "kinds": contents.metrics["kinds"],
        "scores": {
            "users": contents.scores.height,
            "mean": risk.mean(),
            "above_half": int((risk >= 0.5).sum()),
        },
        "rings": {
            "rings": contents.rings.height,
            "members": contents.members.height,
            "changes": dict(contents.changes.group_by("change").len().sort("change").iter_rows()),
        },
        "decisions": contents.summary,
        "drift": {name: contents.drift[name] for name in ("verdict", "reason")},
        "index": contents.index,
        "nulls": contents.nulls,
    }

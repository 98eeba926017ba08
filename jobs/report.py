"""Report: the whole run as one page, and its machine-readable twin."""

from pathlib import Path
from typing import Any

import polars as pl

from graphguard.jobs.context import Facts, Job
from graphguard.report.contents import ReportContents
from graphguard.report.metrics import metrics_json
from graphguard.report.page import render
from graphguard.ring_schema import RING_ACTS, RING_SETS
from graphguard.rings.quotes import quotes
from graphguard.schema import TABLES
from graphguard.tables.files import read_json, read_parquet, write_json

BEFORE = (
    "ingest", "build_graph", "link", "featurize", "train", "embed", "find_rings", "score",
    "decide", "export",
)  # fmt: skip


def run(job: Job, out: Path) -> Facts:
    """Write report.html and metrics.json."""
    contents = gather(job)
    (out / "report.html").write_text(render(contents), encoding="utf-8")
    write_json(out / "metrics.json", metrics_json(contents))
    return {"rows": contents.scores.height}


def gather(job: Job) -> ReportContents:
    """Read all that the page shows."""
    intake = _table(job, "ingest", "intake")
    # A night that is drawn anew after an erasure may be an older program's.
    rings = {name: TABLES[name].completed(_table(job, "find_rings", name)) for name in
             ("rings", "ring_members", "ring_evidence", "ring_changes")}  # fmt: skip
    sets, quoted = _held(job)
    nulls: dict[str, Any] = {"channels": {}, "alarms": []}
    if (job.run.stage("find_rings") / "nulls.json").is_file():
        nulls = _json(job, "find_rings", "nulls")
    earlier = None
    if job.previous is not None and job.previous.has("score"):
        earlier = read_parquet(job.previous.file("score", "scores.parquet"))
    return ReportContents(
        run={
            "run_id": job.run.run_id,
            "as_of": job.as_of.isoformat(),
            "previous": job.previous.run_id if job.previous else None,
            "versions": read_json(job.run.folder / "versions.json"),
        },
        intake=intake,
        reject_reasons=_reject_reasons(_table(job, "ingest", "rejects"), intake),
        gates=[gate for stage in BEFORE for gate in job.run.manifest(stage).get("gates", [])],
        warnings=[
            *job.run.manifest("ingest").get("warnings", []),
            *job.run.manifest("train").get("warnings", []),
            *_erasures(job),
            *(f"rings are not to be relied on, {one}" for one in nulls["alarms"]),
            *(f"no automatic action: {one}" for one in job.run.manifest("decide")["held_back_by"]),
        ],
        metrics=_json(job, "train", "metrics"),
        evaluation=_table(job, "train", "evaluation"),
        card=_json(job, "train", "card"),
        scores=_table(job, "score", "scores"),
        earlier_scores=earlier,
        drift=_json(job, "decide", "drift"),
        rings=rings["rings"],
        members=rings["ring_members"],
        evidence=rings["ring_evidence"],
        changes=rings["ring_changes"],
        sets=sets,
        quotes=quoted,
        decisions=_table(job, "decide", "decisions"),
        summary=_json(job, "decide", "summary"),
        receipt=_json(job, "export", "receipt"),
        index=_json(job, "find_rings", "index"),
        nulls=nulls,
        stages=[_stage(job, stage) for stage in BEFORE],
    )


def _held(job: Job) -> tuple[pl.DataFrame, pl.DataFrame]:
    """RING_SETS, and texts of those that say the same; none of a night of an older program."""
    folder = job.run.stage("find_rings")
    held = [
        read_parquet(folder / f"{table.name}.parquet")
        if (folder / f"{table.name}.parquet").is_file()
        else table.empty()
        for table in (RING_SETS, RING_ACTS)
    ]
    return held[0], quotes(job.run, read_json(job.run.folder / "config.json"), *held)


def _erasures(job: Job) -> list[str]:
    """What the model learned from that is no more."""
    erasures = job.run.manifest("train").get("erasures", {})
    if not erasures:
        return []
    return [
        f"the model of this night had learned from users who were erased since "
        f"({', '.join(sorted(erasures))}); the next night trains without them"
    ]


def _table(job: Job, stage: str, name: str) -> pl.DataFrame:
    return read_parquet(job.run.file(stage, f"{name}.parquet"))


def _json(job: Job, stage: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = read_json(job.run.file(stage, f"{name}.json"))
    return found


def _stage(job: Job, stage: str) -> dict[str, Any]:
    manifest = job.run.manifest(stage)
    memory = manifest.get("stage_peak_memory_mb", manifest["peak_memory_mb"])
    rows = manifest.get("rows", 0)
    return {"stage": stage, "rows": rows, "seconds": manifest["seconds"], "memory_mb": memory}


def _reject_reasons(rejects: pl.DataFrame, intake: pl.DataFrame) -> pl.DataFrame:
    """Rejected rows by source, column and reason, with the first of each as an example."""
    named = rejects.join(intake.select("file", "source").unique(), on="file", how="left")
    example = pl.format("{} row {}: {}", "file", "row", pl.col("value").fill_null("null"))
    return (
        named.with_columns(example.alias("example"))
        .sort("file", "row")
        .group_by("source", "column", "reason", maintain_order=True)
        .agg(pl.len().cast(pl.Int64).alias("rows"), pl.col("example").first())
        .sort("rows", "source", "column", "reason", descending=[True, False, False, False])
    )

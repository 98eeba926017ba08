"""Decide: scores and policy become decisions, bounded and explained; drift holds them back."""

from dataclasses import asdict
from pathlib import Path

import polars as pl

from graphguard.config.values import day_us
from graphguard.evaluate.drift import DriftReport, drift_report
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.context import Facts, Job
from graphguard.jobs.slices import slices
from graphguard.jobs.train import load_dataset
from graphguard.policy.decide import PolicyContext, decide
from graphguard.schema import DECISIONS
from graphguard.tables.anchor_rows import held_bad
from graphguard.tables.files import read_json, read_parquet, write_json, write_parquet
from graphguard.tables.people import bad_spans

NIGHTS_KEPT = 60
"""How many earlier runs are asked for decisions that still stand."""


def run(job: Job, out: Path) -> Facts:
    """Write decisions.parquet, summary.json and drift.json."""
    scores = read_parquet(job.run.file("score", "scores.parquet"))
    drift = _drift(job)
    gates = [f"drift: {drift.reason}"] if drift.verdict == "red" else []
    metrics = read_json(job.run.file("train", "metrics.json"))
    context = PolicyContext(
        policy=job.config.policy,
        as_of=job.as_of,
        run_id=job.run.run_id,
        active_users=scores.height,
        seed=job.config.training.seed,
        thresholds={name: one["threshold"] for name, one in metrics["thresholds"].items()},
        enforced=_enforced(job, scores),
        born=_born(job),
        previous=_previous_decisions(job),
        red_gates=gates,
    )
    decisions, summary = decide(scores, context)
    write_parquet(out / "decisions.parquet", decisions, DECISIONS)
    write_json(out / "summary.json", summary.as_json())
    write_json(out / "drift.json", asdict(drift))
    return {"rows": decisions.height, "acted": summary.acted, "held_back_by": gates}


def _drift(job: Job) -> DriftReport:
    """Tonight's rows against those that calibrated the model, column by column."""
    graph = HeteroGraph.open(job.run.stage("build_graph") / "graph")
    data = load_dataset(job, graph)
    spans = slices(job.config, job.as_of)
    before, now = data.inside([spans.calibrate]), data.inside([spans.score])
    return drift_report(data.rows.x[before], data.rows.x[now], data.rows.names)


def _enforced(job: Job, scores: pl.DataFrame) -> list[str]:
    """Scored users that were enforced before the cutoff (with an event anchor there are some)."""
    labels = read_parquet(job.run.file("ingest", "labels.parquet"))
    ids = job.workspace.ids(job.config.training.target).frame
    rows = (
        scores.select(pl.col("entity_id").alias("key"))
        .join(ids, on="key", how="inner", maintain_order="left")
        .select("key", pl.col("index").alias("entity"))
        .with_columns(pl.lit(day_us(job.as_of), dtype=pl.Int64).alias("anchor_us"))
    )
    bad = held_bad(rows, bad_spans(labels))
    return rows.get_column("key").filter(pl.Series(bad)).to_list()


def _born(job: Job) -> pl.DataFrame | None:
    target = job.config.training.target
    if target not in job.config.entities:
        return None
    entities = read_parquet(job.run.file("ingest", f"entities/{target}.parquet"))
    named = job.workspace.ids(target).decode(entities, "entity", "key")
    return named.select("key", "born_us")


def _previous_decisions(job: Job) -> pl.DataFrame | None:
    """Decisions of earlier nights; the policy itself leaves out what has expired."""
    found = [
        read_parquet(run.file("decide", "decisions.parquet"))
        for run in job.workspace.earlier_runs(job.as_of)[:NIGHTS_KEPT]
        if run.has("decide")
    ]
    return pl.concat(found) if found else None

"""Decide: scores and policy become decisions, bounded and explained; drift holds them back."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.config.values import day_us
from graphguard.evaluate.drift import Past
from graphguard.evaluate.gate import GateInputs, GateReport, LabelCount, drift_gate
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.context import Facts, Job
from graphguard.jobs.embed import calibrator_tonight
from graphguard.jobs.linked import linked_groups
from graphguard.jobs.slices import slices
from graphguard.jobs.train import load_dataset
from graphguard.models.base import explainer_of, load_model
from graphguard.models.certify import between
from graphguard.policy.decide import PolicyContext, decide
from graphguard.schema import DECISIONS
from graphguard.tables.anchor_rows import held_bad
from graphguard.tables.files import read_json, read_parquet, write_json, write_parquet
from graphguard.tables.people import bad_spans
from graphguard.tables.workspace import Run

NIGHTS_KEPT = 60
"""How many earlier runs are asked for decisions that still stand."""


def run(job: Job, out: Path) -> Facts:
    """Write decisions.parquet, summary.json and drift.json."""
    scores = read_parquet(job.run.file("score", "scores.parquet"))
    drift = _drift(job)
    gates = [f"drift: {drift.reason}"] if drift.verdict == "red" else []
    context = PolicyContext(
        policy=job.config.policy,
        as_of=job.as_of,
        run_id=job.run.run_id,
        active_users=scores.height,
        seed=job.config.training.seed,
        thresholds=thresholds_tonight(job.run),
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


def thresholds_tonight(run: Run) -> dict[str, float | None]:
    """The certified threshold of each action on the scale of tonight's probabilities.

    Never lower than as certified: where tonight's level is higher, so is the threshold, and the
    same raw scores lie above it; where it is lower, only those that still say as much do.
    """
    tonight = calibrator_tonight(run)
    found: dict[str, float | None] = {}
    for name, one in read_json(run.file("train", "metrics.json"))["thresholds"].items():
        held = one["threshold"]
        ends = one.get("ends")  # An older program's night stands where it was certified.
        found[name] = held if ends is None else max(held, between(ends, tonight.apply))
    return found


def _drift(job: Job) -> GateReport:
    """Tonight's rows and scores, and the newest labels, against those of past anchors."""
    graph = HeteroGraph.open(job.run.stage("build_graph") / "graph")
    data = load_dataset(job, graph)
    spans = slices(job.config, job.as_of)
    anchors = [data.inside([one]) for one in (*spans.train, spans.select, spans.calibrate)]
    group = linked_groups(job, graph, every=True)[data.rows.node]
    labels = []
    for rows in anchors:
        positive = rows[data.label_of(rows) == 1]
        labels.append(LabelCount(len(set(group[positive].tolist())), len(rows)))
    model = load_model(job.run.stage("train") / "model")
    return drift_gate(
        GateInputs(
            rows=[data.rows.x[rows] for rows in (*anchors, data.inside([spans.score]))],
            names=data.rows.names,
            scores=_scores(job),
            labels=labels,
            past=Past(gains=getattr(explainer_of(model), "gains", {})),
        )
    )


def _scores(job: Job) -> list[NDArray[np.float64]]:
    """The champion's own probabilities on the selection slice, the newest anchor, and tonight."""
    champion = read_json(job.run.file("train", "metrics.json"))["champion"]
    table = read_parquet(job.run.file("train", "evaluation.parquet"))
    mine = table.filter(pl.col("model") == champion)
    select = pl.col("slice") == "select"
    tonight = read_parquet(job.run.file("embed", "predictions.parquet"))
    frames = (mine.filter(select), mine.filter(~select), tonight)
    return [frame.get_column("raw").to_numpy() for frame in frames]


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

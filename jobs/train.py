"""Train: fit every model on past anchors, choose, calibrate and certify on later ones."""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.config.values import day_us
from graphguard.evaluate.echo import label_echoes
from graphguard.evaluate.splits import split_in_half_by_component
from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.keyed import key_hash, seeded
from graphguard.jobs.context import Facts, Job
from graphguard.jobs.fitting import fit_models
from graphguard.jobs.judge import (
    HELD_OUT,
    Judged,
    Parts,
    Scores,
    bootstrap,
    calibrate,
    card_of,
    metrics_of,
)
from graphguard.jobs.linked import linked_groups
from graphguard.jobs.slices import slices
from graphguard.models.base import GraphContext, Model, Refits, Rows, RowsInvalid
from graphguard.models.dataset import Dataset, make_dataset, require_classes
from graphguard.models.select import Choice, choose_champion
from graphguard.schema import EVALUATION
from graphguard.tables.anchor_rows import held_bad, label_rows
from graphguard.tables.events import read_features
from graphguard.tables.files import read_json, read_parquet, write_json, write_parquet
from graphguard.tables.people import bad_spans

ECHOES_TOLD = 5
"""Most columns named that repeat the label."""


def run(job: Job, out: Path) -> Facts:
    """Write model/, challengers/, evaluation.parquet, metrics.json and card.json."""
    graph = HeteroGraph.open(job.run.stage("build_graph") / "graph")
    data = load_dataset(job, graph)
    context = graph_context(job, graph, data)
    group = linked_groups(job, graph)
    parts = _positions(job, data, group)
    train, select = (data.rows.take(parts[name]) for name in ("train", "select"))
    fitted = fit_models(job, train, select, context)
    models = fitted.models
    held_out = np.concatenate([parts[name] for name in HELD_OUT])
    chosen_by = _predictions(models, data.rows.take(parts["select"]), context)
    choice = _choose(job, chosen_by, data.label_of(parts["select"]))
    if job.config.training.refit:
        _refit(models, data.rows.take(np.concatenate([parts["train"], parts["select"]])), context)
    later = _predictions(models, data.rows.take(held_out[len(parts["select"]) :]), context)
    raw = {name: np.concatenate([chosen_by[name], later[name]]) for name in models}
    judged = Judged(job, data, parts, raw, group, fitted.trials)
    calibrators, table = calibrate(judged)
    write_parquet(out / "evaluation.parquet", table, EVALUATION)
    for name, model in models.items():
        folder = out / "model" if name == choice.champion else out / "challengers" / name
        model.save(folder)
        calibrators[name].save(folder / "calibrator.json")
    metrics = metrics_of(judged, table, choice, calibrators[choice.champion])
    write_json(out / "metrics.json", metrics)
    write_json(out / "card.json", card_of(judged, models[choice.champion], metrics))
    return {
        "rows": len(data.rows),
        "champion": choice.champion,
        "gates": [],
        "warnings": _echoes(train),
    }


def graph_context(job: Job, graph: HeteroGraph, data: Dataset) -> GraphContext:
    """What models may look at beside the rows."""
    settings = job.config.training
    window, horizon = job.config.graph.window.us, settings.horizon.us
    return GraphContext(graph, settings.target, window, data.rows, horizon, settings.static)


def load_dataset(job: Job, graph: HeteroGraph) -> Dataset:
    """All feature rows of the run, with the labels that may train."""
    target = job.config.training.target
    features = read_features(job.run, target)
    labels = read_parquet(job.run.file("ingest", "labels.parquet"))
    _require_standing(features, labels)
    horizon = job.config.training.horizon.us
    label = label_rows(features, bad_spans(labels.filter("trains")), horizon, day_us(job.as_of))
    node = graph.dense(target, features.get_column("entity").to_numpy())
    return make_dataset(features, node, label)


def _require_standing(features: pl.DataFrame, labels: pl.DataFrame) -> None:
    """Refuse rows that would train or be scored although their user was enforced before the anchor.

    A banned user acts no more, and a model would learn that silence means a ban.
    """
    late = features.filter(pl.col("scored") & pl.Series(held_bad(features, bad_spans(labels))))
    if late.height:
        field = "scored"
        reason = (
            f"{late.height} rows are of users enforced before their anchor, first "
            f"'{late.item(0, 'key')}': what follows a ban would tell the label"
        )
        raise RowsInvalid(field, reason)


def _positions(job: Job, data: Dataset, group: NDArray[np.int32]) -> Parts:
    """Rows of each slice; the newest one is split in half so that linked users stay together."""
    spans = slices(job.config, job.as_of)
    newest = data.inside([spans.calibrate])
    hashed = seeded(key_hash(data.keys.gather(newest)), job.config.training.seed)
    linked = group[data.rows.node[newest]]
    first = split_in_half_by_component(linked, hashed, data.label_of(newest))
    parts = {
        "train": data.inside(spans.train),
        "select": data.inside([spans.select]),
        "calibrate": newest[first],
        "certify": newest[~first],
    }
    for name, rows in parts.items():
        needed = job.config.training.min_positives if name in ("train", "select") else 1
        require_classes(f"slice '{name}'", data.rows.take(rows), needed)
    return parts


def _echoes(train: Rows) -> list[str]:
    """Columns that repeat the label, in words."""
    label = np.zeros(len(train), dtype=np.int8) if train.label is None else train.label
    return [str(echo) for echo in label_echoes(train.x, label, train.names)[:ECHOES_TOLD]]


def _predictions(models: dict[str, Model], rows: Rows, context: GraphContext) -> Scores:
    return {name: model.predict(rows, context) for name, model in models.items()}


def _refit(models: dict[str, Model], rows: Rows, context: GraphContext) -> None:
    """Let models learn from the newest labels too, now that they are judged."""
    for model in models.values():
        if isinstance(model, Refits):
            model.refit(rows, context)


def labels_of(data: Dataset, rows: NDArray[np.int64]) -> NDArray[np.int8]:
    """Labels of the rows at these positions, shape [rows], int8."""
    return data.label_of(rows)


def _choose(job: Job, scores: Scores, label: NDArray[np.int8]) -> Choice:
    before = None
    if job.previous is not None and job.previous.has("train"):
        before = read_json(job.previous.file("train", "metrics.json"))["champion"]
    budget = job.config.policy.review_budget
    return choose_champion(scores, label, budget, before, bootstrap(job))

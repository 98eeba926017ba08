"""Train: fit every model on past anchors, choose, calibrate and certify on later ones."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.config.anchors import calendar_anchors
from graphguard.config.values import day_us
from graphguard.evaluate.bootstrap import Bootstrap, Interval, intervals
from graphguard.evaluate.echo import label_echoes
from graphguard.evaluate.metrics import brier_skill, expected_calibration_error, reliability_bins
from graphguard.evaluate.ranking import RankMetric, rank_metrics
from graphguard.evaluate.splits import split_in_half_by_component
from graphguard.graph.components import linked_components
from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.keyed import key_hash, seeded
from graphguard.jobs.context import Facts, Job
from graphguard.jobs.fitting import fit_models
from graphguard.jobs.slices import slices
from graphguard.models.base import GraphContext, Model, Refits, Rows, RowsInvalid, explainer_of
from graphguard.models.calibrate import Calibrator, fit_calibrator
from graphguard.models.card import CardFacts, model_card, summarise_slice
from graphguard.models.certify import certify_threshold
from graphguard.models.dataset import Dataset, make_dataset, require_classes
from graphguard.models.select import Choice, choose_champion
from graphguard.schema import EVALUATION
from graphguard.tables.anchor_rows import held_bad, label_rows
from graphguard.tables.events import read_features, read_pairs
from graphguard.tables.files import fingerprint, read_json, read_parquet, write_json, write_parquet
from graphguard.tables.people import bad_spans

HELD_OUT = ("select", "calibrate", "certify")
Scores = dict[str, NDArray[np.float32]]
ECHOES_TOLD = 5
"""Most columns named that repeat the label."""


def run(job: Job, out: Path) -> Facts:
    """Write model/, challengers/, evaluation.parquet, metrics.json and card.json."""
    graph = HeteroGraph.open(job.run.stage("build_graph") / "graph")
    data = load_dataset(job, graph)
    context = graph_context(job, graph, data)
    parts = _positions(job, data, graph)
    train, select = (data.rows.take(parts[name]) for name in ("train", "select"))
    models = fit_models(job, train, select, context)
    held_out = np.concatenate([parts[name] for name in HELD_OUT])
    judged = _predictions(models, data.rows.take(parts["select"]), context)
    choice = _choose(job, judged, labels_of(data, parts["select"]))
    if job.config.training.refit:
        _refit(models, data.rows.take(np.concatenate([parts["train"], parts["select"]])), context)
    later = _predictions(models, data.rows.take(held_out[len(parts["select"]) :]), context)
    raw = {name: np.concatenate([judged[name], later[name]]) for name in models}
    calibrators = {
        name: _calibrate(score, data, held_out, parts["calibrate"]) for name, score in raw.items()
    }
    table = _evaluation(data, parts, held_out, raw, calibrators)
    write_parquet(out / "evaluation.parquet", table, EVALUATION)
    for name, model in models.items():
        folder = out / "model" if name == choice.champion else out / "challengers" / name
        model.save(folder)
        calibrators[name].save(folder / "calibrator.json")
    group = _components(job, graph)[data.rows.node[parts["certify"]]]
    metrics = _metrics(job, table, choice, group)
    metrics["model_id"] = _model_id(job, choice.champion, metrics)
    write_json(out / "metrics.json", metrics)
    write_json(out / "card.json", _card(job, data, parts, models[choice.champion], metrics))
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


def _positions(job: Job, data: Dataset, graph: HeteroGraph) -> dict[str, NDArray[np.int64]]:
    """Rows of each slice; the newest one is split in half so that linked users stay together."""
    spans = slices(job.config, job.as_of)
    newest = data.inside([spans.calibrate])
    group = _components(job, graph)[data.rows.node[newest]]
    hashed = seeded(key_hash(data.keys.gather(newest)), job.config.training.seed)
    first = split_in_half_by_component(group, hashed, labels_of(data, newest))
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
    if data.rows.label is None:
        message = "the dataset carries no labels"
        raise ValueError(message)
    return data.rows.label[rows]


def _components(job: Job, graph: HeteroGraph) -> NDArray[np.int32]:
    """Component of every target node over the significant pairs of the calibration rows' days.

    Links of the window before the anchor tie a ring's rows, links since then those members who met
    inside the horizon that the labels tell of.
    """
    days = [job.as_of]
    if job.config.training.calendar:
        days.append(calendar_anchors(job.config, job.as_of).calibrate)
    pairs = pl.concat([read_pairs(job.run, f"anchor={day.isoformat()}") for day in days])
    limit = np.log10(job.config.rings.false_discovery_rate)
    strong = pairs.filter(pl.col("log10_q") <= limit)
    target = job.config.training.target
    ends = [
        graph.dense(target, strong.get_column(name).to_numpy()) for name in ("user_a", "user_b")
    ]
    return linked_components(graph.num_nodes[target], ends[0], ends[1])


def _choose(job: Job, scores: Scores, label: NDArray[np.int8]) -> Choice:
    before = None
    if job.previous is not None and job.previous.has("train"):
        before = read_json(job.previous.file("train", "metrics.json"))["champion"]
    budget = job.config.policy.review_budget
    return choose_champion(scores, label, budget, before, _bootstrap(job))


def _bootstrap(job: Job) -> Bootstrap:
    return Bootstrap(seed=job.config.training.seed)


def _calibrate(
    score: NDArray[np.float32],
    data: Dataset,
    held_out: NDArray[np.int64],
    calibrate: NDArray[np.int64],
) -> Calibrator:
    mine = np.isin(held_out, calibrate)
    return fit_calibrator(score[mine], labels_of(data, held_out[mine]))


def _evaluation(
    data: Dataset,
    parts: dict[str, NDArray[np.int64]],
    held_out: NDArray[np.int64],
    raw: Scores,
    calibrators: dict[str, Calibrator],
) -> pl.DataFrame:
    """EVALUATION: every model's scores of the rows that did not train it."""
    slice_of = np.repeat(HELD_OUT, [len(parts[name]) for name in HELD_OUT])
    base = pl.DataFrame(
        {
            "key": data.keys.gather(held_out),
            "anchor_us": data.rows.anchor_us[held_out],
            "slice": slice_of.tolist(),
            "label": labels_of(data, held_out).astype(np.bool_),
        }
    )
    frames = [
        base.with_columns(
            pl.lit(name).alias("model"),
            pl.Series("raw", score.astype(np.float64)),
            pl.Series("risk_score", calibrators[name].apply(score).astype(np.float64)),
        )
        for name, score in raw.items()
    ]
    return pl.concat(frames).select(list(EVALUATION.columns))


def _metrics(
    job: Job, table: pl.DataFrame, choice: Choice, group: NDArray[np.int32]
) -> dict[str, Any]:
    """metrics.json: quality by model and slice, the champion's calibration and thresholds."""
    ranked = rank_metrics(job.config.policy.review_budget)
    models: dict[str, Any] = {}
    for name in choice.metrics:
        mine = table.filter(pl.col("model") == name)
        newest = mine.filter(pl.col("slice") != "select")
        held: dict[str, Any] = {
            part: {
                metric: asdict(value) for metric, value in _intervals(job, frame, ranked).items()
            }
            for part, frame in (
                ("select", mine.filter(pl.col("slice") == "select")),
                ("newest", newest),
            )
        }
        models[name] = held
    champion = table.filter(pl.col("model") == choice.champion)
    proof = champion.filter(pl.col("slice") == "certify")
    probability = proof.get_column("risk_score").to_numpy()
    label = proof.get_column("label").to_numpy().astype(np.int8)
    return {
        "champion": choice.champion,
        "champion_reason": choice.reason,
        "models": models,
        "review_budget": job.config.policy.review_budget,
        "calibration": {
            "slice": "certify",
            "ece": expected_calibration_error(probability, label),
            "brier_skill": brier_skill(probability, label),
            "bins": [asdict(one) for one in reliability_bins(probability, label)],
        },
        "thresholds": _thresholds(job, proof, group),
    }


def _intervals(job: Job, frame: pl.DataFrame, ranked: dict[str, RankMetric]) -> dict[str, Interval]:
    label = frame.get_column("label").to_numpy().astype(np.int8)
    return intervals(frame.get_column("risk_score").to_numpy(), label, ranked, _bootstrap(job))


def _thresholds(job: Job, proof: pl.DataFrame, group: NDArray[np.int32]) -> dict[str, Any]:
    """What the certification slice proves for each action that promises a precision.

    Linked users count together: a ring of twenty is one piece of evidence.
    """
    found = {}
    for action in job.config.policy.actions:
        if action.precision is not None and action.score == "risk_score":
            certificate = certify_threshold(
                proof.get_column("risk_score").to_numpy(),
                proof.get_column("label").to_numpy().astype(np.int8),
                action.precision,
                action.confidence,
                group,
            )
            found[action.name] = asdict(certificate)
    return found


def _model_id(job: Job, champion: str, metrics: dict[str, Any]) -> str:
    """`trees-2026-01-31-1a2b3c4d`: the same inputs give the same id."""
    mark = fingerprint([metrics, read_json(job.run.folder / "config.json")])
    return f"{champion}-{job.as_of}-{mark[:8]}"


def _card(
    job: Job,
    data: Dataset,
    parts: dict[str, NDArray[np.int64]],
    champion: Model,
    metrics: dict[str, Any],
) -> dict[str, Any]:
    settings: dict[str, Any] = getattr(job.config.training, champion.name).model_dump(mode="json")
    # Of an ensemble: how much each member weighs.
    settings |= {"shares": shares} if (shares := getattr(champion, "shares", None)) else {}
    quality = {
        part: {name: Interval(**value) for name, value in found.items()}
        for part, found in metrics["models"][champion.name].items()
    }
    facts = CardFacts(
        model=metrics["model_id"],
        settings=settings,
        horizon_us=job.config.training.horizon.us,
        slices=[summarise_slice(name, data.rows.take(rows)) for name, rows in parts.items()],
        metrics=quality,
        columns=data.rows.names,
        gains=getattr(explainer_of(champion), "gains", {}),
        versions=read_json(job.run.folder / "versions.json"),
    )
    return model_card(facts)

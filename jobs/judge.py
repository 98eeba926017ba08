"""Judge: how good the models are on rows that did not train them, and what may be promised."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.evaluate.bootstrap import Bootstrap, Interval, intervals
from graphguard.evaluate.calibration import calibration_report
from graphguard.evaluate.ranking import Floats, rank_metrics
from graphguard.evaluate.subgroups import by_subgroup
from graphguard.jobs.context import Job
from graphguard.models.base import Model, explainer_of
from graphguard.models.calibrate import Calibrator
from graphguard.models.card import CardFacts, model_card, summarise_slice
from graphguard.models.certify import between, certify_threshold, ends_of, precision_there
from graphguard.models.crossfit import HeldOut, cross_fit
from graphguard.models.dataset import Dataset
from graphguard.models.kinds import kinds_of_rows
from graphguard.models.search import Trial, best_of
from graphguard.models.select import Choice
from graphguard.schema import EVALUATION
from graphguard.tables.files import fingerprint, read_json

HELD_OUT = ("select", "calibrate", "certify")
Scores = dict[str, NDArray[np.float32]]
Parts = dict[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Judged:
    """The models' scores of held-out rows, in the order of HELD_OUT.

    Attributes:
        job: The night.
        data: All rows.
        parts: Positions of each slice's rows.
        raw: Each model's own probability of the held-out rows.
        group: Component of every target node.
        trials: What a search of settings has tried, by family.
    """

    job: Job
    data: Dataset
    parts: Parts
    raw: Scores
    group: NDArray[np.int32]
    trials: dict[str, list[Trial]] = field(default_factory=dict)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Positions of the held-out rows."""
        return np.concatenate([self.parts[name] for name in HELD_OUT])

    @property
    def slice_(self) -> NDArray[Any]:
        """Slice of each held-out row."""
        return np.repeat(HELD_OUT, [len(self.parts[name]) for name in HELD_OUT])

    @property
    def label(self) -> NDArray[np.int8]:
        """Label of each held-out row."""
        return self.data.label_of(self.rows)

    def held_out(self, name: str) -> HeldOut:
        """One model's held-out rows."""
        group = self.group[self.data.rows.node[self.rows]]
        day = self.slice_ == "select"
        before = self.data.label_of(self.parts["train"])
        earlier = float(before.mean()) if len(before) else None
        return HeldOut(self.raw[name], self.label, self.slice_, day, group, earlier)


def calibrate(judged: Judged) -> tuple[dict[str, Calibrator], pl.DataFrame]:
    """Calibrators by model, and EVALUATION: scores of rows by calibrators that never saw them."""
    base = pl.DataFrame(
        {
            "key": judged.data.keys.gather(judged.rows),
            "anchor_us": judged.data.rows.anchor_us[judged.rows],
            "slice": judged.slice_.tolist(),
            "label": judged.label.astype(np.bool_),
        }
    )
    calibrators, frames = {}, []
    for name, score in judged.raw.items():
        calibrators[name], told = cross_fit(judged.held_out(name))
        frames.append(
            base.with_columns(
                pl.lit(name).alias("model"),
                pl.Series("raw", score.astype(np.float64)),
                pl.Series("risk_score", told),
            )
        )
    return calibrators, pl.concat(frames).select(list(EVALUATION.columns))


def metrics_of(
    judged: Judged, table: pl.DataFrame, choice: Choice, calibrator: Calibrator
) -> dict[str, Any]:
    """metrics.json: quality by model, slice and kind, calibration and thresholds of the champion.

    Args:
        judged: Held-out rows.
        table: EVALUATION.
        choice: The champion.
        calibrator: The champion's.
    """
    job = judged.job
    champion = table.filter(pl.col("model") == choice.champion, pl.col("slice") != "select")
    told = champion.get_column("risk_score").to_numpy()
    label = champion.get_column("label").to_numpy().astype(np.int8)
    metrics = {
        "champion": choice.champion,
        "champion_reason": choice.reason,
        "models": {
            name: _quality(job, table.filter(pl.col("model") == name)) for name in choice.metrics
        },
        "kinds": _kinds(judged, champion.get_column("raw").to_numpy(), label),
        "review_budget": job.config.policy.review_budget,
        "calibration": {
            "slice": "newest",
            "method": calibrator.method,
            "transfer_slope": calibrator.slope,
            **asdict(calibration_report(told, label)),
        },
        "thresholds": _thresholds(judged, choice.champion, calibrator),
        "search": {name: [asdict(one) for one in tried] for name, tried in judged.trials.items()},
    }
    mark = fingerprint([metrics, read_json(job.run.folder / "config.json")])
    metrics["model_id"] = f"{choice.champion}-{job.as_of}-{mark[:8]}"
    return metrics


def bootstrap(job: Job) -> Bootstrap:
    """How this night makes intervals."""
    return Bootstrap(seed=job.config.training.seed)


def _quality(job: Job, mine: pl.DataFrame) -> dict[str, Any]:
    """Rank metrics of one model on the selection slice and on the newest anchor."""
    parts = {"select": pl.col("slice") == "select", "newest": pl.col("slice") != "select"}
    ranked = rank_metrics(job.config.policy.review_budget)
    found = {}
    for part, inside in parts.items():
        frame = mine.filter(inside)
        label = frame.get_column("label").to_numpy().astype(np.int8)
        made = intervals(frame.get_column("raw").to_numpy(), label, ranked, bootstrap(job))
        found[part] = {name: asdict(value) for name, value in made.items()}
    return found


def _kinds(judged: Judged, score: Floats, label: NDArray[np.int8]) -> list[dict[str, Any]]:
    """The champion on newcomers and on the least active, on the newest anchor."""
    rows = judged.data.rows
    newest = np.concatenate([judged.parts["calibrate"], judged.parts["certify"]])
    first = rows.anchor_us[newest].min() if len(newest) else 0
    kinds = kinds_of_rows(rows.take(newest), rows.take(rows.anchor_us < first))
    ranked = rank_metrics(judged.job.config.policy.review_budget)
    found = by_subgroup(score, label, kinds, ranked, bootstrap(judged.job))
    return [asdict(one) for one in found]


def _thresholds(judged: Judged, champion: str, calibrator: Calibrator) -> dict[str, Any]:
    """What the newest anchor proves for each action that promises a precision.

    All of its rows prove: no model has seen them, and a calibrator, which has, changes no order.
    Linked users count together: a ring of twenty is one piece of evidence. A newest anchor of many
    positives must show more than is promised.
    """
    every = judged.held_out(champion)
    rows = every.take(every.slice_ != "select")
    share = float(np.mean(rows.label))
    found = {}
    for action in judged.job.config.policy.actions:
        if action.precision is not None and action.score == "risk_score":
            shown = precision_there(action.precision, share, every.expected)
            proof = certify_threshold(rows.score, rows.label, shown, action.confidence, rows.group)
            if shown > action.precision:
                more = f"{share:.2%} positives here, {every.expected:.2%} to be expected"
                told = f"for precision {action.precision:g} at tonight's share ({more}): "
                proof = replace(proof, reason=told + proof.reason)
            ends = ends_of(proof, rows.score)
            threshold = between(ends, calibrator.apply) if ends else None
            found[action.name] = {**asdict(proof), "threshold": threshold, "ends": ends}
    return found


def card_of(judged: Judged, champion: Model, metrics: dict[str, Any]) -> dict[str, Any]:
    """card.json of the champion."""
    job, data = judged.job, judged.data
    quality = {
        part: {name: Interval(**value) for name, value in found.items()}
        for part, found in metrics["models"][champion.name].items()
    }
    facts = CardFacts(
        model=metrics["model_id"],
        settings=_settings_of(judged, champion),
        horizon_us=job.config.training.horizon.us,
        slices=[summarise_slice(name, data.rows.take(rows)) for name, rows in judged.parts.items()],
        metrics=quality,
        kinds=metrics["kinds"],
        calibration=metrics["calibration"],
        columns=data.rows.names,
        gains=getattr(explainer_of(champion), "gains", {}),
        versions=read_json(job.run.folder / "versions.json"),
    )
    return model_card(facts)


def _settings_of(judged: Judged, champion: Model) -> dict[str, Any]:
    """The champion's settings; those that a search found, and of an ensemble each one's weight."""
    tried = judged.trials.get(champion.name)
    standing = getattr(judged.job.config.training, champion.name)
    settings: dict[str, Any] = standing.model_dump(mode="json")
    if tried:
        settings |= {**best_of(tried).settings, "search": [asdict(one) for one in tried]}
    shares = getattr(champion, "shares", None)
    return settings | ({"shares": shares} if shares else {})

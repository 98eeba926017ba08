"""How well models rank users of generated platforms: by kind of abuse, and users never trained on.

Positives are the abusive of the truth, among users whom nobody had labelled before the cutoff.
Inductive loss: a fifth of all users, by a hash of their key, is taken out of every row that trains,
the same model learns from the others, and both models rank that fifth.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from judging import as_cell, as_list
from numpy.typing import NDArray
from result import say

from graphguard.evaluate.bootstrap import Bootstrap, intervals, paired_difference
from graphguard.evaluate.ranking import rank_metrics
from graphguard.graph.keyed import key_hash, seeded
from graphguard.jobs.context import Job
from graphguard.jobs.fitting import model_settings
from graphguard.jobs.slices import slices
from graphguard.models.base import GraphContext, Refits, open_model
from graphguard.models.dataset import Dataset

BUDGET = 200
METRICS = ("auprc", "precision_at_budget", "auroc", "recall_at_fpr_0.01")
SOLO = "solo"
UNSEEN_SHARE = 5
"""One user in so many is taken out of training."""
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass
class Ranked:
    """What the seeds gave, one entry a seed."""

    label: list[Flags] = field(default_factory=list)
    acts: list[NDArray[np.int64]] = field(default_factory=list)
    kind: list[NDArray[Any]] = field(default_factory=list)
    score: dict[str, list[Floats]] = field(default_factory=dict)
    unseen: list[Flags] = field(default_factory=list)
    """Users taken out of training for `without`."""
    without: list[Floats] = field(default_factory=list)
    """Scores by the trees that had not learned from these users."""


def unseen_users(data: Dataset, rows: NDArray[np.int64], seed: int) -> Flags:
    """Whether each row's user is one of the fifth that is taken out."""
    return seeded(key_hash(data.keys.gather(rows)), seed) % UNSEEN_SHARE == 0


def scores_without(
    job: Job, data: Dataset, context: GraphContext, rows: NDArray[np.int64]
) -> Floats:
    """Scores of rows by trees that learned from all users but the fifth."""
    spans = slices(job.config, job.as_of)
    parts = [data.inside(spans.train), data.inside([spans.select])]
    kept = [part[~unseen_users(data, part, job.config.training.seed)] for part in parts]
    model = open_model("trees", model_settings(job, "trees"))
    train, select = (data.rows.take(part) for part in kept)
    model.fit(train, select, context)
    if job.config.training.refit and isinstance(model, Refits):
        model.refit(data.rows.take(np.concatenate(kept)), context)
    return model.predict(data.rows.take(rows), context).astype(np.float64)


def models_table(found: Ranked, peer: str) -> dict[str, Any]:
    """Print and return the models' figures, all seeds pooled."""
    label, acts = np.concatenate(found.label), np.concatenate(found.acts)
    metrics = chosen_metrics(len(found.label))
    result: dict[str, Any] = {}
    say("| positives | model | AUPRC | precision at the review budget | AUROC | recall at 1% FPR |")
    say("|---|---|---|---|---|---|")
    for title, kept in (
        ("all abusive", np.ones(len(label), bool)),
        ("active", (acts > 0) | ~label),
        ("active twice", (acts > 1) | ~label),
    ):
        block: dict[str, Any] = {"users": int(kept.sum()), "positives": int(label[kept].sum())}
        scores = {name: np.concatenate(parts)[kept] for name, parts in found.score.items()}
        for name, score in scores.items():
            value = intervals(score, label[kept], metrics, Bootstrap(seed=0))
            block[name] = {metric: as_list(value[metric]) for metric in METRICS}
            cells = " | ".join(as_cell(value[metric]) for metric in METRICS)
            say(f"| {title} ({block['positives']}) | {name} | {cells} |")
        if "trees" in scores:
            pair = (scores["trees"], scores[peer])
            lead = paired_difference(pair, label[kept], metrics, Bootstrap(seed=0))
            block["trees_minus_counts"] = {metric: as_list(lead[metric]) for metric in METRICS}
        result[title.replace(" ", "_")] = block
    result["kinds"] = kinds_table(found)
    if found.without:
        result["inductive"] = inductive_table(found)
    return {"models": result}


def chosen_metrics(seeds: int) -> dict[str, Any]:
    """The metrics of the tables, with a review budget for each seed."""
    return {name: one for name, one in rank_metrics(BUDGET * seeds).items() if name in METRICS}


def kinds_table(found: Ranked) -> dict[str, Any]:
    """Print and return, by kind of abuse, the recall at 1% false positives of those who acted."""
    label, acts = np.concatenate(found.label), np.concatenate(found.acts)
    kind = np.concatenate(found.kind)
    names = [*sorted(set(kind[label]) - {SOLO}), SOLO]
    say(
        "| kind | acted | " + " | ".join(f"{name}: recall at 1% FPR" for name in found.score) + " |"
    )
    say("|---|---|" + "---|" * len(found.score))
    result: dict[str, Any] = {}
    for name in names:
        mine = (kind == name) & (acts > 0)
        row: dict[str, Any] = {"acted": int(mine.sum())}
        for model, parts in found.score.items():
            score = np.concatenate(parts)
            edge = np.quantile(score[~label], 0.99)
            row[model] = round(float(np.mean(score[mine] > edge)), 3) if mine.any() else None
        result[name] = row
        say("| " + " | ".join([name, *(str(value) for value in row.values())]) + " |")
    return result


def inductive_table(found: Ranked) -> dict[str, Any]:
    """Print and return what trees lose on users that no row of theirs taught."""
    unseen = np.concatenate(found.unseen)
    label, acts = np.concatenate(found.label)[unseen], np.concatenate(found.acts)[unseen]
    scores = (np.concatenate(found.without)[unseen], np.concatenate(found.score["trees"])[unseen])
    metrics = {
        name: one for name, one in chosen_metrics(1).items() if name != "precision_at_budget"
    }
    result: dict[str, Any] = {}
    say("| users taken out of training | positives | metric | taught | not taught | difference |")
    say("|---|---|---|---|---|---|")
    for title, kept in (("all abusive", acts >= 0), ("active", (acts > 0) | ~label)):
        mine = label[kept]
        told = [intervals(one[kept], mine, metrics, Bootstrap(seed=0)) for one in scores]
        pair = (scores[0][kept], scores[1][kept])
        gap = paired_difference(pair, mine, metrics, Bootstrap(seed=0))
        result[title.replace(" ", "_")] = {metric: as_list(gap[metric]) for metric in metrics}
        for metric in metrics:
            cells = (
                f"{as_cell(told[1][metric])} | {as_cell(told[0][metric])} | {as_cell(gap[metric])}"
            )
            say(f"| {title} | {int(mine.sum())} | {metric} | {cells} |")
    return result

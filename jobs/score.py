"""Score: calibrated risk with reasons in plain words, and the ring each user belongs to."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.features.catalogue import column_catalogue
from graphguard.features.groups import group_catalogue
from graphguard.features.islands import island_catalogue
from graphguard.features.neighbours import neighbour_catalogue
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.context import Facts, Job
from graphguard.jobs.counterfactual import counterfactuals
from graphguard.jobs.evidence import flagged_users, read_evidence
from graphguard.jobs.slices import slices
from graphguard.jobs.train import graph_context, load_dataset
from graphguard.models.base import Explains, GraphContext, Rows, explainer_of, load_model
from graphguard.models.dataset import Dataset
from graphguard.models.link_pushes import link_explainer_of
from graphguard.models.makers import maker_phrases
from graphguard.schema import SCORES
from graphguard.scores.facts import shared_facts
from graphguard.scores.left_out import LINKS, counterfactual_reasons, link_reasons
from graphguard.scores.reasons import (
    Contributions,
    Source,
    coaction_reasons,
    column_reasons,
    population_contributions,
    reasons_json,
    ring_reasons,
    shared_reasons,
)
from graphguard.scores.ring_risk import mature_rings, ring_risk
from graphguard.scores.table import ScoreFacts, score_table
from graphguard.tables.files import read_json, read_parquet, write_parquet

EXPLAINED = 2_000
"""Users of highest risk whose columns are explained; the others keep ring and sharing reasons."""

LINKED = 200
"""Users of highest risk whose links are left out one by one, where a network is in use."""

NIGHTS_LEARNED = 60
"""How many earlier nights the ring risk learns from."""


def run(job: Job, out: Path) -> Facts:
    """Write scores.parquet."""
    predictions = read_parquet(job.run.file("embed", "predictions.parquet"))
    rings, members = (
        read_parquet(job.run.file("find_rings", f"{name}.parquet"))
        for name in ("rings", "ring_members")
    )
    metrics = read_json(job.run.file("train", "metrics.json"))
    graph = HeteroGraph.open(job.run.stage("build_graph") / "graph")
    data = load_dataset(job, graph)
    context = graph_context(job, graph, data)
    facts = read_evidence(job, graph)
    parts = [
        _column_reasons(job, (data, context), predictions),
        link_reasons(_links(job, (data, context), predictions)),
        ring_reasons(rings, members),
        shared_reasons(shared_facts(facts.objects)),
        coaction_reasons(facts.acts),
    ]
    job.reporter.step(1, 2, "reasons")
    risk = predictions.select("key", "risk_score")
    parts.append(counterfactual_reasons(counterfactuals(job, context, risk, facts)))
    job.reporter.step(2, 2, "counterfactuals")
    scored = predictions.select("key")
    reasons = reasons_json(part.join(scored, on="key", how="semi") for part in parts)
    told = ScoreFacts(job.config.training.target, metrics["model_id"], job.run.run_id, job.as_of)
    table = score_table(predictions, members, ring_risk(rings, _matured(job)), reasons, told)
    write_parquet(out / "scores.parquet", table, SCORES)
    return {"rows": table.height}


def _column_reasons(
    job: Job, whole: tuple[Dataset, GraphContext], predictions: pl.DataFrame
) -> pl.DataFrame:
    """What moved the scores of the users of highest risk."""
    data, context = whole
    chosen = _riskiest(job, data, predictions, EXPLAINED)
    everyone = data.rows.x[data.inside([slices(job.config, job.as_of).score])]
    catalogue = [*column_catalogue(job.config), *neighbour_catalogue(job.config)]
    catalogue += [*island_catalogue(job.config), *group_catalogue(job.config)]
    asked = (data.rows.take(chosen), data.keys.gather(chosen))
    found = _contributions(job, asked, everyone, context)
    phrases = {column.name: column.phrase for column in catalogue}
    return column_reasons(found, phrases | maker_phrases(found.names, phrases))


def _riskiest(job: Job, data: Dataset, predictions: pl.DataFrame, most: int) -> NDArray[np.int64]:
    """Positions of the scored rows of highest risk, ascending."""
    chosen = data.inside([slices(job.config, job.as_of).score])
    risk = dict(predictions.select("key", "risk_score").iter_rows())
    score = np.array([risk.get(key, -1.0) for key in data.keys.gather(chosen)])
    top = np.argsort(-score, kind="stable")[:most]
    return chosen[np.sort(top[score[top] >= 0])]


def _links(
    job: Job, whole: tuple[Dataset, GraphContext], predictions: pl.DataFrame
) -> pl.DataFrame:
    """LINKS of the users of highest risk, where a network is in use or a part of what is."""
    data, context = whole
    network = link_explainer_of(load_model(job.run.stage("train") / "model"))
    if network is None:
        return pl.DataFrame(schema=LINKS)
    chosen = _riskiest(job, data, predictions, LINKED)
    found = network.link_pushes(data.rows.take(chosen), context)
    keys, target = data.keys.gather(chosen), context.node_type
    rows = []
    for row, relation, source, end, push in zip(
        found.row.tolist(), found.relation, found.source, found.target, found.push, strict=True
    ):
        mine = relation[0] == target and source == data.rows.node[chosen[row]]
        kind, node = (relation[2], end) if mine else (relation[0], source)
        thing = None if kind == target else context.graph.keys(kind)[int(node)]
        rows.append((keys[row], relation[1], kind, thing, float(push)))
    return pl.DataFrame(rows, schema=LINKS, orient="row")


def _contributions(
    job: Job,
    chosen: tuple[Rows, pl.Series],
    everyone: NDArray[np.float32],
    context: GraphContext,
) -> Contributions:
    """Exact tree contributions of the champion, else of the trees beside it, else distances."""
    rows, keys = chosen
    places: tuple[tuple[Source, Path], ...] = (
        ("model", job.run.stage("train") / "model"),
        ("challenger", job.run.stage("train") / "challengers" / "trees"),
    )
    for source, folder in places:
        if not folder.is_dir():
            continue
        scorer = load_model(folder)
        model = explainer_of(scorer)
        if model is not None:
            seen = model.inputs(rows, context)
            place = {name: number for number, name in enumerate(seen.names)}
            values = seen.x[:, [place[name] for name in model.columns]]
            pushes = model.contributions(seen, context)[:, :-1]
            told: Source = source if isinstance(scorer, Explains) else "challenger"
            return Contributions(keys, pushes, values, model.columns, told)
    return population_contributions(keys, rows.x, rows.names, population=everyone)


def _matured(job: Job) -> pl.DataFrame | None:
    """Rings of earlier nights whose horizon is over, with what became of their members."""
    flagged = flagged_users(job)
    last = job.as_of - timedelta(days=job.config.training.horizon.days)
    nights = [
        mature_rings(
            read_parquet(run.file("find_rings", "rings.parquet")),
            read_parquet(run.file("find_rings", "ring_members.parquet")),
            flagged,
            date.fromisoformat(run.facts()["as_of"]),
        )
        for run in job.workspace.earlier_runs(last + timedelta(days=1))[:NIGHTS_LEARNED]
        if run.has("find_rings")
    ]
    return pl.concat(nights) if nights else None

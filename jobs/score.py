"""Score: calibrated risk with reasons in plain words, and the ring each user belongs to."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.config.values import day_us
from graphguard.features.catalogue import column_catalogue
from graphguard.features.islands import island_catalogue
from graphguard.features.neighbours import neighbour_catalogue
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.context import Facts, Job
from graphguard.jobs.slices import slices
from graphguard.jobs.train import graph_context, load_dataset
from graphguard.models.base import Explains, GraphContext, Rows, explainer_of, load_model
from graphguard.models.makers import maker_phrases
from graphguard.schema import SCORES
from graphguard.scores.facts import coaction_facts, shared_facts
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
from graphguard.tables.anchor_rows import held_bad
from graphguard.tables.files import read_json, read_parquet, write_parquet
from graphguard.tables.people import bad_spans

EXPLAINED = 2_000
"""Users of highest risk whose columns are explained; the others keep ring and sharing reasons."""

NIGHTS_LEARNED = 60
"""How many earlier nights the ring risk learns from."""


def run(job: Job, out: Path) -> Facts:
    """Write scores.parquet."""
    predictions = read_parquet(job.run.file("embed", "predictions.parquet"))
    rings, members, evidence = (
        read_parquet(job.run.file("find_rings", f"{name}.parquet"))
        for name in ("rings", "ring_members", "ring_evidence")
    )
    metrics = read_json(job.run.file("train", "metrics.json"))
    graph = HeteroGraph.open(job.run.stage("build_graph") / "graph")
    parts = [
        _column_reasons(job, graph, predictions),
        ring_reasons(rings, members),
        shared_reasons(_shared(job, graph)),
        coaction_reasons(coaction_facts(evidence, _words(job))),
    ]
    scored = predictions.select("key")
    reasons = reasons_json(part.join(scored, on="key", how="semi") for part in parts)
    facts = ScoreFacts(job.config.training.target, metrics["model_id"], job.run.run_id, job.as_of)
    table = score_table(predictions, members, ring_risk(rings, _matured(job)), reasons, facts)
    write_parquet(out / "scores.parquet", table, SCORES)
    return {"rows": table.height}


def _column_reasons(job: Job, graph: HeteroGraph, predictions: pl.DataFrame) -> pl.DataFrame:
    """What moved the scores of the users of highest risk."""
    data = load_dataset(job, graph)
    chosen = data.inside([slices(job.config, job.as_of).score])
    risk = dict(predictions.select("key", "risk_score").iter_rows())
    keys = data.keys.gather(chosen)
    score = np.array([risk.get(key, -1.0) for key in keys])
    top = np.argsort(-score, kind="stable")[:EXPLAINED]
    top = np.sort(top[score[top] >= 0])
    rows, everyone = data.rows.take(chosen[top]), data.rows.x[chosen]
    catalogue = [*column_catalogue(job.config), *neighbour_catalogue(job.config)]
    catalogue += island_catalogue(job.config)
    found = _contributions(job, (rows, keys.gather(top)), everyone, graph_context(job, graph, data))
    phrases = {column.name: column.phrase for column in catalogue}
    return column_reasons(found, phrases | maker_phrases(found.names, phrases))


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


def _words(job: Job) -> dict[str, tuple[str, str]]:
    """Verb and noun of each trace: its relation and target type, where it is an edge."""
    words = {}
    for trace in job.config.rings.traces:
        names = [
            edge.name
            for edge in job.config.graph.edges
            if edge.log == trace.log and edge.target == trace.object
        ]
        verb, noun = (names[0][1], names[0][2]) if names else ("acts on", trace.object)
        words[f"{trace.log}.{trace.object}"] = (verb, noun)
    return words


def _shared(job: Job, graph: HeteroGraph) -> pl.DataFrame:
    """Shared devices and the like, with how many of the others are known bad."""
    target = job.config.training.target
    keys = pl.Series(graph.keys(target))
    links = []
    for edge in job.config.graph.edges:
        if edge.name[0] != target or edge.name[2] not in job.config.rings.shared:
            continue
        adjacency = graph.out(edge.name)
        source = np.repeat(np.arange(len(keys)), np.diff(adjacency.indptr))
        recent = adjacency.time_us >= day_us(job.as_of) - job.config.graph.window.us
        ends = np.unique(np.stack([source, adjacency.neighbor])[:, recent], axis=1)
        objects = pl.Series(graph.keys(edge.name[2]))
        links.append(
            pl.DataFrame(
                {"key": keys.gather(ends[0]), "entity": objects.gather(ends[1])}
            ).with_columns(pl.lit(edge.name[2]).alias("entity_type"))
        )
    empty = {"key": pl.String, "entity": pl.String, "entity_type": pl.String}
    every = pl.concat([pl.DataFrame(schema=empty), *links])
    return shared_facts(every, _flagged(job), job.config.rings.max_sharers)


def _matured(job: Job) -> pl.DataFrame | None:
    """Rings of earlier nights whose horizon is over, with what became of their members."""
    flagged = _flagged(job)
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


def _flagged(job: Job) -> list[str]:
    labels = read_parquet(job.run.file("ingest", "labels.parquet"))
    spans = bad_spans(labels)
    rows = spans.select(
        "entity", pl.lit(day_us(job.as_of), dtype=pl.Int64).alias("anchor_us")
    ).unique()
    bad = rows.filter(pl.Series(held_bad(rows, spans)))
    named = job.workspace.ids(job.config.training.target).decode(bad, "entity", "key")
    return named.get_column("key").to_list()

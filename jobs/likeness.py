"""Users who are like each other: neighbours in the model's embedding, and in how they behave."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.keyed import key_hash
from graphguard.index.neighbours import neighbourhoods
from graphguard.index.protocol import IndexSettings
from graphguard.jobs.acts import window_span
from graphguard.jobs.context import Job
from graphguard.rings.behaviour import Deeds, behaviour
from graphguard.rings.evidence import LIKENESS
from graphguard.rings.similarity import mutual_pairs, similarity_p, strata
from graphguard.tables.events import scan_events

LIKE = pl.Schema(
    {
        "user_a": pl.Int64(),
        "user_b": pl.Int64(),
        "log10_p": pl.Float64(),
        "channel": pl.String(),
        "tests": pl.Int64(),
    }
)
"""Columns of what `like_users` returns."""
Facts = dict[str, object]


def like_users(job: Job, graph: HeteroGraph) -> tuple[pl.DataFrame, Facts]:
    """Mutual neighbours with their p, and how well the index found them.

    Returns:
        LIKE, dense users; p is times the number of channels asked. Facts of the embedding's index,
        and of behaviour's under `behaviour` where that is asked.
    """
    did = behaviour(_deeds(job, graph), graph.num_nodes[job.config.training.target])
    stratum = strata(did.acts, did.objects)
    asked = {"embedding": _embedded(job)}
    if job.config.rings.behaviour:
        asked["behaviour"] = (did.rows, did.vectors)
    tables, facts = [pl.DataFrame(schema=LIKE)], {}
    for channel in LIKENESS:
        if channel in asked:
            rows, vectors = asked[channel]
            near, facts[channel] = _near(job, rows, vectors, stratum)
            p = (pl.col("log10_p") + np.log10(len(asked))).clip(upper_bound=0.0)
            told = pl.lit(channel).alias("channel"), pl.lit(len(asked)).alias("tests")
            tables.append(near.select("user_a", "user_b", p, *told).cast(LIKE))
    found = facts.pop("embedding")
    return pl.concat(tables), {**found, **facts}


def _near(
    job: Job, rows: NDArray[np.int64], vectors: NDArray[np.float32], stratum: NDArray[np.int64]
) -> tuple[pl.DataFrame, Facts]:
    """Mutual neighbours among some users, each with the p of its similarity."""
    settings = job.config.index
    if len(rows) < 3:
        return pl.DataFrame(schema=LIKE), {"engine": "none", "recall": None}
    found = neighbourhoods(
        vectors,
        min(settings.neighbours, len(rows) - 1),
        IndexSettings(engine=settings.engine, seed=job.config.training.seed),
        min(settings.recall_sample, len(rows)),
    )
    mutual = mutual_pairs(found.ids, found.similarity)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    p = similarity_p(mutual, unit, stratum[rows], job.config.training.seed)
    table = mutual.select(
        *(
            pl.Series(name, rows[mutual.get_column(name).to_numpy()])
            for name in ("user_a", "user_b")
        ),
        pl.Series("log10_p", p),
    )
    facts = {"engine": found.engine, "recall": found.recall, "neighbours": settings.neighbours}
    return table, facts


def _embedded(job: Job) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Users that have an embedding, and what it is."""
    vectors = np.load(job.run.file("embed", "embeddings.npy"), allow_pickle=False)
    rows = np.flatnonzero(np.isfinite(vectors).all(axis=1) & (np.abs(vectors).sum(axis=1) > 0))
    return rows, vectors[rows]


def _deeds(job: Job, graph: HeteroGraph) -> Deeds:
    """All acts of users in the cutoff's window, of every relation that begins at one."""
    target = job.config.training.target
    parts = []
    for number, edge in enumerate(job.config.graph.edges):
        events = scan_events(job.run, edge.log, *window_span(job, job.as_of))
        if edge.name[0] != target or events is None:
            continue
        columns = {"user": edge.source, "object": edge.target}
        named = (pl.col(name).alias(alias) for alias, name in columns.items())
        acts = events.select(*named, "time_us").drop_nulls().collect()
        user = graph.dense(target, acts.get_column("user").to_numpy())
        thing = graph.dense(edge.name[2], acts.get_column("object").to_numpy())
        known = (user >= 0) & (thing >= 0)
        # One thing hashed once: far fewer than acts.
        things, place = np.unique(thing[known], return_inverse=True)
        keys = graph.keys(edge.name[2])
        parts.append(
            Deeds(
                user[known],
                np.full(int(known.sum()), number, dtype=np.int64),
                key_hash(keys[one] for one in things.tolist())[place],
                acts.get_column("time_us").to_numpy()[known],
            )
        )
    return Deeds(
        *(
            np.concatenate([np.zeros(0, dtype=kind), *(getattr(part, name) for part in parts)])
            for name, kind in (
                ("user", np.int64),
                ("relation", np.int64),
                ("object_hash", np.uint64),
                ("time_us", np.int64),
            )
        )
    )

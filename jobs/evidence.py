"""What a night knows of its users' evidence: the objects they share and the acts in common.

Reads the graph, RING_EVIDENCE and the known labels, writes nothing.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from graphguard.config.values import day_us
from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.ranges import distinct_pairs
from graphguard.jobs.context import Job
from graphguard.rings.evidence import ALIKE
from graphguard.scores.facts import coaction_facts, touched_objects
from graphguard.tables.anchor_rows import held_bad
from graphguard.tables.files import read_parquet
from graphguard.tables.people import bad_spans


@dataclass(frozen=True)
class Evidence:
    """What is known of users' evidence.

    Attributes:
        objects: As `touched_objects` makes them, of the types in `rings.shared`.
        acts: As `coaction_facts` makes it.
        rings: RING_EVIDENCE.
    """

    objects: pl.DataFrame
    acts: pl.DataFrame
    rings: pl.DataFrame


def read_evidence(job: Job, graph: HeteroGraph) -> Evidence:
    """The evidence of a night that has found its rings."""
    rings = read_parquet(job.run.file("find_rings", "ring_evidence.parquet"))
    return Evidence(_objects(job, graph), coaction_facts(rings, _words(job)), rings)


def flagged_users(job: Job) -> list[str]:
    """Keys of the users known to be bad at the night's cutoff."""
    labels = read_parquet(job.run.file("ingest", "labels.parquet"))
    spans = bad_spans(labels)
    rows = spans.select(
        "entity", pl.lit(day_us(job.as_of), dtype=pl.Int64).alias("anchor_us")
    ).unique()
    bad = rows.filter(pl.Series(held_bad(rows, spans)))
    named = job.workspace.ids(job.config.training.target).decode(bad, "entity", "key")
    return named.get_column("key").to_list()


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
        words[f"{ALIKE}{trace.log}.{trace.object}"] = ("wrote alike about", noun)
    return words


def _objects(job: Job, graph: HeteroGraph) -> pl.DataFrame:
    """Devices and the like, with how many others have them and are known bad."""
    target = job.config.training.target
    keys = pl.Series(graph.keys(target))
    links = []
    for edge in job.config.graph.edges:
        if edge.name[0] != target or edge.name[2] not in job.config.rings.shared:
            continue
        adjacency = graph.out(edge.name)
        source = np.repeat(np.arange(len(keys)), np.diff(adjacency.indptr))
        recent = adjacency.time_us >= day_us(job.as_of) - job.config.graph.window.us
        ends = distinct_pairs(source[recent], adjacency.neighbor[recent])
        objects = pl.Series(graph.keys(edge.name[2]))
        links.append(
            pl.DataFrame(
                {"key": keys.gather(ends[0]), "entity": objects.gather(ends[1])}
            ).with_columns(pl.lit(edge.name[2]).alias("entity_type"))
        )
    empty = {"key": pl.String, "entity": pl.String, "entity_type": pl.String}
    every = pl.concat([pl.DataFrame(schema=empty), *links])
    return touched_objects(every, flagged_users(job), job.config.rings.max_sharers)

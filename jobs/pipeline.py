"""The night as a list that can be read aloud: who reads what, who writes what, in which order."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from graphguard.jobs import (
    build_graph,
    decide,
    embed,
    export,
    featurize,
    find_rings,
    ingest,
    link,
    report,
    score,
    train,
)
from graphguard.jobs.context import Facts, Job


@dataclass(frozen=True)
class Stage:
    """One stage: its name, the tables it reads and writes, and what it runs."""

    name: str
    reads: tuple[str, ...]
    """`previous:X` is X of the newest committed run with a smaller as_of."""
    writes: tuple[str, ...]
    run: Callable[[Job, Path], Facts]


PIPELINE = (
    Stage(
        "ingest",
        reads=("logs",),
        writes=("ids", "events", "entities", "labels", "rejects", "intake", "deliveries"),
        run=ingest.run,
    ),
    Stage("build_graph", reads=("ids", "events"), writes=("edges", "graph"), run=build_graph.run),
    Stage("link", reads=("events", "graph"), writes=("pairs",), run=link.run),
    Stage(
        "featurize",
        reads=("events", "edges", "graph", "pairs", "entities", "labels"),
        writes=("features",),
        run=featurize.run,
    ),
    Stage(
        "train",
        reads=("graph", "features", "labels", "pairs", "previous:model"),
        writes=("model", "evaluation", "metrics"),
        run=train.run,
    ),
    Stage(
        "embed",
        reads=("graph", "features", "model"),
        writes=("embeddings", "predictions"),
        run=embed.run,
    ),
    Stage(
        "find_rings",
        reads=("events", "graph", "pairs", "embeddings", "predictions", "labels", "previous:rings"),
        writes=("rings", "ring_members", "ring_evidence", "ring_changes"),
        run=find_rings.run,
    ),
    Stage(
        "score",
        reads=(
            "predictions",
            "rings",
            "ring_members",
            "graph",
            "features",
            "model",
            "labels",
            "previous:rings",
        ),
        writes=("scores",),
        run=score.run,
    ),
    Stage(
        "decide",
        reads=(
            "scores",
            "graph",
            "features",
            "labels",
            "entities",
            "metrics",
            "previous:decisions",
        ),
        writes=("decisions", "drift"),
        run=decide.run,
    ),
    Stage(
        "export",
        reads=("decisions", "scores", "rings", "ring_members"),
        writes=("sinks",),
        run=export.run,
    ),
    Stage(
        "report",
        reads=(
            "intake",
            "rejects",
            "metrics",
            "evaluation",
            "scores",
            "rings",
            "ring_members",
            "ring_evidence",
            "ring_changes",
            "decisions",
            "drift",
            "sinks",
        ),
        writes=("report",),
        run=report.run,
    ),
)

STAGE_NAMES = tuple(stage.name for stage in PIPELINE)

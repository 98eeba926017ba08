"""The night as a list that can be read aloud: who reads what, who writes what, in which order."""

import contextlib
import importlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from graphguard.jobs.context import Facts, Job


@dataclass(frozen=True)
class Stage:
    """One stage: its name, which is its module's, and the tables it reads and writes."""

    name: str
    reads: tuple[str, ...]
    """`previous:X` is X of the newest committed run with a smaller as_of."""
    writes: tuple[str, ...]
    does: str = ""
    """What the command line says of it."""

    def load(self) -> ModuleType:
        """Import the stage's module, late: a night to the graph never loads models."""
        return importlib.import_module(f"graphguard.jobs.{self.name}")

    def run(self, job: Job, out: Path) -> Facts:
        """Run the stage."""
        facts: Facts = self.load().run(job, out)
        return facts


PIPELINE = (
    Stage(
        "ingest",
        reads=("logs",),
        writes=("ids", "events", "entities", "labels", "rejects", "intake", "deliveries"),
        does="Store the missing days of every log, the entity tables and the labels.",
    ),
    Stage(
        "build_graph",
        reads=("ids", "events", "entities"),
        writes=("edges", "graph"),
        does="Make daily edges and the mapped graph.",
    ),
    Stage(
        "link",
        reads=("events", "graph"),
        writes=("pairs",),
        does="Link users who act together, with their significance.",
    ),
    Stage(
        "featurize",
        reads=("events", "edges", "graph", "pairs", "entities", "labels"),
        writes=("features", "groups"),
        does="Make one row of features per user and anchor.",
    ),
    Stage(
        "train",
        reads=("graph", "features", "labels", "pairs", "previous:model"),
        writes=("model", "evaluation", "metrics"),
        does="Fit, choose, calibrate and certify the models.",
    ),
    Stage(
        "embed",
        reads=("graph", "features", "model"),
        writes=("embeddings", "predictions"),
        does="Predict and embed every user to be scored.",
    ),
    Stage(
        "find_rings",
        reads=(
            "events",
            "graph",
            "pairs",
            "groups",
            "embeddings",
            "predictions",
            "labels",
            "previous:rings",
        ),
        writes=(
            "rings",
            "ring_members",
            "ring_evidence",
            "ring_acts",
            "ring_sets",
            "ring_changes",
            "ring_memory",
        ),
        does="Group linked and neighbouring users to rings, and carry on their names.",
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
        does="Write risk scores with their reasons.",
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
        does="Apply the policy.",
    ),
    Stage(
        "export",
        reads=("decisions", "scores", "rings", "ring_members"),
        writes=("sinks",),
        does="Write decisions, scores and rings to the sinks.",
    ),
    Stage(
        "report",
        reads=(
            "events",
            "intake",
            "rejects",
            "metrics",
            "evaluation",
            "scores",
            "rings",
            "ring_members",
            "ring_evidence",
            "ring_acts",
            "ring_sets",
            "ring_changes",
            "decisions",
            "drift",
            "sinks",
        ),
        writes=("report",),
        does="Draw the night's report.",
    ),
)

STAGE_NAMES = tuple(stage.name for stage in PIPELINE)


@contextlib.contextmanager
def loading(stages: Sequence[Stage]) -> Iterator[None]:
    """Import the modules of stages to come on the side; what fails, fails again when they run."""

    def load() -> None:
        for stage in stages:
            with contextlib.suppress(Exception):
                stage.load()

    thread = threading.Thread(target=load, name="loading", daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()

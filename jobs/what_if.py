"""What if: a user's risk without evidence that an investigator names, or that the night has named.

Reads a run up to its rings; writes nothing.
"""

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import polars as pl

from graphguard.config.sections import Config
from graphguard.errors import DataError, UnknownEntity
from graphguard.graph.hetero import HeteroGraph
from graphguard.investigate.run import OpenRun
from graphguard.jobs.context import Job, Reporter
from graphguard.jobs.counterfactual import Recount, pieces_of
from graphguard.jobs.evidence import read_evidence
from graphguard.jobs.train import graph_context, load_dataset
from graphguard.scores.removal import REMOVED
from graphguard.tables.files import read_json, read_parquet
from graphguard.tables.workspace import Run


class NotScored(DataError):
    """A user of the run has no score."""

    def __init__(self, kind: str, key: str) -> None:
        self.kind, self.key = kind, key
        super().__init__(
            f"{kind} '{key}' has no score in this run: it did nothing in the window, or was "
            f"enforced before; ask about a user of `scores`"
        )


@dataclass(frozen=True)
class LeftOut:
    """One piece of evidence and what came of leaving it out.

    Attributes:
        words: What was left out.
        objects: How many objects the user then never touched.
        after: The risk without it.
    """

    words: str
    objects: int
    after: float


@dataclass(frozen=True)
class WhatIf:
    """A user's risk with all evidence, and without pieces of it.

    Attributes:
        user: Key.
        risk_score: As the night wrote it.
        without: What was left out, each alone; those whose loss lowers the risk most first.
        model_id: Model that scored, then and now.
    """

    user: str
    risk_score: float
    without: list[LeftOut]
    model_id: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def what_if(
    run: Run, config: Config, user: str, without: Sequence[str], reporter: Reporter
) -> WhatIf:
    """Score a user anew without evidence.

    Args:
        run: A run with `find_rings` done.
        config: Its config.
        user: `TYPE:KEY` or the key alone.
        without: Objects as `TYPE:KEY`, or `TYPE` for all of a type, left out together; without
            any, each of the user's strongest pieces of evidence is left out alone.
        reporter: Told of each pass.

    Raises:
        NotAsked: What is named is no user.
        UnknownEntity: The run does not hold the user or the type, or the user did not touch the
            object in the window.
        NotScored: The user has no score.

    Cost: the features of one anchor for each piece.
    """
    as_of = date.fromisoformat(run.manifest("find_rings")["as_of"])
    job = Job(config, as_of, run, None, reporter)
    target = config.training.target
    graph = HeteroGraph.open(run.file("build_graph", "graph"))
    key = graph.keys(target)[OpenRun(run).index_of(user)]
    told = read_parquet(run.file("embed", "predictions.parquet")).filter(pl.col("key") == key)
    if not told.height:
        raise NotScored(target, key)
    recount = Recount(job, graph_context(job, graph, load_dataset(job, graph)))
    pieces = _asked(recount, key, without) if without else _named(recount, key)
    found = []
    for number, (words, acts) in enumerate(pieces, 1):
        after = recount.risk_without(acts, pl.Series("key", [key])).item(0, "after")
        found.append(LeftOut(words, acts.height, after))
        reporter.step(number, len(pieces), words)
    found.sort(key=lambda one: (one.after, one.words))
    model = read_json(run.file("train", "metrics.json"))["model_id"]
    return WhatIf(key, told.item(0, "risk_score"), found, model)


def _named(recount: Recount, key: str) -> list[tuple[str, pl.DataFrame]]:
    """The user's strongest pieces of evidence, in words and as acts."""
    evidence = read_evidence(recount.job, recount.graph)
    pieces = pieces_of(evidence, pl.Series("key", [key]))
    acts = recount.acts_of(pieces, evidence.rings)
    # What texts and embeddings say is no act that could be left out.
    held = pieces.join(acts, on=["key", "rank"], how="semi")
    return [
        (words, acts.filter(pl.col("rank") == rank).select(list(REMOVED)))
        for words, rank in held.select("words", "rank").iter_rows()
    ]


def _asked(recount: Recount, key: str, without: Sequence[str]) -> list[tuple[str, pl.DataFrame]]:
    """All that was named on the command line, as one piece."""
    parts = [_acts_on(recount, key, name) for name in without]
    return [(" and ".join(without), pl.concat(parts).unique().sort(list(REMOVED)))]


def _acts_on(recount: Recount, key: str, name: str) -> pl.DataFrame:
    """The user's acts on `TYPE:KEY`, or on all objects of `TYPE`: REMOVED."""
    kind, mark, thing = name.partition(":")
    config, target = recount.job.config, recount.target
    kinds = {
        one
        for log in config.logs
        for column, one in config.entity_columns(log).items()
        if column != config.actor_column(log)
    }
    if kind not in kinds:
        what = "type of objects"
        near = difflib.get_close_matches(kind, kinds, n=1) or sorted(kinds)
        raise UnknownEntity(what, kind, near)
    ids = recount.job.workspace.ids(target).frame
    entity = ids.filter(pl.col("key") == key).get_column("index")
    asked = pl.DataFrame({"entity": entity, "type": [kind]})
    mine = recount.touches(asked)
    if not mark:
        if not mine.height:
            what = f"object of this {target} and type"
            raise UnknownEntity(what, kind)
        return mine
    keys = recount.job.workspace.ids(kind).decode(mine, "object", "name")
    found = keys.filter(pl.col("name") == thing).select(list(REMOVED))
    if not found.height:
        near = difflib.get_close_matches(thing, keys.get_column("name"), n=1, cutoff=0.3)
        what = f"{kind} of this {target}"
        raise UnknownEntity(what, thing, near)
    return found

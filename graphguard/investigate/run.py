"""The front door to what a night has left: tables, graph, expansion and explanation of a user."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from graphguard.config.values import day_us, parse_duration
from graphguard.errors import NotAsked, UnknownEntity
from graphguard.graph.hetero import HeteroGraph
from graphguard.investigate.expand import Expansion, ExpansionInputs, Question, expand
from graphguard.investigate.explain import Explanation, explain, held_by
from graphguard.rings.quotes import quotes
from graphguard.tables.files import read_json, read_parquet
from graphguard.tables.workspace import Run, find_run


def open_run(path: str | Path) -> "OpenRun":
    """Open a run.

    Args:
        path: A run's folder, or a workspace's, whose current run is then opened.

    Raises:
        NoRun: Neither is there.
    """
    return OpenRun(find_run(Path(path)))


class OpenRun:
    """One committed night, read where asked; nothing is loaded before."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def scores(self) -> pl.DataFrame:
        """SCORES: risk and reasons per user."""
        return self._table("score", "scores")

    def predictions(self) -> pl.DataFrame:
        """PREDICTIONS: raw and calibrated probability per user."""
        return self._table("embed", "predictions")

    def decisions(self) -> pl.DataFrame:
        """DECISIONS of the night."""
        return self._table("decide", "decisions")

    def rings(self) -> pl.DataFrame:
        """RINGS, strongest evidence first."""
        rings = self._table("find_rings", "rings")
        return rings.sort("evidence_bits", "ring_id", descending=[True, False])

    def members(self, ring_id: str | None = None) -> pl.DataFrame:
        """RING_MEMBERS of one ring or of all.

        Raises:
            UnknownEntity: The run has no such ring.
        """
        return self._of_ring("ring_members", ring_id)

    def evidence(self, ring_id: str | None = None) -> pl.DataFrame:
        """RING_EVIDENCE of one ring or of all.

        Raises:
            UnknownEntity: The run has no such ring.
        """
        return self._of_ring("ring_evidence", ring_id)

    def sets(self, ring_id: str | None = None) -> pl.DataFrame:
        """RING_SETS of one ring or of all.

        Raises:
            UnknownEntity: The run has no such ring.
        """
        return self._of_ring("ring_sets", ring_id)

    def quotes(self, ring_id: str) -> pl.DataFrame:
        """Two texts of each set of a ring that says the same, read in the log: who, when, what.

        Raises:
            UnknownEntity: The run has no such ring.
        """
        acts = self._of_ring("ring_acts", ring_id)
        return quotes(self.run, self.config, self.sets(ring_id), acts)

    def graph(self) -> HeteroGraph:
        """The night's graph, mapped."""
        return self._graph

    @property
    def as_of(self) -> date:
        """The run's cutoff."""
        return date.fromisoformat(self.run.facts()["as_of"])

    @property
    def report_path(self) -> Path:
        """Path of the report."""
        return self.run.file("report", "report.html")

    @cached_property
    def config(self) -> dict[str, Any]:
        """The run's frozen config as plain values."""
        settings: dict[str, Any] = read_json(self.run.folder / "config.json")
        return settings

    @property
    def target(self) -> str:
        """Entity type that is scored."""
        return str(self.config["training"]["target"])

    def expand(
        self,
        seeds: str | Sequence[str],
        *,
        hops: int = 2,
        limit: int = 20,
        relations: Sequence[str] | None = None,
        days: int | None = None,
    ) -> Expansion:
        """Rank the users nearest to `seeds`, with the path and evidence that brought each in.

        Args:
            seeds: Users as `user:ID`, or plain ids.
            hops: Users away from a seed.
            limit: Users to return.
            relations: Edge relations to walk, all by default.
            days: Days before the cutoff to look at, the graph's window by default.

        Raises:
            UnknownEntity: A seed or relation is not in the run.
        """
        names = [seeds] if isinstance(seeds, str) else list(seeds)
        window = parse_duration(self.config["graph"]["window"]).us if days is None else days * DAY
        until = day_us(self.as_of)
        question = Question(
            seeds=tuple(self.index_of(name) for name in names),
            hops=hops,
            limit=limit,
            relations=None if relations is None else tuple(relations),
            since_us=until - window,
            until_us=until,
        )
        return expand(self._inputs, question)

    def explain(self, user: str) -> Explanation:
        """Say what is known about a user: score, reasons, ring, shared objects, timeline.

        Raises:
            UnknownEntity: The run does not hold the user.
        """
        index = self.index_of(user)
        window = parse_duration(self.config["graph"]["window"]).us
        span = (day_us(self.as_of) - window, day_us(self.as_of))
        found = explain(self._inputs, index, span)
        # An older program's night has rings without their sets.
        if found.ring is None or not (self.run.stage("find_rings") / SETS).is_file():
            return found
        ring = found.ring["ring_id"]
        held = held_by(self.sets(ring), self.quotes(ring), found.user)
        return replace(found, ring={**found.ring, "held_by": held})

    def index_of(self, name: str) -> int:
        """Dense index of `user:ID` or a plain id.

        Raises:
            NotAsked: The type is another than the target.
            UnknownEntity: There is no such type, or the id is not in the run.
        """
        kind, mark, key = name.partition(":")
        own = bool(mark) and kind == self.target
        try:
            return self._graph.index_of(self.target, key if own else name)
        except UnknownEntity as error:
            if mark and not own and kind not in self._graph.num_nodes:
                what = "node type"
                raise UnknownEntity(what, kind, [self.target]) from None
            if mark and not own:
                raise NotAsked(name, kind, self.target) from None
            advice = (
                f"Run {self.run.run_id} holds each {self.target} of the logs that it read, up to "
                f"{self.as_of}: look at the spelling, or name a run of another day with --run"
            )
            raise UnknownEntity(self.target, error.key, error.near, advice) from None

    @cached_property
    def _graph(self) -> HeteroGraph:
        return HeteroGraph.open(self.run.file("build_graph", "graph"))

    @cached_property
    def _inputs(self) -> ExpansionInputs:
        labels = self._table("ingest", "labels").sort("known_at_us", "source")
        last = labels.group_by("entity", maintain_order=True).last().filter("bad")
        bad = self._graph.dense(self.target, last.get_column("entity").to_numpy())
        return ExpansionInputs(
            graph=self._graph,
            target=self.target,
            scores=self.scores(),
            rings=self.rings(),
            members=self.members(),
            decisions=self.decisions(),
            bad=frozenset(bad[bad >= 0].tolist()),
            embeddings=self._embeddings(),
        )

    def _embeddings(self) -> "np.ndarray[Any, np.dtype[np.float32]] | None":
        path = self.run.stage("embed") / "embeddings.npy"
        return np.load(path, mmap_mode="r", allow_pickle=False) if path.is_file() else None

    def _table(self, stage: str, name: str) -> pl.DataFrame:
        return read_parquet(self.run.file(stage, f"{name}.parquet"))

    def _of_ring(self, name: str, ring_id: str | None) -> pl.DataFrame:
        table = self._table("find_rings", name)
        if ring_id is None:
            return table
        known = self.rings().get_column("ring_id").to_list()
        if ring_id not in known:
            kind = "ring"
            raise UnknownEntity(kind, ring_id, known[:3])
        return table.filter(pl.col("ring_id") == ring_id)

    def __repr__(self) -> str:
        return f"OpenRun({self.run.run_id}, rings {self.rings().height}, {self._graph!r})"


DAY = 86_400_000_000
SETS = "ring_sets.parquet"

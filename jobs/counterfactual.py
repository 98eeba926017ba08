"""What a score would be without a piece of evidence: the night's features and model, once more.

Acts are taken out of events, pairs and graph; features are made anew, and the champion scores them.
Many users are asked in one pass, each without its own acts only: what another loses in the same
pass moves a user's score by little, for who else touched an object stays as it is.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl

from graphguard.features.catalogue import GROUPS
from graphguard.jobs.context import Job
from graphguard.jobs.embed import calibrator_tonight
from graphguard.jobs.evidence import Evidence
from graphguard.jobs.featurize import anchor_events, anchor_names, make_features
from graphguard.jobs.groups import links_at
from graphguard.models.base import GraphContext, Rows, load_model
from graphguard.models.dataset import make_dataset
from graphguard.scores.evidence import common_objects, named_evidence
from graphguard.scores.left_out import COUNTERFACTUAL
from graphguard.scores.removal import REMOVED, Removal, without_acts

ASKED = 100
"""Users of highest risk whose evidence is taken away."""
PIECES = 4
"""Most pieces of a user's evidence that are tried, one by one."""


def counterfactuals(
    job: Job, context: GraphContext, risk: pl.DataFrame, evidence: Evidence
) -> pl.DataFrame:
    """Score the riskiest users without each of their strongest pieces of evidence.

    Args:
        job: The night, up to its rings.
        context: What its models may look at.
        risk: `key, risk_score` of every scored user.
        evidence: What reasons are made of.

    Returns:
        COUNTERFACTUAL: the piece whose loss lowers the risk most; one row a user that has any.

    Cost: the features of one anchor, at most PIECES times.
    """
    top = risk.sort(["risk_score", "key"], descending=[True, False]).head(ASKED)
    pieces = pieces_of(evidence, top.get_column("key"))
    if not pieces.height:
        return pl.DataFrame(schema=COUNTERFACTUAL)
    recount = Recount(job, context)
    acts = recount.acts_of(pieces, evidence.rings)
    pieces = pieces.join(acts, on=["key", "rank"], how="semi")
    if not pieces.height:
        return pl.DataFrame(schema=COUNTERFACTUAL)
    after = recount.without_each(pieces, acts)
    before = top.select("key", pl.col("risk_score").alias("before"))
    return strongest(after).join(before, on="key").select(list(COUNTERFACTUAL))


def strongest(after: pl.DataFrame) -> pl.DataFrame:
    """Of each user the piece without which the risk is lowest: one row a user, sorted by key.

    Args:
        after: `key, rank, words, after`.
    """
    ordered = after.sort(["key", "after", "words"])
    return ordered.unique("key", keep="first", maintain_order=True)


def pieces_of(evidence: Evidence, users: pl.Series) -> pl.DataFrame:
    """NAMED and `rank`: the strongest pieces of evidence of users, from rank 0 on."""
    asked = pl.col("key").is_in(users.implode())
    named = named_evidence(evidence.objects.filter(asked), evidence.acts.filter(asked))
    ranked = named.with_columns(pl.int_range(pl.len()).over("key").alias("rank"))
    return ranked.filter(pl.col("rank") < PIECES)


class Recount:
    """Scores of a run's users with some of their acts left out.

    Args:
        job: The night, up to its model.
        context: What its models may look at.
    """

    def __init__(self, job: Job, context: GraphContext) -> None:
        self.job, self.context, self.graph = job, context, context.graph
        self.target = job.config.training.target
        self.name, self.anchor = list(anchor_names(job).items())[-1]
        self.events = anchor_events(job, self.anchor)
        self.links: pl.DataFrame | None = None
        if self.anchor is not None and GROUPS in job.config.features:
            self.links = links_at(job, self.graph, self.anchor)

    def risk_without(self, acts: pl.DataFrame, users: pl.Series) -> pl.DataFrame:
        """Risk of users when acts are left out.

        Args:
            acts: REMOVED.
            users: Keys of the users that lose them.

        Returns:
            `key, after`, one row for each user with a row to score.

        Cost: the features of one anchor.
        """
        job = self.job
        removal = self.removal(acts)
        table = make_features(job, self.graph, self.name, self.anchor, removal)
        mine = table.filter(pl.col("key").is_in(users.implode()), pl.col("scored"))
        node = self.graph.dense(self.target, mine.get_column("entity").to_numpy())
        rows = make_dataset(mine, node, np.zeros(mine.height, dtype=np.bool_)).rows
        seen = _seen(self.context.rows, rows)
        context = replace(self.context, graph=removal.graph(self.graph), rows=seen)
        raw = load_model(job.run.file("train", "model")).predict(rows, context)
        after = calibrator_tonight(job.run).apply(raw)
        return mine.select("key").with_columns(pl.Series("after", after, dtype=pl.Float64))

    def without_each(self, pieces: pl.DataFrame, acts: pl.DataFrame) -> pl.DataFrame:
        """Risk of users without each of their pieces of evidence, one at a time.

        Args:
            pieces: NAMED and `rank`.
            acts: What they are made of: `key`, `rank` and REMOVED.

        Returns:
            `key, rank, words, after`, one row a piece.

        Cost: the features of one anchor for each rank.
        """
        tried = []
        for rank in pieces.get_column("rank").unique().sort():
            mine = pieces.filter(pl.col("rank") == rank)
            taken = acts.filter(pl.col("rank") == rank).select(list(REMOVED))
            after = self.risk_without(taken, mine.get_column("key"))
            tried.append(mine.select("key", "rank", "words").join(after, on="key"))
        return pl.concat(tried)

    def acts_of(self, pieces: pl.DataFrame, rings: pl.DataFrame) -> pl.DataFrame:
        """The acts that pieces of evidence are made of: `key`, `rank` and REMOVED."""
        parts = [pl.DataFrame(schema={"key": pl.String, "rank": pl.Int64, **REMOVED})]
        things = pieces.filter(pl.col("type").is_not_null()).select("key", "rank", "type", "object")
        for (kind,), rows in things.group_by("type", maintain_order=True):
            ids = self.job.workspace.ids(str(kind)).frame
            found = rows.join(ids, left_on="object", right_on="key")
            parts.append(self._stored(found.select("key", "rank", "index"), str(kind)))
        linked = pieces.filter(pl.col("channel").is_not_null()).select("key", "rank", "channel")
        if linked.height:
            met = common_objects(rings, self._trace_touches(), linked.get_column("key"))
            mine = met.join(linked, on=["key", "channel"])
            for (channel,), rows in mine.group_by("channel", maintain_order=True):
                log, _, column = str(channel).partition(".")
                kind = self.job.config.entity_columns(log)[column]
                places = rows.select("key", "rank", pl.col("object").alias("index"))
                parts.append(self._stored(places, kind))
        return pl.concat(parts).unique().sort("key", "rank", *REMOVED)

    def touches(
        self, asked: pl.DataFrame, events: Mapping[str, pl.LazyFrame] | None = None
    ) -> pl.DataFrame:
        """Who touched what, in what the anchor's rows saw.

        Args:
            asked: Some columns of REMOVED: acts that agree with a row of these.
            events: Events by log; those of the run where none are given.

        Returns:
            REMOVED, without repeats, sorted.
        """
        parts = [pl.DataFrame(schema=REMOVED)]
        only = asked.unique().lazy()
        for log, rows in sorted((self.events if events is None else events).items()):
            actor = self.job.config.actor_column(log)
            if actor is None:
                continue
            for column, kind in self.job.config.entity_columns(log).items():
                if column == actor:
                    continue
                both = rows.select(
                    pl.col(actor).alias("entity"),
                    pl.lit(kind).alias("type"),
                    pl.col(column).alias("object"),
                )
                met = both.drop_nulls().join(only, on=asked.columns, how="semi")
                parts.append(met.unique().collect())
        return pl.concat(parts).unique().sort(list(REMOVED))

    def removal(self, acts: pl.DataFrame) -> Removal:
        """The acts, the pairs that only they had joined, and who else touched these objects."""
        users = acts.select("entity")
        left = {
            log: without_acts(self.job.config, acts, log, rows) for log, rows in self.events.items()
        }
        lost = self.touches(users).join(self.touches(users, left), on=list(REMOVED), how="anti")
        touched = self.touches(lost.select("type", "object"))
        return Removal(self.job.config, acts, lost, touched, self.links)

    def _stored(self, rows: pl.DataFrame, kind: str) -> pl.DataFrame:
        """`key`, `rank` and REMOVED of `key, rank, index`, the index being that of the object."""
        ids = self.job.workspace.ids(self.target).frame.rename({"index": "entity"})
        return rows.join(ids, on="key").select(
            "key",
            pl.col("rank").cast(pl.Int64),
            "entity",
            pl.lit(kind).alias("type"),
            pl.col("index").alias("object"),
        )

    def _trace_touches(self) -> pl.DataFrame:
        """Who touched which object of each trace in the window: `key, channel, object`."""
        ids = self.job.workspace.ids(self.target).frame
        parts = [pl.DataFrame(schema={"key": pl.String, "channel": pl.String, "object": pl.Int64})]
        for trace in self.job.config.rings.traces:
            actor = self.job.config.actor_column(trace.log)
            events = self.events.get(trace.log)
            # A text is no key: the objects of such a trace are made anew each night.
            if actor is None or events is None or trace.near == "text":
                continue
            distinct = events.select(actor, trace.object).drop_nulls().unique().collect()
            named = distinct.join(ids, left_on=actor, right_on="index")
            channel = pl.lit(f"{trace.log}.{trace.object}").alias("channel")
            parts.append(named.select("key", channel, pl.col(trace.object).alias("object")))
        return pl.concat(parts)


def _seen(known: Rows, rows: Rows) -> Rows:
    """All rows known, those given in the place of their own stored ones."""
    asked = {pair: n for n, pair in enumerate(zip(rows.node, rows.anchor_us, strict=True))}
    x = known.x.copy()
    maybe = np.isin(known.node, rows.node) & np.isin(known.anchor_us, rows.anchor_us)
    for place in np.flatnonzero(maybe):
        pair = (known.node[place], known.anchor_us[place])
        if pair in asked:
            x[place] = rows.x[asked[pair]]
    return replace(known, x=x)

"""Say what a ring is: size, density, synchrony, what ties it, and who is its core."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from graphguard.rings.evidence import JOINS, LIKENESS
from graphguard.rings.fusion import pair_bits
from graphguard.rings.significance import log10_q

CORE_SHARE = 0.5
"""Share of the other members that a core member is linked with."""
MOST_TIES = 8


@dataclass(frozen=True)
class RingInputs:
    """What rings are described from.

    Attributes:
        members: `ring` (number), `user` (dense), one row per member.
        evidence: `user_a`, `user_b`, `channel`, `bits` and the columns of PAIRS, of tonight.
        risk: Score per user: `user`, `risk_score`.
        bad: Users known to be bad: `user`.
        touches: Objects of the members in the window: `user`, `type`, `key`, and `popularity`, the
            number of all users of the object.
        num_pairs: All pairs of users: the family over which a ring's p is corrected.
    """

    members: pl.DataFrame
    evidence: pl.DataFrame
    risk: pl.DataFrame
    bad: pl.DataFrame
    touches: pl.DataFrame
    num_pairs: float


def ring_evidence(inputs: RingInputs) -> pl.DataFrame:
    """Evidence between members of one ring: `ring` and the columns of `inputs.evidence`."""
    side = inputs.members.rename({"user": "user_a"})
    other = inputs.members.rename({"user": "user_b", "ring": "ring_b"})
    return (
        inputs.evidence.join(side, on="user_a", how="inner")
        .join(other, on="user_b", how="inner")
        .filter(pl.col("ring") == pl.col("ring_b"))
        .drop("ring_b")
        .sort("ring", "user_a", "user_b", "channel")
    )


def member_table(inputs: RingInputs, evidence: pl.DataFrame) -> pl.DataFrame:
    """One row per member: `ring`, `user`, `role`, `degree`, `evidence_bits`, `first_share`."""
    pairs = _pairs(evidence)
    ends = pl.concat(
        [pairs.select("ring", pl.col(one).alias("user"), "bits") for one in ("user_a", "user_b")]
    )
    linked = ends.group_by("ring", "user").agg(
        pl.len().cast(pl.Int64).alias("degree"), pl.col("bits").sum().alias("evidence_bits")
    )
    size = pl.len().over("ring")
    core = pl.col("degree") >= CORE_SHARE * (size - 1)
    return (
        inputs.members.join(linked, on=["ring", "user"], how="left")
        .join(_first_shares(evidence), on=["ring", "user"], how="left")
        .with_columns(pl.col("degree").fill_null(0), pl.col("evidence_bits").fill_null(0.0))
        .with_columns(pl.when(core).then(pl.lit("core")).otherwise(pl.lit("edge")).alias("role"))
        .sort("ring", "user")
    )


def _first_shares(evidence: pl.DataFrame) -> pl.DataFrame:
    """Of each user's meetings in time the share in which he came first: who leads, who follows."""
    timed = evidence.filter(pl.col("together").is_not_null())
    sides = (("user_a", pl.col("a_first")), ("user_b", pl.col("weight") - pl.col("a_first")))
    ends = [
        timed.select("ring", pl.col(one).alias("user"), first.alias("first"), "weight")
        for one, first in sides
    ]
    share = pl.col("first").sum() / pl.col("weight").sum()
    return pl.concat(ends).group_by("ring", "user").agg(share.alias("first_share"))


def ring_table(inputs: RingInputs, evidence: pl.DataFrame) -> pl.DataFrame:
    """One row per ring: the columns of RINGS but its name and birth, and `ring`."""
    pairs = _pairs(evidence)
    sizes = inputs.members.group_by("ring").agg(pl.len().cast(pl.Int64).alias("size"))
    # A ring is a discovery if its best pair is one among all pairs of the platform.
    lowest = (pl.col("log10_p").min() + np.log10(max(inputs.num_pairs, 1.0))).clip(upper_bound=0.0)
    # Who joins a ring makes it no surer that it is one.
    joins = pl.col("channel").str.contains(JOINS)
    tests = evidence.filter(~pl.col("channel").is_in(LIKENESS) & ~joins)
    facts = tests.group_by("ring").agg(
        lowest.alias("log10_p"),
        (pl.col("gap_us").median() / 1e6).alias("synchrony_s"),
        # Shared interest against shared timing: fans have much in common and meet as chance has it.
        (_timed("weight") / _timed("together")).alias("met_share"),
        (_timed("by_chance") / _timed("together")).alias("chance_share"),
    )
    strength = (
        evidence.group_by("ring", "channel")
        .agg(pl.col("bits").sum())
        .sort(["ring", "bits", "channel"], descending=[False, True, False])
        .group_by("ring", maintain_order=True)
        .agg(pl.col("channel").str.join(",").alias("channels"))
    )
    linked = pairs.group_by("ring").agg(
        pl.len().cast(pl.Int64).alias("links"), pl.col("bits").sum().alias("evidence_bits")
    )
    members = inputs.members.join(inputs.risk, on="user", how="left").join(
        inputs.bad.with_columns(pl.lit(1, dtype=pl.Int64).alias("bad")), on="user", how="left"
    )
    people = members.group_by("ring").agg(
        pl.col("bad").fill_null(0).sum().alias("known_bad"),
        pl.col("risk_score").mean().alias("mean_risk"),
    )
    possible = pl.col("size") * (pl.col("size") - 1) / 2
    table = sizes
    for part in (linked, facts, strength, people, _ties(inputs)):
        table = table.join(part, on="ring", how="left")
    described = table.with_columns(
        (pl.col("links") / possible).fill_null(0.0).alias("density"),
        pl.col("ties").fill_null("[]"),
        pl.col("log10_p").fill_null(0.0),
        *(pl.col(name).fill_nan(None) for name in ("met_share", "chance_share")),
    ).sort("ring")
    best = described.get_column("log10_p").to_numpy() - np.log10(max(inputs.num_pairs, 1.0))
    return described.with_columns(pl.Series("log10_q", log10_q(best, inputs.num_pairs)))


def _timed(column: str) -> pl.Expr:
    """Sum over links in time."""
    return pl.col(column).filter(pl.col("together").is_not_null()).sum()


def _pairs(evidence: pl.DataFrame) -> pl.DataFrame:
    """Evidence of each pair within its ring, in bits."""
    home = evidence.select("ring", "user_a", "user_b").unique()
    return pair_bits(evidence).join(home, on=["user_a", "user_b"]).sort("ring", "user_a", "user_b")


def _ties(inputs: RingInputs) -> pl.DataFrame:
    """The objects that tie most members, rare ones first: `ring`, `ties` (JSON)."""
    thing = ["ring", "type", "key"]
    used = inputs.touches.join(inputs.members, on="user", how="inner")
    tied = (
        used.group_by(thing)
        .agg(pl.col("user").n_unique().cast(pl.Int64).alias("members"), pl.col("popularity").max())
        .filter(pl.col("members") >= 2)
        # Members over the log of all users: a device of the ring before a post everybody knows.
        .with_columns((pl.col("members") / (pl.col("popularity") + 2).log()).alias("weight"))
        .sort(["ring", "weight", "type", "key"], descending=[False, True, False, False])
        .group_by("ring", maintain_order=True)
        .head(MOST_TIES)
    )
    rows: dict[Any, list[dict[str, Any]]] = {}
    for ring, kind, key, members in tied.select(*thing, "members").iter_rows():
        rows.setdefault(ring, []).append({"type": kind, "key": key, "members": members})
    texts = [json.dumps(ties, ensure_ascii=False) for ties in rows.values()]
    schema = {"ring": inputs.members.schema["ring"], "ties": pl.String()}
    return pl.DataFrame({"ring": list(rows), "ties": texts}, schema=schema)

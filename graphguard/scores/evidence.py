"""The evidence a user's score is asked about: its objects, and acts in common with others.

Reads the facts that reasons are made of, writes nothing.
"""

import numpy as np
import polars as pl

from graphguard.rings.evidence import acts_channel
from graphguard.scores.facts import NOT_ACTS
from graphguard.scores.reasons import HALF_BITS
from graphguard.scores.removal import REMOVED

NAMED = {
    "key": pl.String,
    "words": pl.String,
    "weight": pl.Float64,
    "type": pl.String,
    "object": pl.String,
    "channel": pl.String,
}
"""Columns of a frame that names pieces of evidence, one row a piece: either `type` and `object`
(its key), or `channel`."""


def named_evidence(objects: pl.DataFrame, acts: pl.DataFrame) -> pl.DataFrame:
    """What can be taken away from users: each of their objects, and each channel's acts in common.

    Args:
        objects: `key, entity_type, entity, others, flagged`, as `touched_objects` makes them.
        acts: `key, channel, noun, users, log10_p`, as `coaction_facts` makes them.

    Returns:
        NAMED, the strongest of a user first.
    """
    share = (pl.col("flagged") + 1) / (pl.col("others") + 2)
    things = objects.select(
        "key",
        pl.format("{} {}", "entity_type", "entity").alias("words"),
        pl.when(pl.col("others") > 0).then(share).otherwise(0.0).alias("weight"),
        pl.col("entity_type").alias("type"),
        pl.col("entity").alias("object"),
        pl.lit(None, dtype=pl.String).alias("channel"),
    )
    bits = -pl.col("log10_p") * np.log2(10.0)
    order = ["key", "weight", "words"]
    joint = (
        acts.select(
            "key",
            pl.format("the {} in common with {} others", "noun", "users").alias("words"),
            (bits / (bits + HALF_BITS)).alias("weight"),
            pl.lit(None, dtype=pl.String).alias("type"),
            pl.lit(None, dtype=pl.String).alias("object"),
            acts_channel(pl.col("channel")).alias("channel"),
        )
        .sort(order, descending=[False, True, False])
        .unique(["key", "channel"], keep="first", maintain_order=True)
    )
    every = pl.concat([things, joint]).cast(NAMED)  # type: ignore[arg-type]
    return every.sort(order, descending=[False, True, False])


def common_objects(evidence: pl.DataFrame, touches: pl.DataFrame, users: pl.Series) -> pl.DataFrame:
    """Objects that users touched, and somebody they are linked with by acts in a channel did too.

    Args:
        evidence: RING_EVIDENCE; channels that are no acts are left out.
        touches: `key, channel, object`: who touched which object of which channel.
        users: Keys that are asked about.

    Returns:
        `key, channel, object`, no repeats, sorted.
    """
    trace = ~pl.any_horizontal([pl.col("channel").str.starts_with(one) for one in NOT_ACTS])
    both = evidence.filter(trace).with_columns(acts_channel(pl.col("channel")))
    sides = [
        both.select(pl.col(mine).alias("key"), pl.col(theirs).alias("other"), "channel")
        for mine, theirs in (("key_a", "key_b"), ("key_b", "key_a"))
    ]
    links = pl.concat(sides).unique().filter(pl.col("key").is_in(users.implode()))
    mine = links.join(touches, on=["key", "channel"])
    met = mine.join(
        touches,
        left_on=["other", "channel", "object"],
        right_on=["key", "channel", "object"],
        how="semi",
    )
    return met.select("key", "channel", "object").unique().sort("key", "channel", "object")


def others_like(acts: pl.DataFrame, touches: pl.DataFrame, seed: int) -> pl.DataFrame:
    """As many other acts of the same users on objects of the same types, drawn by lot.

    Args:
        acts: REMOVED.
        touches: REMOVED, all acts of these users.
        seed: Another seed draws others.

    Returns:
        REMOVED; of users who have too few other objects of a type, nothing of any type.
    """
    kind = ["entity", "type"]
    need = acts.group_by(kind).agg(pl.len().alias("need"))
    others = touches.join(need, on=kind).join(acts, on=list(REMOVED), how="anti")
    short = need.join(others.group_by(kind).agg(pl.len().alias("there")), on=kind, how="left")
    short = short.filter(pl.col("there").fill_null(0) < pl.col("need"))
    lot = pl.struct(list(REMOVED)).hash(seed=seed).alias("lot")
    drawn = others.join(short, on="entity", how="anti").with_columns(lot)
    place = pl.col("lot").rank("ordinal").over(kind)
    return drawn.filter(place <= pl.col("need")).select(list(REMOVED)).sort(list(REMOVED))

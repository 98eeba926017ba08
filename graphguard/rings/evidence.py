"""The acts that a ring's evidence rests on, and what they say when they are looked at again.

What the join found is one thing; this reads the acts of members plainly, pair by pair, so that
every number of a ring can be had a second time from what an investigator is shown.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.graph.keyed import key_hash
from graphguard.rings.significance import log10_binomial_tail, log10_poisson_tail
from graphguard.rings.unlike_coins import log10_coins_tail

SHARED, AGAIN, ONCE, CORE = "shared.", "again.", "once.", "core."
AUDIENCE, ALIKE, KNOWN, BESIDE = "audience.", "alike.", "known.", "beside."
EARLIER = "earlier."
"""How channels begin that are no trace of acts in time."""
LIKENESS = ("embedding", "behaviour")
"""Channels of users who are like each other, whatever they acted on together."""
SETS = r"^(again|once|core|audience|alike|known|beside|earlier)\."
"""Channels whose p is that of a set of users."""
JOINS = r"^(known|beside)\."
"""Of these, those of users who join what is a ring without them."""
SAME_ACTS = r"^(again|once|core|audience|known|beside|earlier)\."
"""Of these, those that test the acts of a trace in another way."""
NEAR = "near."
"""How the type of an object begins that is a group of nearly equal texts or pictures."""
PAIRS_AT_ONCE = 100_000
LINK = ["ring_id", "channel", "user_a", "user_b", "window_us"]
"""A pair has one link by its acts in time, and others as part of sets, in windows of their own."""
Floats = NDArray[np.float64]


def acts_channel(channel: pl.Expr) -> pl.Expr:
    """The channel whose acts the evidence of a channel rests on: sets meet in a trace."""
    return channel.str.replace(SAME_ACTS, "")


def acts_in_common(acts: pl.DataFrame) -> pl.DataFrame:
    """The acts on objects that two members of a ring acted on, or more.

    Args:
        acts: `ring`, `channel`, `object`, `user` and what else there is; each act once.
    """
    common = ["ring", "channel", "object"]
    return acts.filter(pl.col("user").n_unique().over(common) > 1)


def event_ids(acts: pl.DataFrame) -> pl.Series:
    """A name for each event that does not change from night to night or when others are erased.

    Args:
        acts: `log`, `key` (of the user), `object` and `time_us`: events equal in all four bear one
            name.

    Returns:
        `<log>:<16 hexadecimal digits>`, shape [acts].
    """
    named = acts.select(
        pl.concat_str("log", "key", "object", "time_us", separator="\x1f").alias("text")
    )
    marks = key_hash(named.get_column("text"))
    logs = acts.get_column("log")
    names = [f"{log}:{mark:016x}" for log, mark in zip(logs, marks.tolist(), strict=True)]
    return pl.Series("event_id", names, dtype=pl.String)


def recounted(links: pl.DataFrame, acts: pl.DataFrame) -> pl.DataFrame:
    """What the acts of two members say of their link.

    Args:
        links: `ring_id`, `channel`, `user_a`, `user_b`, `window_us`, `most_users`.
        acts: `ring_id`, `channel`, `object`, `users` (of the object), `user`, `time_us`.

    Returns:
        The rows of `links` in their order, with `weight`, `a_first`, `gap_us` and `together` as in
        PAIRS; null where the two have no act in common.

    Cost: O(acts of a on what b acted on too, over all links); links are taken 100,000 at a time.
    """
    parts = [_recounted(part, acts) for part in links.iter_slices(PAIRS_AT_ONCE)]
    return pl.concat(parts) if parts else _recounted(links, acts)


def retested(links: pl.DataFrame) -> Floats:
    """log10 p of each link, from its counts and what was expected of them.

    Args:
        links: `weight`, `expected`, `together`, `by_chance`, `chances`, `tests` as in PAIRS.

    Returns:
        Shape [links]. A link without `together` was held against interests (Poisson), one without
        `by_chance`, a shared entity, against activity alone. Where `chances` are null or there is
        no such column an older program tested it, by a bound of like coins of the mean chance.
    """
    weight, expected, tests = (
        links.get_column(name).to_numpy() for name in ("weight", "expected", "tests")
    )
    p = log10_poisson_tail(weight, expected)
    together = links.get_column("together")
    timed = together.is_not_null().to_numpy()
    liked = ~timed & links.get_column("by_chance").is_not_null().to_numpy()
    chance = links.get_column("by_chance").fill_null(0.0).to_numpy()
    p[liked] = np.maximum(p[liked], log10_poisson_tail(weight[liked], chance[liked]))
    p[timed] = np.maximum(p[timed], _timing(links.filter(pl.Series(timed))))
    result: Floats = np.minimum(p + np.log10(tests), 0.0)
    return result


def _timing(links: pl.DataFrame) -> Floats:
    """log10 of the chance to meet so often, of links in time."""
    weight, together, mean = (
        links.get_column(name).to_numpy() for name in ("weight", "together", "by_chance")
    )
    tail = log10_binomial_tail(weight, together, mean)
    if "chances" in links.columns:
        coins = links.select("chances").with_row_index("link").drop_nulls()
        told = coins.get_column("link").to_numpy().astype(np.int64)
        owner = np.repeat(np.arange(len(told)), coins.get_column("chances").list.len().to_numpy())
        chance = coins.get_column("chances").explode(empty_as_null=False).to_numpy()
        tail[told] = log10_coins_tail(weight[told], owner, chance)
    return tail


def _recounted(links: pl.DataFrame, acts: pl.DataFrame) -> pl.DataFrame:
    mine = acts.select("ring_id", "channel", "object", "users", "user", "time_us")
    home = ["ring_id", "channel"]
    both = (
        links.join(mine, left_on=[*home, "user_a"], right_on=[*home, "user"], how="inner")
        .join(
            mine.drop("users"),
            left_on=[*home, "user_b", "object"],
            right_on=[*home, "user", "object"],
            how="inner",
            suffix="_b",
        )
        .with_columns((pl.col("time_us_b") - pl.col("time_us")).alias("lead"))
    )
    timed = ~pl.col("channel").str.starts_with(SHARED)
    # Of several meetings on an object the nearest counts.
    nearest = (
        both.with_columns(
            pl.col("lead").abs().alias("gap"),
            pl.min_horizontal("time_us", "time_us_b").alias("first"),
        )
        .sort(*LINK, "object", "gap", "first", "lead")
        .group_by(*LINK, "object", maintain_order=True)
        .agg(pl.col("lead", "gap", "most_users", "users").first())
    )
    met = timed & (pl.col("gap") <= pl.col("window_us"))
    few = ~timed & (pl.col("users") <= pl.col("most_users"))
    told = nearest.group_by(LINK).agg(
        (met | few).sum().cast(pl.Int64).alias("weight"),
        (met & (pl.col("lead") > 0)).sum().cast(pl.Int64).alias("a_first"),
        pl.col("gap").filter(met).median().round().cast(pl.Int64).alias("gap_us"),
        pl.when(timed.first()).then(pl.len().cast(pl.Int64)).alias("together"),
    )
    return links.join(told, on=LINK, how="left", maintain_order="left")

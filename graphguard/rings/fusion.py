"""Put the evidence of several channels together, in bits, and decide which pairs are linked."""

import numpy as np
import polars as pl

from graphguard.rings.significance import log10_q

BITS = float(np.log2(10.0))
SECOND_CHANNELS = 0.5
"""Channels are not independent (who shares a device is often awake together), so every channel
beyond the strongest counts half. A discovery rests on the strongest alone."""
MOST_BITS = 200.0
"""A channel's evidence is cut here: beyond it a pair is no more certain, only more active."""


def pair_table(channels: dict[str, pl.DataFrame], num_pairs: float) -> pl.DataFrame:
    """Test every pair once over its channels.

    Args:
        channels: By channel: `user_a`, `user_b`, `window_us`, `weight`, `a_first`, `gap_us`,
            `expected`, `log10_p`; at least one channel.
        num_pairs: All pairs of users, seen or not.

    Returns:
        These columns, `channel`, and `log10_q` of the pair's smallest p times the number of
        channels; sorted by pair and channel.
    """
    frames = [
        frame.with_columns(pl.lit(name).alias("channel"))
        for name, frame in sorted(channels.items())
    ]
    every = pl.concat(frames, how="diagonal")
    pair = ["user_a", "user_b"]
    tested = every.group_by(pair).agg(pl.col("log10_p").min().alias("least")).sort(pair)
    least = np.minimum(tested.get_column("least").to_numpy() + np.log10(len(frames)), 0.0)
    tested = tested.select(*pair, pl.Series("log10_q", log10_q(least, num_pairs)))
    return every.join(tested, on=pair, how="left").sort(*pair, "channel")


def set_evidence(links: pl.DataFrame, channel: str, window_us: int) -> pl.DataFrame:
    """Links of pairs inside sets as evidence of a channel: the test was of the set.

    Args:
        links: As of `links_within`.
        channel: Its name.
        window_us: Within which the sets met.
    """
    return links.with_columns(
        pl.lit(channel).alias("channel"),
        pl.lit(window_us, dtype=pl.Int64).alias("window_us"),
        pl.lit(0, dtype=pl.Int64).alias("a_first"),
        pl.lit(0.0).alias("expected"),
        pl.lit(1, dtype=pl.Int64).alias("tests"),
        channel_bits(pl.col("log10_p")).alias("bits"),
    )


def channel_bits(log10_p: pl.Expr) -> pl.Expr:
    """Evidence of one channel in bits."""
    return (-log10_p * BITS).clip(0.0, MOST_BITS)


def pair_bits(pairs: pl.DataFrame) -> pl.DataFrame:
    """Evidence of each pair in bits: the strongest channel, and half of every other.

    Args:
        pairs: `user_a`, `user_b`, `bits`, one row per channel.

    Returns:
        `user_a`, `user_b`, `bits`, sorted.
    """
    strongest, total = pl.col("bits").max(), pl.col("bits").sum()
    return (
        pairs.group_by("user_a", "user_b")
        .agg((strongest + SECOND_CHANNELS * (total - strongest)).alias("bits"))
        .sort("user_a", "user_b")
    )

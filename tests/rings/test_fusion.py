import numpy as np
import polars as pl
import pytest

from graphguard.rings.fusion import BITS, MOST_BITS, channel_bits, pair_bits, pair_table


def channel(*rows: tuple[int, int, float]) -> pl.DataFrame:
    schema = {"user_a": pl.Int64, "user_b": pl.Int64, "log10_p": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_a_pair_is_tested_once_by_its_best_channel_times_their_number():
    table = pair_table(
        {"likes": channel((1, 2, -8.0), (3, 4, -2.0)), "posts": channel((1, 2, -3.0))}, 10.0
    )

    assert table.select("user_a", "channel").rows() == [(1, "likes"), (1, "posts"), (3, "likes")]
    q = table.get_column("log10_q").to_list()
    # Rank 1 of 10 pairs: 10 * (2 * 10 ** -8); the other: min(1, 10 / 2 * 2 * 10 ** -2).
    assert q == pytest.approx([-8 + np.log10(20), -8 + np.log10(20), -1.0])


def test_a_second_channel_counts_half():
    bits = pl.DataFrame({"user_a": [1, 1, 3], "user_b": [2, 2, 4], "bits": [10.0, 6.0, 5.0]})

    assert pair_bits(bits).rows() == [(1, 2, 13.0), (3, 4, 5.0)]


def test_bits_are_cut_where_certainty_ends():
    got = channel((1, 2, -1.0), (1, 3, -500.0), (1, 4, 0.0)).select(channel_bits(pl.col("log10_p")))

    assert got.to_series().to_list() == pytest.approx([BITS, MOST_BITS, 0.0])

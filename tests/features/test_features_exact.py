import narwhals as nw
import polars as pl
import pytest

from graphguard.features.exact import entropy_bits, spread_fixed
from graphguard.schema import FIXED_POINT


def spread(values: list[int | None]) -> float:
    frame = nw.from_native(pl.LazyFrame({"row": [1] * len(values), "v": values}))
    return frame.group_by("row").agg(s=spread_fixed(nw.col("v"))).collect().to_native()["s"][0]


def test_the_spread_of_the_largest_values_does_not_overflow():
    # Four thousand values at the two ends of what ingest accepts: 2^41 apart from their mean.
    assert spread([2**61, -(2**61)] * 2000) == 2.0**41


def test_the_spread_of_one_value_repeated_is_exactly_zero():
    assert spread([123_456_789_012_345] * 7) == 0.0


def test_the_spread_of_negative_fractions_is_that_of_their_mirror():
    low, high = FIXED_POINT // 4, 3 * FIXED_POINT // 4

    assert spread([low, high, None]) == spread([-low, -high]) == pytest.approx(0.25, rel=1e-12)


def test_the_entropy_of_one_value_is_exactly_zero_and_of_two_is_a_bit():
    frame = nw.from_native(pl.LazyFrame({"row": [1] * 3 + [2] * 6, "tally": [3] * 9}))
    grouped = frame.group_by("row").agg(bits=entropy_bits(nw.col("tally"))).sort("row")

    assert grouped.collect().to_native().get_column("bits").to_list() == [0.0, 1.0]

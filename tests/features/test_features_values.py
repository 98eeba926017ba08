import math

import polars as pl
import pytest

from graphguard.config.sections import Config
from graphguard.features.table import FeatureInputs, feature_table
from graphguard.schema import FIXED_POINT

DAY = 86_400_000_000
ANCHOR = 20_000 * DAY


def payments(config, time: str = "ts") -> Config:
    return config(
        logs={
            "payments": {
                "path": "x",
                "time": time,
                "numeric": ["amount"],
                "categorical": ["channel"],
            }
        },
        graph={
            "window": "8d",
            "edges": [
                {
                    "name": ["user", "pays", "shop"],
                    "log": "payments",
                    "source": "user_id",
                    "target": "shop_id",
                }
            ],
        },
    )


def table_of(platform: Config, drawn: list[tuple]) -> pl.DataFrame:
    """Features of payments (user, shop, microseconds before the anchor, amount, channel)."""
    timeless = platform.logs["payments"].timeless
    events = pl.DataFrame(
        {
            "time_us": [0 if timeless else ANCHOR - before for _, _, before, _, _ in drawn],
            "user_id": [user for user, *_ in drawn],
            "shop_id": [shop for _, shop, *_ in drawn],
            "amount": [None if v is None else round(v * FIXED_POINT) for *_, v, _ in drawn],
            "channel": [channel for *_, channel in drawn],
        },
        schema_overrides={"amount": pl.Int64, "channel": pl.String},
    )
    users = sorted({user for user, *_ in drawn})
    rows = pl.DataFrame({"entity": users, "anchor_us": [ANCHOR] * len(users)})
    return feature_table(FeatureInputs(rows, {"payments": events.lazy()}), platform)


def test_level_and_spread_of_a_number(config):
    drawn = [
        (1, 7, 40, 2.0, "a"),
        (1, 7, 30, 2.0, "a"),
        (1, 7, 20, 3.5, "a"),
        (1, 7, 10, None, "a"),
    ]

    row = table_of(payments(config), drawn).row(0, named=True)

    assert row["payments:amount.mean_value"] == 2.5
    assert row["payments:amount.sd_value"] == pytest.approx(math.sqrt(0.5))
    assert row["payments:amount.min_value"] == 2
    assert row["payments:amount.max_value"] == 3.5
    assert row["payments:amount.last_value"] == 3.5
    assert row["payments:amount.last_deviation"] == 1
    assert row["payments:amount.same_value_share"] == pytest.approx(2 / 3)
    assert row["payments:amount.whole_value_share"] == pytest.approx(2 / 3)


def test_deviation_is_from_what_others_paid_in_the_shop_before(config):
    # shop 7:  b pays 4, c pays 8, a pays 9 (others' mean 6: +3), b pays 100 too late to matter
    # shop 8:  a pays 1 as the first: nothing usual yet
    drawn = [
        (2, 7, 40, 4.0, "a"),
        (3, 7, 30, 8.0, "a"),
        (1, 7, 20, 9.0, "a"),
        (2, 7, 10, 100.0, "a"),
        (1, 8, 5, 1.0, "a"),
    ]

    table = table_of(payments(config), drawn)

    assert table.get_column("payments:amount:shop.mean_deviation")[0] == 3
    assert table.get_column("payments:amount:shop.max_abs_deviation")[0] == 3
    assert table.get_column("payments:amount:shop.deviation_spread")[0] == 0
    # b's second payment: others' mean is (8 + 9) / 2; its first has none
    assert table.get_column("payments:amount:shop.mean_deviation")[1] == 91.5


def test_without_times_all_others_are_usual(config):
    drawn = [(1, 7, 0, 5.0, "a"), (2, 7, 0, 1.0, "a"), (3, 7, 0, 2.0, "a")]

    table = table_of(payments(config, time="none"), drawn)

    assert table.get_column("payments:amount:shop.mean_deviation").to_list() == [3.5, -2.5, -1]
    assert table.get_column("pays:shop.max_popularity").to_list() == [2, 2, 2]
    assert "payments.median_gap_s" not in table.columns
    assert "payments:amount.last_value" not in table.columns


def test_categories_are_rare_by_what_others_used_before(config):
    # others before a's `x`: 3 events, none with x: log2(5 / 1); before a's `y`: 3 events, 2 with y
    drawn = [
        (2, 7, 50, 1.0, "y"),
        (2, 7, 40, 1.0, "y"),
        (3, 7, 30, 1.0, "z"),
        (1, 7, 20, 1.0, "x"),
        (1, 7, 10, 1.0, "y"),
        (1, 7, 5, 1.0, None),
    ]

    row = table_of(payments(config), drawn).row(0, named=True)

    assert row["payments:channel.num_categories"] == 2
    assert row["payments:channel.top_category_share"] == 0.5
    assert row["payments:channel.category_entropy"] == 1
    assert row["payments:channel.last_category_rarity"] == pytest.approx(math.log2(5 / 3))
    both = (math.log2(5) + math.log2(5 / 3)) / 2
    assert row["payments:channel.mean_category_rarity"] == pytest.approx(both, rel=1e-6)


def test_large_sums_stay_exact(config):
    # a billion and its neighbour: their squares in fixed point pass 2^63 by far
    drawn = [(1, 7, 20, 1e9, "a"), (1, 7, 10, 1e9 + 2, "a")]

    row = table_of(payments(config), drawn).row(0, named=True)

    assert row["payments:amount.sd_value"] == 1


def test_shares_of_named_categories(config):
    # a pays by card, by card, then by cash; b by something unknown.
    drawn = [(1, 7, 40, 1.0, "card"), (1, 7, 30, 1.0, "card"), (1, 7, 20, 1.0, "cash")]
    drawn += [(2, 7, 10, 1.0, None)]
    platform = payments(config)
    log = platform.logs["payments"].model_copy(update={"shares": {"channel": ("card", "cash")}})
    platform = platform.model_copy(update={"logs": {"payments": log}})

    first, second = table_of(platform, drawn).to_dicts()

    assert first["payments:channel=card.category_share"] == pytest.approx(2 / 3)
    assert first["payments:channel=card.last_category_share"] == 0
    assert first["payments:channel=cash.category_share"] == pytest.approx(1 / 3)
    assert first["payments:channel=cash.last_category_share"] == 1
    assert second["payments:channel=card.category_share"] == 0


def test_shares_of_a_column_that_is_no_category_are_refused(config):
    logs = {"payments": {"path": "x", "time": "ts", "shares": {"channel": ["card"]}}}

    with pytest.raises(ValueError, match=r"logs\.payments\.shares names 'channel'"):
        config(logs=logs, graph=payments(config).graph.model_dump())


def test_a_value_is_held_against_what_is_usual_as_a_ratio_too(config):
    # shop 7: b pays 4, c pays 12 (others' mean 8 for a): a pays 32, two doublings more; 8 as usual.
    drawn = [
        (2, 7, 40, 4.0, "a"),
        (3, 7, 30, 12.0, "a"),
        (1, 7, 20, 32.0, "a"),
        (1, 7, 10, 8.0, "a"),
    ]

    row = table_of(payments(config), drawn).row(0, named=True)

    assert row["payments:amount:shop.mean_log_ratio"] == 1
    assert row["payments:amount:shop.max_log_ratio"] == 2
    assert row["payments:amount:shop.far_above_share"] == 0.5


def test_a_ratio_to_nothing_is_unknown(config):
    drawn = [(2, 7, 40, 0.0, "a"), (1, 7, 20, 32.0, "a"), (3, 7, 15, -4.0, "a")]

    row = table_of(payments(config), drawn).row(0, named=True)

    assert row["payments:amount:shop.mean_log_ratio"] is None
    assert row["payments:amount:shop.mean_deviation"] == 32

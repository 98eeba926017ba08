import math

import polars as pl
import pytest

from graphguard.config.sections import Config
from graphguard.features.table import FeatureInputs, feature_table
from graphguard.schema import PAIRS

DAY = 86_400_000_000
ANCHOR = 20_000 * DAY


def test_only_what_others_did_before_counts(likes_table):
    # seconds before the anchor:
    # content 5:  b@100  c@90  a@84  b@1        content 6:  a@50  c@40
    likes = [(2, 5, 100), (3, 5, 90), (1, 5, 84), (2, 5, 1), (1, 6, 50), (3, 6, 40)]

    row = likes_table(likes, users=[1, 2, 3]).row(0, named=True)

    assert row["likes:content.num_objects"] == 2
    assert row["likes:content.objects_per_event"] == 1
    assert row["likes:content.top_object_share"] == 0.5
    assert row["likes:content.mean_log_popularity"] == pytest.approx(math.log(3) / 2)
    assert row["likes:content.max_popularity"] == 2
    assert row["likes:content.untouched_share"] == 0.5
    assert row["likes:content.few_others_share"] == 0.5
    assert row["likes:content.rare_sharing"] == pytest.approx(1 / math.log(4))
    assert row["likes:content.median_follow_s"] == 6
    assert row["likes:content.median_object_age_s"] == 16
    assert row["likes:content.follows_within_10s_share"] == 0.5
    assert row["likes:content.crowd_share"] == 0.5


def test_a_followed_user_gets_columns_from_the_other_end(config):
    #     2 -> 1 <- 3      user 1 follows nobody
    platform = config(
        logs={"follows": {"path": "x", "time": "ts"}},
        graph={
            "window": "8d",
            "edges": [
                {
                    "name": ["user", "follows", "user"],
                    "log": "follows",
                    "source": "user_id",
                    "target": "target_id",
                }
            ],
        },
    )
    follows = pl.DataFrame(
        {"time_us": [ANCHOR - 9, ANCHOR - 5], "user_id": [2, 3], "target_id": [1, 1]}
    )
    rows = pl.DataFrame({"entity": [1, 2], "anchor_us": [ANCHOR, ANCHOR]})

    table = feature_table(FeatureInputs(rows, {"follows": follows.lazy()}), platform)

    assert table.get_column("rev_follows:user.num_objects").to_list() == [2, 0]
    assert table.get_column("follows:user.num_objects").to_list() == [0, 1]
    assert table.get_column("follows.num_events").to_list() == [0, 1]


def linked(config) -> Config:
    return config(
        rings={"traces": [{"log": "likes", "object": "content_id"}], "shared": ["content"]}
    )


def test_pairs_are_seen_from_both_users(config):
    # 1 - 2 strong, by both channels     1 - 3 weak
    rows = pl.DataFrame({"entity": [1, 2, 3, 4], "anchor_us": [ANCHOR] * 4})
    trace, shared = "likes.content_id", "shared.content"
    pairs = pl.DataFrame(
        [
            (1, 2, trace, 10, 4, 3, 7, 0.1, None, None, None, None, 1, -8.0, -6.0),
            (1, 2, shared, 0, 2, 0, None, 0.1, None, None, None, None, 1, -8.0, -6.0),
            (3, 1, trace, 10, 2, 1, 9, 0.5, None, None, None, None, 1, -1.5, -0.5),
        ],
        schema=PAIRS.empty().schema,
        orient="row",
    )

    table = feature_table(FeatureInputs(rows, {}, pairs=pairs), linked(config))

    assert table.get_column("all.linked_users").to_list() == [1, 1, 0, 0]
    assert table.get_column("all.sum_link_evidence").to_list() == [9.5, 8, 1.5, 0]
    assert table.get_column(f"{trace}.max_link_evidence").to_list() == [8, 8, 1.5, 0]
    assert table.get_column(f"{trace}.max_link_weight").to_list() == [4, 4, 2, 0]
    assert table.get_column(f"{trace}.first_share").to_list()[1:] == [0.25, 0.5, None]
    assert table.get_column(f"{trace}.first_share")[0] == pytest.approx(4 / 6)
    assert table.get_column(f"{shared}.linked_users").to_list() == [1, 1, 0, 0]


def test_without_pairs_links_are_unknown_rather_than_none(config):
    rows = pl.DataFrame({"entity": [1], "anchor_us": [ANCHOR]})

    table = feature_table(FeatureInputs(rows, {}), linked(config))

    assert table.get_column("all.linked_users").to_list() == [None]

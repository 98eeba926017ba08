"""Worlds: one seed, the same bytes; shares are as said; normal life looks suspect."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from graphguard.errors import BadSetting
from graphguard.rings.coaction import find_coactions
from graphguard.rings.meetings import Acts
from graphguard.worlds import WorldSpec, write_world
from graphguard.worlds.spec import KINDS

HOUR_US = 3_600_000_000


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    folder = tmp_path_factory.mktemp("big")
    write_world(WorldSpec(users=10_000, days=42, seed=11), folder)
    return folder


def truth(folder, name):
    return pl.read_parquet(folder / "truth" / f"{name}.parquet")


def log(folder, name):
    return pl.read_parquet(folder / "logs" / name / "*" / "*.parquet", hive_partitioning=False)


def files(folder: Path):
    return {str(path.relative_to(folder)): path for path in folder.rglob("*.*")}


def test_one_seed_gives_the_same_bytes_and_another_does_not(tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_world(WorldSpec(users=600, days=9, seed=seed), tmp_path / name)

    one, same, other = (files(tmp_path / name) for name in "abc")

    assert len(one) > 36
    assert one.keys() == same.keys() == other.keys()
    assert all(one[name].read_bytes() == same[name].read_bytes() for name in one)
    assert sum(one[name].read_bytes() != other[name].read_bytes() for name in one) > 36


def test_shares_of_abuse_and_kinds_are_as_said(big):
    users, rings = truth(big, "users"), truth(big, "rings")
    kinds = dict(users.filter("abusive").group_by("kind").len().iter_rows())

    assert users.get_column("abusive").mean() == pytest.approx(0.04, abs=0.004)
    assert kinds["solo"] == 100
    assert set(kinds) == {*KINDS, "solo"}
    assert all(50 <= kinds[kind] <= 55 for kind in KINDS)
    assert rings.get_column("size").is_between(5, 60).all()


def test_labels_are_late_incomplete_and_a_little_wrong(tmp_path):
    write_world(WorldSpec(users=20_000, days=70, seed=12, ring_share=0.2, solo_share=0.1), tmp_path)
    users = truth(tmp_path, "users")
    labels = pl.read_parquet(tmp_path / "labels" / "decisions.parquet")
    known = labels.filter("is_abusive").join(users, on="user_id")

    assert users.filter("abusive").get_column("decided").mean() == pytest.approx(0.6, abs=0.05)
    assert 1 - known.get_column("abusive").mean() == pytest.approx(0.02, abs=0.01)
    first = truth(tmp_path, "acts").group_by("user_id").agg(pl.col("day").min())
    late = known.filter("abusive").join(first, on="user_id")
    days = (late.get_column("decided_at").dt.date() - late.get_column("day")).dt.total_days()
    assert days.median() >= 2


def test_nobody_acts_after_a_ban(big):
    labels = pl.read_parquet(big / "labels" / "decisions.parquet").filter("is_abusive")
    banned = labels.group_by("user_id").agg(pl.col("decided_at").min())

    for name, time in (("likes", "ts"), ("posts", "created_at"), ("logins", "ts")):
        acts = log(big, name).join(banned, on="user_id")
        assert acts.height > 100
        assert (acts.get_column(time) <= acts.get_column("decided_at")).all(), name


def test_ring_members_live_a_normal_life_too(big):
    # The share of likes that are for a ring, of the kinds that like: camouflage is mostly normal.
    users = truth(big, "users").filter(pl.col("kind") == "camouflaged")
    acts = truth(big, "acts").join(users, on="user_id").get_column("acts").sum()
    likes = log(big, "likes").join(users, on="user_id").height

    assert 0 < acts < likes / 3


def flagged(folder, kind, acts):
    """Share of the groups of a kind with a pair that met on two objects within an hour."""
    groups = truth(folder, "normal").filter(pl.col("kind") == kind).select("group", "user_id")
    sizes = groups.group_by("group").len().filter(pl.col("len") >= 3)
    groups = groups.join(sizes.select("group"), on="group")
    names = acts.select(pl.col("user_id").unique().sort()).with_row_index("user")
    coded = acts.join(names, on="user_id").with_columns(pl.col("object").rank("dense") - 1)
    found = find_coactions(
        Acts(
            coded.get_column("user").to_numpy().astype(np.int64),
            coded.get_column("object").to_numpy().astype(np.int64),
            coded.get_column("time").to_numpy().astype(np.int64),
        ),
        [HOUR_US],
        np.arange(names.height, dtype=np.uint64),
    )
    member = groups.join(names, on="user_id").select("group", pl.col("user").cast(pl.Int64))
    pairs = found.pairs.filter(pl.col("weight_0") >= 2)
    both = pairs.join(member, left_on="user_a", right_on="user").join(
        member, left_on=["user_b", "group"], right_on=["user", "group"]
    )
    return both.get_column("group").n_unique() / groups.get_column("group").n_unique()


def test_weight_two_would_flag_every_fan_club_and_publisher(big):
    likes = log(big, "likes").select(
        "user_id", pl.col("content_id").alias("object"), pl.col("ts").dt.epoch("us").alias("time")
    )

    assert flagged(big, "fan_club", likes) == 1
    assert flagged(big, "publisher", likes) == 1


def test_weight_two_would_flag_every_cafe(big):
    # People of one café meet there on several days: the object is the address on a day.
    logins = log(big, "logins").select(
        "user_id",
        pl.format("{} {}", "address", pl.col("ts").dt.date()).alias("object"),
        pl.col("ts").dt.epoch("us").alias("time"),
    )

    assert flagged(big, "cafe", logins) == 1


def test_strangers_share_addresses_and_devices(big):
    logins = log(big, "logins")
    users = pl.col("user_id").n_unique().alias("users")
    normal = truth(big, "users").filter(~pl.col("abusive")).select("user_id")
    shared = logins.join(normal, on="user_id")

    assert shared.group_by("address").agg(users).get_column("users").max() > 100
    assert (shared.group_by("device_id").agg(users).get_column("users") >= 2).sum() > 300


def test_a_few_post_most_and_some_posts_go_viral(big):
    likes = log(big, "likes")
    mine = likes.group_by("user_id").len().get_column("len").sort(descending=True)
    crowd = likes.group_by("content_id").len().get_column("len")

    assert mine.head(mine.len() // 10).sum() > 0.3 * mine.sum()
    assert crowd.max() > 50 * crowd.median()


def test_days_do_not_depend_on_how_many_follow(tmp_path):
    # Streaming: a day is drawn by itself, so a longer world begins like a shorter one.
    for name, users in (("a", 600), ("b", 600)):
        write_world(WorldSpec(users=users, days=12, seed=5), tmp_path / name)
    summary = write_world(WorldSpec(users=600, days=12, seed=5), tmp_path / "c")

    assert sum(summary.events.values()) == sum(
        log(tmp_path / "a", name).height for name in ("logins", "posts", "likes", "follows")
    )


@pytest.mark.parametrize(
    ("setting", "value"), [("users", 10), ("days", 1), ("ring_share", 0.9), ("seed", -1)]
)
def test_impossible_worlds_are_refused(setting, value):
    with pytest.raises(BadSetting, match=setting):
        WorldSpec(**{setting: value})

"""What is told of links is told again by their acts; events keep their names."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import binom, poisson

from graphguard.rings.evidence import (
    PAIRS_AT_ONCE,
    acts_channel,
    acts_in_common,
    event_ids,
    recounted,
    retested,
)

MINUTE = 60_000_000
TRACE, SHARED = "posts.link", "shared.device"


def acts(*rows, channel=TRACE, ring="r"):
    """Rows are (user, object, second) or (user, object, second, users of the object)."""
    return pl.DataFrame(
        [
            {"ring_id": ring, "channel": channel, "object": thing, "user": user,
             "time_us": int(second * 1e6), "users": more[0] if more else 9}
            for user, thing, second, *more in rows
        ]
    )  # fmt: skip


def link(a="a", b="b", channel=TRACE, window_us=MINUTE, most_users=None):
    row = {"ring_id": "r", "channel": channel, "user_a": a, "user_b": b, "window_us": window_us}
    return pl.DataFrame(
        [row | {"most_users": most_users}], schema_overrides={"most_users": pl.Int64}
    )


def counts(table):
    return table.select("weight", "a_first", "gap_us", "together").rows()


def test_objects_met_on_within_the_window_are_counted_and_those_both_touched():
    # x: a 10 s before b    y: b 30 s before a    z: an hour apart    v: a alone
    held = acts(("a", "x", 0), ("b", "x", 10), ("a", "y", 130), ("b", "y", 100),
                ("a", "z", 0), ("b", "z", 3600), ("a", "v", 0))  # fmt: skip

    assert counts(recounted(link(), held)) == [(2, 1, 20_000_000, 3)]


def test_the_window_is_closed_and_of_several_meetings_the_nearest_counts():
    # x: exactly a minute apart; y: b comes 50 s after a, and once more 5 s before him
    held = acts(("a", "x", 0), ("b", "x", 60), ("a", "y", 100), ("b", "y", 150), ("b", "y", 95))

    assert counts(recounted(link(), held)) == [(2, 1, 32_500_000, 2)]


def test_acts_of_another_ring_or_channel_do_not_count_and_no_common_act_is_null():
    both = (("a", "x", 0), ("b", "x", 10))
    held = pl.concat(
        [acts(*both, ring="s"), acts(*both, channel="likes.post"), acts(("a", "x", 0))]
    )

    assert counts(recounted(link(), held)) == [(None, None, None, None)]


def test_shared_entities_count_by_their_users_whenever_they_were_touched():
    # d: four users, e: five; a class of at most four users was the one that told most
    held = acts(("a", "d", 0, 4), ("b", "d", 9e5, 4), ("a", "e", 0, 5), ("b", "e", 0, 5),
                channel=SHARED)  # fmt: skip

    told = recounted(link(channel=SHARED, window_us=0, most_users=4), held)

    assert told.select("weight", "a_first", "together").rows() == [(1, 0, None)]


def test_links_keep_their_order_beyond_one_part():
    number = PAIRS_AT_ONCE + 10
    many = pl.DataFrame(
        {
            "ring_id": ["r"] * number,
            "channel": [TRACE] * number,
            "user_a": pl.int_range(number, eager=True).cast(pl.String),
            "user_b": ["b"] * number,
            "window_us": [MINUTE] * number,
            "most_users": pl.Series([None] * number, dtype=pl.Int64),
        }
    )
    last = str(number - 1)
    told = recounted(many, acts((last, "x", 0), ("b", "x", 1), ("3", "x", 2)))

    assert told.get_column("user_a").to_list() == many.get_column("user_a").to_list()
    met = told.filter(pl.col("weight").is_not_null()).select("user_a", "weight", "a_first")
    assert met.rows() == [("3", 1, 0), (last, 1, 1)]
    assert recounted(many.clear(), acts(("a", "x", 0))).height == 0


def log10_p(**values):
    kinds = {"weight": pl.Int64, "expected": pl.Float64, "together": pl.Int64,
             "by_chance": pl.Float64, "chances": pl.List(pl.Float64),
             "tests": pl.Int64}  # fmt: skip
    return retested(pl.DataFrame([values], schema=kinds))[0]


def test_a_link_is_tested_by_its_own_chances_and_an_older_one_by_their_mean():
    # Two of two at .5 and .01: .005. A program that kept the sum alone said .255 squared.
    usual = {"weight": 2, "expected": 1e-9, "together": 2, "by_chance": 0.51, "tests": 1}

    assert log10_p(**usual, chances=[0.01, 0.5]) == pytest.approx(np.log10(0.005))
    assert log10_p(**usual, chances=None) == pytest.approx(2 * np.log10(0.255))


def log10(chance):
    return chance / np.log(10)


def test_a_link_in_time_is_as_unlikely_as_the_likelier_of_activity_and_timing():
    usual = {"weight": 6, "expected": 0.01, "together": 20, "tests": 1}

    # .5 of 20 by chance: six or more are 1e-5 by timing, 1e-15 by activity alone
    timing = log10(binom.logsf(5, 20, 0.5 / 20))
    assert log10_p(**usual, by_chance=0.5) == pytest.approx(timing, abs=0.05)
    activity = log10(poisson.logsf(5, 0.01))
    assert log10_p(**usual, by_chance=1e-9) == pytest.approx(activity, abs=0.05)


def test_without_objects_touched_together_it_was_held_against_interests():
    # Poisson around .5, and no binomial, of which nothing is known
    told = log10_p(weight=6, expected=0.01, together=None, by_chance=0.5, tests=1)

    assert told == pytest.approx(log10(poisson.logsf(5, 0.5)), abs=0.05)


def test_a_shared_entity_was_held_against_activity_alone_and_tests_are_paid_for():
    alone = {"weight": 3, "expected": 0.01, "together": None, "by_chance": None}

    once = log10_p(**alone, tests=1)
    assert once == pytest.approx(log10(poisson.logsf(2, 0.01)), abs=0.05)
    assert log10_p(**alone, tests=8) == pytest.approx(once + np.log10(8))
    assert log10_p(weight=1, expected=5.0, together=None, by_chance=None, tests=8) == 0.0


def test_acts_in_common_are_those_on_objects_of_two_members_of_one_ring():
    #  ring 0: a and b on x, a alone (twice) on y;   ring 1: c on x
    rows = [(0, "a", "x"), (0, "b", "x"), (0, "a", "y"), (0, "a", "y"), (1, "c", "x")]
    held = pl.DataFrame(rows, schema=["ring", "user", "object"], orient="row")

    common = acts_in_common(held.with_columns(channel=pl.lit(TRACE)))

    assert common.select("ring", "user", "object").rows() == [(0, "a", "x"), (0, "b", "x")]


def test_an_event_is_named_by_log_user_object_and_time_and_by_nothing_else():
    held = pl.DataFrame(
        {
            "log": ["likes", "likes", "likes", "posts"],
            "key": ["a", "b", "a", "a"],
            "object": ["x", "x", "x", "x"],
            "time_us": [5, 5, 5, 5],
            "ring": [0, 1, 7, 3],
        }
    )

    names = event_ids(held)

    assert names.str.contains(r"^(likes|posts):[0-9a-f]{16}$").all()
    assert names[0] == names[2]
    assert names.n_unique() == 3
    assert event_ids(held[::-1]).to_list() == names.to_list()[::-1]
    # A key that runs into the object's is another event.
    two = held[:2].with_columns(key=pl.Series(["ab", "a"]), object=pl.Series(["c", "bc"]))
    assert event_ids(two).n_unique() == 2


def test_a_pair_linked_by_itself_and_as_part_of_a_set_is_counted_in_each_window():
    held = acts(("a", "x", 0), ("b", "x", 30), ("a", "y", 0), ("b", "y", 3600))
    links = pl.concat([link(window_us=100 * MINUTE), link(), link(window_us=100 * MINUTE)])

    told = recounted(links, held)

    assert counts(told) == [(2, 2, 1_815_000_000, 2), (1, 1, 30_000_000, 2)] + counts(told[:1])


def test_sets_and_cores_rest_on_the_acts_of_their_trace():
    sets = [f"{kind}.posts.link" for kind in ("again", "once", "core", "audience")]
    kinds = [*sets, TRACE, SHARED]
    named = pl.DataFrame({"channel": kinds})

    told = named.select(acts_channel(pl.col("channel"))).to_series().to_list()

    assert told == [TRACE] * 5 + [SHARED]

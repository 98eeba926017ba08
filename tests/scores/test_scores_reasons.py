"""Reasons in plain words, from tiny tables with exact texts."""

import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from graphguard.scores.facts import coaction_facts, shared_facts, touched_objects
from graphguard.scores.reasons import (
    CODES,
    Contributions,
    coaction_reasons,
    column_reasons,
    population_contributions,
    reasons_json,
    ring_reasons,
    shared_reasons,
)

DOCS = Path(__file__).parents[2] / "docs" / "policy.md"
NAMES = ("gap", "acts", "night")
PHRASES = {"gap": "median seconds between acts", "acts": "{value} acts in the window"}


def contributions(pushes, values, source="model") -> Contributions:
    keys = pl.Series("key", [f"u{i}" for i in range(len(pushes))], dtype=pl.String)
    return Contributions(
        keys, np.array(pushes, np.float32), np.array(values, np.float32), NAMES, source
    )


def listed(frame: pl.DataFrame) -> list[tuple[str, str, str, float]]:
    return [(key, code, text, round(weight, 4)) for key, code, text, weight in frame.rows()]


def evidence(rows: list[tuple[str, str, str, int, int, float]]) -> pl.DataFrame:
    columns = ["key_a", "key_b", "channel", "window_us", "weight", "log10_p"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def test_columns_that_raised_the_score_come_with_phrase_value_and_share():
    # u0: gap +3, acts +1, night lowered the score;   u1: nothing raised it
    given = contributions([[3.0, 1.0, -2.0], [-1.0, 0.0, -0.5]], [[1.25, 1200, 0.5], [9.0, 3, 0.1]])

    assert listed(column_reasons(given, PHRASES)) == [
        ("u0", "model_column", "median seconds between acts: 1.25", 0.75),
        ("u0", "model_column", "1200 acts in the window", 0.25),
    ]


def test_the_challengers_columns_are_flagged_and_missing_values_said():
    given = contributions([[1.0, 0.0, 3.0]], [[math.nan, 0, 0.123456]], "challenger")

    assert listed(column_reasons(given, PHRASES)) == [
        ("u0", "challenger_column", "night: 0.123", 0.75),
        ("u0", "challenger_column", "median seconds between acts: no value", 0.25),
    ]


def test_only_the_top_columns_are_told_and_the_share_is_of_all():
    given = contributions([[2.0, 1.0, 1.0]], [[1, 2, 3]])

    assert listed(column_reasons(given, {}, top=2)) == [
        ("u0", "model_column", "gap: 1", 0.5),
        ("u0", "model_column", "acts: 2", 0.25),
    ]


def test_contributions_with_the_base_value_left_in_are_refused():
    given = contributions([[1.0, 2.0, 3.0, 4.0]], [[1, 2, 3]])
    with pytest.raises(ValueError, match=r"pushes has shape \(1, 4\).*leave the base value out"):
        column_reasons(given, {})


def test_no_users_give_no_reasons():
    given = contributions(np.zeros((0, 3)), np.zeros((0, 3)))

    assert column_reasons(given, {}).columns == ["key", "code", "text", "weight"]
    assert reasons_json([column_reasons(given, {})]).height == 0


def test_a_value_far_from_the_middle_is_unusual_and_says_it_is_no_models_word():
    # gap 1..9 and one 100; percentiles 16 and 84 are 2.44 and 8.56, so one distance is 3.06
    values = np.array([*range(1, 10), 100.0])[:, None]
    keys = pl.Series("key", [f"u{i}" for i in range(10)])
    given = population_contributions(keys, values, ("gap",))

    assert listed(column_reasons(given, PHRASES)) == [
        (
            "u9",
            "unusual_column",
            "median seconds between acts: 100 "
            "(unusual: 30.9 times the usual distance from the median user)",
            0.9115,
        )
    ]


def test_population_contributions_ignore_constant_columns_and_missing_values():
    values = np.array([[1.0, np.nan, 0.0]] * 50 + [[1.0, 5.0, 1.0]])
    keys = pl.Series("key", [f"u{i}" for i in range(51)])
    pushes = population_contributions(keys, values, NAMES).pushes

    # night: 50 zeros and a one; even the 99th percentile is half way, so 1 stands 9.3 from it
    assert pushes[:, :2].max() == 0.0
    assert pushes[:, 2].round(1).tolist() == [0.0] * 50 + [9.3]


def test_some_users_are_measured_against_the_middle_of_all():
    # all: 0..100, median 50, percentiles 16 and 84, so one distance is 34;   118 is two of them off
    everyone = np.arange(101.0)[:, None]
    keys = pl.Series("key", ["a", "b"])
    given = population_contributions(keys, np.array([[118.0], [117.0]]), ("gap",), everyone)

    assert given.pushes.tolist() == [[2.0], [0.0]]
    with pytest.raises(ValueError, match="but values have 1 columns"):
        population_contributions(keys, np.zeros((2, 1)), ("gap",), np.zeros((9, 2)))


def test_population_contributions_follow_the_users_when_rows_move():
    values = np.random.default_rng(0).normal(size=(40, 3))
    keys = pl.Series("key", [f"u{i:02}" for i in range(40)])
    order = np.random.default_rng(1).permutation(40)
    straight = population_contributions(keys, values, NAMES).pushes
    moved = population_contributions(keys[order], values[order], NAMES).pushes

    assert (moved == straight[order]).all()


def test_ring_membership_names_size_and_enforced_members():
    # r-1: 9 of 14 enforced, (9+1)/(14+2) = .625, above a's 8 bits .5 and below b's 24 bits .75
    rings = pl.DataFrame({"ring_id": ["r-1"], "size": [14], "known_bad": [9]})
    members = pl.DataFrame(
        {"ring_id": ["r-1", "r-1"], "key": ["a", "b"], "evidence_bits": [8.0, 24.0]}
    )
    text = "member of ring r-1 with 14 users, 9 of them already enforced"

    assert listed(ring_reasons(rings, members)) == [
        ("a", "ring_member", text, 0.625),
        ("b", "ring_member", text, 0.75),
    ]


def test_shared_objects_are_told_with_their_flagged_users():
    # d1: a b c, of these b c flagged;   d2: a b;   the address of 4 users is too common to say;
    # nobody flagged shares d3
    links = pl.DataFrame(
        [("a", "d1"), ("b", "d1"), ("c", "d1"), ("a", "d2"), ("b", "d2"), ("x", "d3"), ("y", "d3")]
        + [(key, "home") for key in "abcx"]
        + [("a", "d1")],
        schema=["key", "entity"],
        orient="row",
    ).with_columns(pl.lit("device").alias("entity_type"))
    facts = shared_facts(touched_objects(links, {"b", "c", "nobody"}, max_users=3))

    assert listed(shared_reasons(facts)) == [
        ("a", "shared_entity", "shares device d1 with 2 users, 2 flagged", 0.75),
        ("b", "shared_entity", "shares device d1 with 2 users, 1 flagged", 0.5),
        ("c", "shared_entity", "shares device d1 with 2 users, 1 flagged", 0.5),
    ]


def test_one_sharer_is_a_user_not_users():
    links = pl.DataFrame({"key": ["a", "b"], "entity_type": ["ip"] * 2, "entity": ["i"] * 2})
    facts = shared_facts(touched_objects(links, ["b"], 9))

    assert facts["key"].to_list() == ["a"]
    assert shared_reasons(facts)["text"].to_list() == ["shares ip i with 1 user, 1 flagged"]


@pytest.mark.parametrize("tested", ["again", "once", "core", "audience"])
def test_acts_tested_in_other_ways_are_told_as_the_acts_they_are(tested):
    rows = [("a", "b", f"{tested}.likes.content_id", 0, 3, -6.0)]
    facts = coaction_facts(evidence(rows), {"likes.content_id": ("liked", "posts")})

    assert facts.select("verb", "noun").unique().row(0) == ("liked", "posts")


def test_who_were_only_with_the_same_others_have_no_acts_in_common():
    rows = [
        ("a", "b", "once.likes.content_id", 60_000_000, 1, -6.0),
        ("a", "c", "once.likes.content_id", 60_000_000, 0, -9.0),
    ]
    facts = coaction_facts(evidence(rows), {"likes.content_id": ("liked", "posts")})

    assert facts.select("key", "objects", "users").rows() == [("a", 1, 1), ("b", 1, 1)]


def test_coaction_says_the_strongest_sentence_that_is_true():
    # a likes with b 7 times in 10 s, with c 6 times in 60 s, with d once in 1 h:
    #   7 with 1 user = 7,   6 with each of 2 users = 12,   1 with each of 3 users = 3
    rows = [
        ("a", "b", "likes.content_id", 10_000_000, 7, -6.0),
        ("a", "c", "likes.content_id", 60_000_000, 6, -5.0),
        ("a", "d", "likes.content_id", 3_600_000_000, 1, -1.0),
        ("a", "b", "shared.device", 0, 3, -9.0),
        ("a", "b", "embedding", 0, 1, -9.0),
    ]
    acts = {"likes.content_id": ("liked", "posts")}
    found = listed(coaction_reasons(coaction_facts(evidence(rows), acts)))

    bits = 6 * math.log2(10)
    assert found[0] == (
        "a",
        "co_action",
        "liked 6 posts within 60 s of the same 2 users",
        round(bits / (bits + 8), 4),
    )
    assert [text for _, _, text, _ in found[1:]] == [
        "liked 7 posts within 10 s of the same user",
        "liked 6 posts within 60 s of the same user",
        "liked 1 post within 1 h of the same user",
    ]


def test_a_pair_in_two_rings_counts_once_and_row_order_does_not_matter():
    rows = [
        ("a", "b", "posts.link", 600_000_000, 2, -3.0),
        ("a", "b", "posts.link", 600_000_000, 2, -3.0),
        ("c", "a", "posts.link", 1_000_000, 2, -3.0),
    ]
    found = coaction_facts(evidence(rows))

    assert coaction_reasons(found)["text"].to_list() == [
        "acted on 2 posts.link within 10 min of the same 2 users",
        "acted on 2 posts.link within 10 min of the same user",
        "acted on 2 posts.link within 1 s of the same user",
    ]
    assert coaction_facts(evidence(rows[::-1])).equals(found)


def test_reasons_become_json_strongest_first_cut_at_the_limit():
    part = pl.DataFrame(
        [
            ("a", "ring_member", 'ring "é"', 0.5),
            ("a", "co_action", "x", 0.5),
            ("a", "shared_entity", "y", 0.123456),
            ("b", "co_action", "z", 1.0),
        ],
        schema=["key", "code", "text", "weight"],
        orient="row",
    )
    made = reasons_json([part[:2], part[2:]], limit=2)

    assert made["key"].to_list() == ["a", "b"]
    assert json.loads(made["reasons"][0]) == [
        {"code": "co_action", "text": "x", "weight": 0.5},
        {"code": "ring_member", "text": 'ring "é"', "weight": 0.5},
    ]
    assert json.loads(reasons_json([part])["reasons"][0])[2]["weight"] == 0.1235
    assert reasons_json([part.reverse()], limit=2).equals(made)


def test_every_reason_code_is_documented():
    text = DOCS.read_text(encoding="utf-8")

    assert [code for code in CODES if f"`{code}`" not in text] == []

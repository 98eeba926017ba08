"""What is named to be left out, what is drawn in its place, and how it is told."""

import polars as pl

from graphguard.scores.evidence import common_objects, named_evidence, others_like
from graphguard.scores.left_out import COUNTERFACTUAL, LINKS, counterfactual_reasons, link_reasons
from graphguard.scores.removal import REMOVED


def rows(schema, *values):
    return pl.DataFrame(list(values), schema=schema, orient="row")


def test_a_fall_of_the_risk_is_told_and_no_fall_is_no_reason():
    scored = rows(
        COUNTERFACTUAL,
        ("a", "device D", 0.912, 0.342),
        ("b", "device D", 0.2, 0.2),
        ("c", "x", 0.1, 0.3),
    )

    assert counterfactual_reasons(scored).rows() == [
        ("a", "counterfactual", "without device D: 0.91 → 0.34", 0.625)
    ]


def test_the_links_that_raised_a_score_most_are_told_and_users_are_not_named():
    links = rows(
        LINKS,
        ("a", "uses", "device", "D", 1.5),
        ("a", "follows", "user", None, 2.0),
        ("a", "likes", "content", "c1", 0.5),
        ("a", "likes", "content", "c2", -3.0),
        ("b", "uses", "device", "D", -0.1),
    )
    lower = "without it the network's log-odds are"

    assert link_reasons(links).rows() == [
        ("a", "model_link", f"follows another user: {lower} 2.0 lower", 0.5),
        ("a", "model_link", f"uses device D: {lower} 1.5 lower", 0.375),
    ]


def test_shared_objects_and_acts_in_common_are_named_strongest_first():
    objects = pl.DataFrame(
        {
            "key": ["a"] * 3,
            "entity_type": ["device", "device", "address"],
            "entity": ["d1", "d2", "home"],
            "others": [2, 0, 4],
            "flagged": [2, 0, 0],
        }
    )
    acts = pl.DataFrame(
        {
            "key": ["a", "a"],
            "channel": ["again.likes.content_id", "likes.content_id"],
            "noun": ["posts", "posts"],
            "users": [3, 2],
            "log10_p": [-12.0, -3.0],
        }
    )
    named = named_evidence(objects, acts)

    # The two ways of testing the same likes are one piece: that with more evidence.
    assert named.get_column("words").to_list() == [
        "the posts in common with 3 others",
        "device d1",
        "address home",
        "device d2",
    ]
    assert named.item(0, "channel") == "likes.content_id"


def test_acts_in_common_are_on_objects_that_a_linked_user_touched_too():
    evidence = pl.DataFrame(
        {
            "key_a": ["a", "a"],
            "key_b": ["b", "c"],
            "channel": ["again.likes.content_id", "shared.device"],
        }
    )
    touches = rows(
        {"key": pl.String, "channel": pl.String, "object": pl.Int64},
        *[("a", "likes.content_id", n) for n in (1, 2, 3)],
        *[("b", "likes.content_id", n) for n in (2, 3, 4)],
        ("c", "likes.content_id", 1),
    )

    assert common_objects(evidence, touches, pl.Series(["a"])).rows() == [
        ("a", "likes.content_id", 2),
        ("a", "likes.content_id", 3),
    ]


def test_as_many_others_are_drawn_of_the_same_user_and_type():
    acts = rows(REMOVED, (1, "device", 10), (1, "device", 11), (2, "device", 10), (3, "ip", 5))
    touches = rows(
        REMOVED,
        *[(1, "device", n) for n in range(10, 20)],
        (2, "device", 10),  # has no other device
        *[(3, "ip", n) for n in (5, 6)],
        *[(3, "device", n) for n in (7, 8)],
    )
    drawn = {others_like(acts, touches, seed).write_json() for seed in range(20)}
    one = others_like(acts, touches, 0)

    assert one.group_by("entity", "type").len().sort("entity").rows() == [
        (1, "device", 2),
        (3, "ip", 1),
    ]
    assert one.join(acts, on=list(REMOVED)).is_empty()
    assert len(drawn) > 5

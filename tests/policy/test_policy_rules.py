"""Bars and blocked actions of a policy."""

import pytest

from graphguard.config.policy import ActionConfig, PolicyConfig
from graphguard.policy.rules import blocked_actions, is_review, policy_id, tonights_rules

BAN = ActionConfig(name="ban", precision=0.95, confidence=0.9)
LIMIT = ActionConfig(name="limit", threshold=0.5)
TOP = ActionConfig(name="top", budget=5)
REVIEW = ActionConfig(name="review_ring", budget=2)
POLICY = PolicyConfig(actions=(BAN, LIMIT, TOP, REVIEW))


def test_green_gates_block_nothing():
    assert blocked_actions([], POLICY) == {}


def test_a_red_gate_blocks_all_but_reviews_and_names_the_gates():
    blocked = blocked_actions(["volume", "drift"], POLICY)

    # `top` has a budget alone, yet nobody reads it first: it is automatic
    assert list(blocked) == ["ban", "limit", "top"]
    assert blocked["ban"] == (
        "gates are red (drift, volume); only reviews may leave until the inputs are explained"
    )


def test_one_red_gate_is_named_in_the_singular():
    blocked = blocked_actions(["drift: gap, hour"], POLICY)

    assert blocked["ban"].startswith("gate is red (drift: gap, hour);")


def test_bars_come_from_threshold_certificate_or_nowhere():
    rules = tonights_rules(POLICY, {"ban": 0.8}, [])

    assert [rule.threshold for rule in rules] == [0.8, 0.5, None, None]
    assert [rule.off for rule in rules] == [None] * 4


def test_an_uncertified_action_says_what_it_could_not_promise():
    rule = tonights_rules(POLICY, {"ban": None}, [])[0]

    assert rule.off == (
        "precision 0.95 cannot be promised with confidence 0.9 on the held-out rows; "
        "lower it, or certify on more labels"
    )


@pytest.mark.parametrize(
    ("name", "expected"), [("review", True), ("review_ring", True), ("reviewed", False)]
)
def test_reviews_are_told_by_their_name(name, expected):
    assert is_review(name) is expected


def test_the_policy_id_follows_the_content():
    same = PolicyConfig(actions=(BAN, LIMIT, TOP, REVIEW))
    other = PolicyConfig(actions=(BAN, LIMIT, TOP, REVIEW), hysteresis=0.1)

    assert policy_id(POLICY) == policy_id(same)
    assert policy_id(POLICY) != policy_id(other)

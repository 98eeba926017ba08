"""Rules of the policy, one small world each; the day decided is 2026-01-31."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from graphguard.config.policy import ActionConfig, PolicyConfig
from graphguard.config.values import DAY_US, day_us, parse_duration
from graphguard.errors import (
    ActionRateExceeded,
    ColumnMissing,
    ColumnTypeWrong,
    Exit,
)
from graphguard.policy.decide import PolicyContext, decide, decision_key
from graphguard.policy.rules import policy_id
from graphguard.policy.standing import standing_decisions
from graphguard.schema import DECISIONS

GOLDEN = Path(__file__).parents[1] / "golden"
AS_OF = date(2026, 1, 31)
SUSPEND = ActionConfig(name="suspend", threshold=0.75)
REVIEW = ActionConfig(name="review", budget=2)


def scores(risk: dict[str, float], ring: dict[str, float] | None = None) -> pl.DataFrame:
    rows = len(risk)
    return pl.DataFrame(
        {
            "entity_type": ["user"] * rows,
            "entity_id": list(risk),
            "risk_score": list(risk.values()),
            "ring_risk": [(ring or {}).get(key) for key in risk],
            "ring_id": ["r-1" if key in (ring or {}) else None for key in risk],
            "reasons": ["[]"] * rows,
            "model_id": ["m1"] * rows,
            "run_id": ["run1"] * rows,
            "as_of": [AS_OF] * rows,
        },
        schema_overrides={"ring_risk": pl.Float64, "ring_id": pl.String},
    )


def policy(*actions: ActionConfig, **settings: Any) -> PolicyConfig:
    return PolicyConfig(actions=actions, **{"max_action_rate": 1.0, **settings})


def context(settings: PolicyConfig, **facts: Any) -> PolicyContext:
    known = {"as_of": AS_OF, "run_id": "run1", "active_users": 100, **facts}
    return PolicyContext(policy=settings, **known)


def acts(decisions: pl.DataFrame) -> dict[str, str]:
    return dict(decisions.select("entity_id", "action").iter_rows())


def earlier(settings: PolicyConfig, risk: dict[str, float], days_ago: int) -> pl.DataFrame:
    night = AS_OF - timedelta(days=days_ago)
    return decide(scores(risk), context(settings, as_of=night))[0]


def test_the_hardest_action_that_applies_wins():
    # suspend from 0.75; review the 2 highest of the rest:   a .9 suspend   b .5 c .4 review   d .3
    decisions, summary = decide(
        scores({"d": 0.3, "a": 0.9, "c": 0.4, "b": 0.5}), context(policy(SUSPEND, REVIEW))
    )

    assert acts(decisions) == {"a": "suspend", "b": "review", "c": "review"}
    assert decisions["threshold"].to_list() == [0.75, None, None]
    assert summary.decided == {"suspend": 1, "review": 2}
    assert (summary.acted, summary.action_rate) == (3, 0.03)


def test_a_threshold_is_reached_by_an_equal_score():
    decisions, _ = decide(scores({"a": 0.75, "b": 0.7499}), context(policy(SUSPEND)))

    assert acts(decisions) == {"a": "suspend"}


def test_a_decision_carries_policy_run_day_and_expiry():
    settings = policy(ActionConfig(name="limit", threshold=0.5, expires=parse_duration("3d")))
    decisions, _ = decide(scores({"a": 0.75}, {"a": 0.25}), context(settings))

    night = datetime(2026, 1, 31, tzinfo=UTC)
    named = policy_id(settings)
    assert decisions.row(0, named=True) == {
        "entity_type": "user",
        "entity_id": "a",
        "action": "limit",
        "risk_score": 0.75,
        "ring_risk": 0.25,
        "threshold": 0.5,
        "reasons": "[]",
        "ring_id": "r-1",
        "model_id": "m1",
        "policy_id": named,
        "run_id": "run1",
        "as_of": AS_OF,
        "decided_at": night,
        "expires_at": night + timedelta(days=3),
        "holdout": False,
        "decision_key": decision_key("user", "a", "limit", named, AS_OF),
    }


def test_decisions_of_a_night_without_any_keep_their_columns():
    decisions, summary = decide(scores({"a": 0.1}), context(policy(SUSPEND)))

    assert decisions.height == 0
    assert decisions.columns == list(DECISIONS.columns)
    assert decisions.schema["decided_at"] == pl.Datetime("us", "UTC")
    assert summary.acted == 0


def test_a_re_run_under_another_name_gives_the_same_decision_keys():
    night = scores({"a": 0.9, "b": 0.8})
    first, _ = decide(night, context(policy(SUSPEND), run_id="run1"))
    again, _ = decide(night, context(policy(SUSPEND), run_id="run2"))

    assert again["decision_key"].to_list() == first["decision_key"].to_list()
    assert first["decision_key"].n_unique() == 2


def test_another_day_action_or_policy_gives_another_decision_key():
    keys = {
        decision_key("user", "a", "review", "p", AS_OF),
        decision_key("user", "a", "review", "p", AS_OF + timedelta(days=1)),
        decision_key("user", "a", "suspend", "p", AS_OF),
        decision_key("user", "a", "review", "q", AS_OF),
        decision_key("review", "a", "review", "p", AS_OF),
    }
    assert len(keys) == 5


def test_a_precision_action_uses_its_certified_threshold():
    ban = ActionConfig(name="ban", precision=0.95)
    decisions, summary = decide(
        scores({"a": 0.8, "b": 0.6}), context(policy(ban), thresholds={"ban": 0.7})
    )

    assert acts(decisions) == {"a": "ban"}
    assert summary.thresholds == {"ban": 0.7}


@pytest.mark.parametrize("certified", [{"ban": None}, {}])
def test_an_action_whose_precision_cannot_be_promised_is_off_and_says_so(certified):
    # a .99 would be banned; without a promise it falls to review
    ban = ActionConfig(name="ban", precision=0.95)
    decisions, summary = decide(
        scores({"a": 0.99}), context(policy(ban, REVIEW), thresholds=certified)
    )

    assert acts(decisions) == {"a": "review"}
    assert list(summary.off) == ["ban"]
    assert summary.thresholds["ban"] is None


def test_a_ring_action_passes_over_users_without_ring_risk():
    ring = ActionConfig(name="limit", score="ring_risk", threshold=0.5)
    decisions, _ = decide(
        scores({"a": 0.9, "b": 0.1, "c": 0.1}, {"b": 0.6, "c": 0.4}), context(policy(ring))
    )

    assert acts(decisions) == {"b": "limit"}


def test_a_budget_on_ring_risk_takes_no_user_without_it():
    ring = ActionConfig(name="limit", score="ring_risk", budget=5)
    decisions, _ = decide(scores({"a": 0.9, "b": 0.1}, {"b": 0.0}), context(policy(ring)))

    assert acts(decisions) == {"b": "limit"}


def test_a_threshold_with_a_budget_takes_the_highest_and_the_rest_go_on():
    limit = ActionConfig(name="limit", threshold=0.5, budget=1)
    warn = ActionConfig(name="warn", threshold=0.5)
    decisions, _ = decide(scores({"a": 0.6, "b": 0.9, "c": 0.4}), context(policy(limit, warn)))

    assert acts(decisions) == {"b": "limit", "a": "warn"}


def test_review_budget_caps_all_review_actions_together():
    # queue of 3:   review_ring takes a b,   review gets one place: c
    ring = ActionConfig(name="review_ring", budget=2)
    risk = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6}
    decisions, _ = decide(scores(risk), context(policy(ring, REVIEW, review_budget=3)))

    assert acts(decisions) == {"a": "review_ring", "b": "review_ring", "c": "review"}


def test_review_budget_leaves_other_actions_alone():
    settings = policy(SUSPEND, REVIEW, review_budget=1)
    decisions, _ = decide(scores({"a": 0.9, "b": 0.8, "c": 0.4, "d": 0.3}), context(settings))

    assert acts(decisions) == {"a": "suspend", "b": "suspend", "c": "review"}


def test_ties_at_the_budget_are_broken_by_seed_not_by_name_or_order():
    # 20 users with one score, 2 places
    risk = {f"u{i:02}": 0.5 for i in range(20)}
    chosen = [
        tuple(acts(decide(scores(risk), context(policy(REVIEW), seed=seed))[0]))
        for seed in range(8)
    ]

    assert all(len(one) == 2 for one in chosen)
    assert len(set(chosen)) > 1
    backwards = dict(reversed(risk.items()))
    assert tuple(acts(decide(scores(backwards), context(policy(REVIEW), seed=0))[0])) == chosen[0]


def test_exempt_users_are_never_decided_not_even_for_review():
    settings = policy(SUSPEND, REVIEW, exempt=("a", "nobody"))
    decisions, summary = decide(scores({"a": 0.99, "b": 0.9}), context(settings))

    assert acts(decisions) == {"b": "suspend"}
    assert summary.skipped["exempt"] == 1


def test_enforced_users_get_no_new_decision():
    decisions, summary = decide(
        scores({"a": 0.99, "b": 0.9}), context(policy(SUSPEND), enforced=frozenset({"a"}))
    )

    assert acts(decisions) == {"b": "suspend"}
    assert summary.skipped["enforced"] == 1


def test_min_age_holds_back_the_young_and_counts_the_unknown():
    # min_age 2 d:   a born 2 d ago: old enough   b 1 us later: too young   c, d: unknown, not held
    edge = day_us(AS_OF) - 2 * DAY_US
    born = pl.DataFrame({"key": ["a", "b", "c"], "born_us": [edge, edge + 1, None]})
    settings = policy(SUSPEND, min_age="2d")
    night = scores({"a": 0.9, "b": 0.9, "c": 0.9, "d": 0.9})
    decisions, summary = decide(night, context(settings, born=born))

    assert acts(decisions) == {"a": "suspend", "c": "suspend", "d": "suspend"}
    assert (summary.skipped["min_age"], summary.unknown_age) == (1, 2)


def test_min_age_without_any_birth_is_reported_as_unknown():
    decisions, summary = decide(scores({"a": 0.9}), context(policy(SUSPEND, min_age="2d")))

    assert acts(decisions) == {"a": "suspend"}
    assert summary.unknown_age == 1


@pytest.mark.parametrize(("days_ago", "expected"), [(6, {}), (7, {"a": "suspend"})])
def test_cool_down_leaves_a_user_alone_until_it_is_over(days_ago, expected):
    settings = policy(SUSPEND, REVIEW, cool_down="7d")
    before = earlier(settings, {"a": 0.9}, days_ago)
    decisions, summary = decide(scores({"a": 0.9}), context(settings, previous=before))

    assert acts(decisions) == expected
    assert summary.skipped["cool_down"] == (days_ago == 6)
    assert summary.renewed["suspend"] == (days_ago == 7)


def test_cool_down_ends_with_the_decision():
    # decided 2 d ago, stood 1 d: expired, so the cool-down of 7 d no longer holds
    settings = policy(ActionConfig(name="suspend", threshold=0.75, expires=parse_duration("1d")))
    before = earlier(settings, {"a": 0.9}, 2)
    decisions, _ = decide(scores({"a": 0.9}), context(settings, previous=before))

    assert acts(decisions) == {"a": "suspend"}


def test_cool_down_of_a_soft_action_does_not_stop_a_harder_one():
    settings = policy(SUSPEND, REVIEW)
    before = earlier(settings, {"a": 0.5}, 1)
    decisions, _ = decide(scores({"a": 0.9}), context(settings, previous=before))

    assert acts(before) == {"a": "review"}
    assert acts(decisions) == {"a": "suspend"}


def test_a_user_in_cool_down_frees_its_place_in_the_queue():
    # one place; a was reviewed yesterday, so b moves up
    settings = policy(ActionConfig(name="review", budget=1))
    before = earlier(settings, {"a": 0.9}, 1)
    decisions, _ = decide(scores({"a": 0.9, "b": 0.5}), context(settings, previous=before))

    assert acts(decisions) == {"b": "review"}


@pytest.mark.parametrize(("risk", "kept"), [(0.625, True), (0.6249, False)])
def test_a_standing_decision_is_kept_until_threshold_less_hysteresis(risk, kept):
    # threshold 0.75, hysteresis 0.125: a stood, so it needs 0.625;   b never stood, it needs 0.75
    settings = policy(SUSPEND, hysteresis=0.125, cool_down="1d")
    before = earlier(settings, {"a": 0.9}, 2)
    night = scores({"a": risk, "b": 0.7})
    decisions, summary = decide(night, context(settings, previous=before))

    assert acts(decisions) == ({"a": "suspend"} if kept else {})
    assert decisions["threshold"].to_list() == [0.625] * kept
    assert summary.renewed == {"suspend": int(kept)}


def test_decisions_of_the_same_or_a_later_day_do_not_count_as_earlier():
    settings = policy(SUSPEND)
    same, later = earlier(settings, {"a": 0.9}, 0), earlier(settings, {"a": 0.9}, -1)
    again, _ = decide(scores({"a": 0.9}), context(settings, previous=pl.concat([same, later])))

    assert again.equals(same)


def test_standing_decisions_keep_the_newest_of_many_nights():
    settings = policy(SUSPEND)
    nights = [earlier(settings, {"a": 0.9}, days) for days in (3, 29, 30, 9)]
    standing = standing_decisions(nights, AS_OF)

    assert standing["decided_at"].to_list() == [datetime(2026, 1, 28, tzinfo=UTC)]
    assert standing_decisions([], AS_OF).columns == standing.columns


def test_holdout_is_a_stable_share_of_users_and_not_acted_on():
    half = ActionConfig(name="limit", threshold=0.5, holdout=0.5)
    risk = {f"u{i:03}": 0.9 for i in range(400)}
    settings = policy(half)
    decisions, summary = decide(scores(risk), context(settings, active_users=400))
    tomorrow, _ = decide(
        scores(risk), context(settings, active_users=400, as_of=AS_OF + timedelta(days=1))
    )

    held = decisions["holdout"]
    assert decisions.height == 400
    assert 150 < held.sum() < 250
    assert tomorrow["holdout"].to_list() == held.to_list()
    assert summary.held_out == {"limit": held.sum()}
    assert summary.acted == 400 - held.sum()


def test_a_larger_holdout_holds_the_same_users_and_more():
    risk = {f"u{i:03}": 0.9 for i in range(200)}
    held = []
    for share in (0.1, 0.4):
        action = ActionConfig(name="limit", threshold=0.5, holdout=share)
        rows, _ = decide(scores(risk), context(policy(action), active_users=200))
        held.append(set(rows.filter("holdout")["entity_id"]))

    assert held[0] < held[1]


def test_holdout_is_refused_for_a_severe_action():
    with pytest.raises(ValidationError, match="is severe, so holdout must be 0"):
        ActionConfig(name="ban", threshold=0.9, severe=True, holdout=0.1)


def test_a_rate_at_the_limit_passes_and_one_above_it_stops_the_run():
    settings = policy(SUSPEND, max_action_rate=0.02)
    risk = {"a": 0.9, "b": 0.9}
    assert decide(scores(risk), context(settings, active_users=100))[1].action_rate == 0.02
    with pytest.raises(ActionRateExceeded) as caught:
        decide(scores(risk), context(settings, active_users=99))

    assert caught.value.exit_code == Exit.GATE
    assert (caught.value.acted, caught.value.active, caught.value.limit) == (2, 99, 0.02)
    assert f"{caught.value}\n" == (GOLDEN / "policy_action_rate.txt").read_text()


def test_held_out_users_do_not_count_towards_the_action_rate():
    # everybody but a few is held out: 999 in 1000
    almost_all = ActionConfig(name="limit", threshold=0.5, holdout=0.999)
    risk = {f"u{i}": 0.9 for i in range(20)}
    _, summary = decide(scores(risk), context(policy(almost_all, max_action_rate=0.02)))

    assert summary.held_out == {"limit": 20}
    assert summary.acted == 0


def test_a_platform_without_active_users_acts_on_nobody():
    with pytest.raises(ActionRateExceeded, match="would act on 1 of 0 active users"):
        decide(scores({"a": 0.9}), context(policy(SUSPEND), active_users=0))


@pytest.mark.parametrize("gate", ["drift", "volume"])
def test_with_a_red_gate_only_reviews_leave(gate):
    settings = policy(SUSPEND, REVIEW)
    decisions, summary = decide(scores({"a": 0.9}), context(settings, red_gates=[gate]))

    assert acts(decisions) == {"a": "review"}
    assert list(summary.off) == ["suspend"]


def test_a_nan_score_is_refused_before_it_passes_a_threshold():
    with pytest.raises(ColumnTypeWrong, match="'risk_score' has type double with nan"):
        decide(scores({"a": float("nan")}), context(policy(SUSPEND)))


def test_a_score_above_one_is_refused():
    with pytest.raises(ColumnTypeWrong, match="'ring_risk' has type double with 1.5"):
        decide(scores({"a": 0.5}, {"a": 1.5}), context(policy(SUSPEND)))


def test_a_null_score_is_refused():
    night = scores({"a": 0.5}).with_columns(pl.lit(None, pl.Float64).alias("risk_score"))
    with pytest.raises(ColumnTypeWrong, match="double with nulls"):
        decide(night, context(policy(SUSPEND)))


def test_a_user_that_stands_twice_in_the_scores_is_refused():
    night = pl.concat([scores({"a": 0.5}), scores({"a": 0.6})])
    with pytest.raises(ColumnTypeWrong, match="string with 'a' more than once"):
        decide(night, context(policy(SUSPEND)))


def test_a_missing_score_column_is_named():
    with pytest.raises(ColumnMissing, match="table 'scores' has no column 'reasons'"):
        decide(scores({"a": 0.5}).drop("reasons"), context(policy(SUSPEND)))


def test_two_actions_with_one_name_are_refused():
    with pytest.raises(ValidationError, match="two actions have the name 'suspend'"):
        policy(SUSPEND, SUSPEND)


def test_the_summary_reads_as_text():
    ban = ActionConfig(name="ban", precision=0.95, confidence=0.9)
    limit = ActionConfig(name="limit", threshold=0.5, holdout=0.5)
    settings = policy(ban, limit, REVIEW, exempt=("x",), max_action_rate=0.2)
    risk = {f"u{i}": 0.9 for i in range(6)} | {"x": 1.0, "y": 0.2, "z": 0.1}
    _, summary = decide(scores(risk), context(settings, thresholds={"ban": None}))

    text = summary.text().replace(policy_id(settings), "<policy_id>")
    assert text == (GOLDEN / "policy_summary.txt").read_text()
    assert summary.as_json()["action_rate"] == summary.action_rate


WORLD = st.dictionaries(
    st.sampled_from([f"u{i}" for i in range(12)]),
    st.tuples(st.sampled_from([0.1, 0.5, 0.6, 0.75, 0.9]), st.sampled_from([None, 0.2, 0.8])),
    min_size=1,
)


@given(world=WORLD, data=st.data())
def test_permuting_rows_changes_nothing_and_nobody_gets_two_actions(world, data):
    ring = ActionConfig(name="limit", score="ring_risk", threshold=0.5, budget=2, holdout=0.3)
    settings = policy(SUSPEND, ring, REVIEW, hysteresis=0.15, min_age="1d", exempt=("u1",))
    before = earlier(settings, dict.fromkeys(list(world)[:4], 0.9), 8)
    born = pl.DataFrame({"key": list(world), "born_us": [day_us(AS_OF) - 3 * DAY_US] * len(world)})
    night = scores(
        {key: one for key, (one, _) in world.items()},
        {key: two for key, (_, two) in world.items() if two is not None},
    )
    order = data.draw(st.permutations(range(night.height)))
    straight = decide(night, context(settings, previous=before, born=born))
    shuffled = decide(
        night[order], context(settings, previous=before.reverse(), born=born.reverse())
    )

    assert shuffled[0].equals(straight[0])
    assert shuffled[1] == straight[1]
    assert straight[0]["entity_id"].is_unique().all()
    reached = straight[0].filter(pl.col("action") == "suspend")
    assert (reached["risk_score"] >= reached["threshold"]).all()

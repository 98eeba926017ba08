"""Decide: reads SCORES and the decisions that still stand, returns DECISIONS.

Actions are tried from hardest to softest and a user gets the first that applies, so nobody gets
two. Order of rows never matters: ties are broken by a keyed hash of the user's key.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from hashlib import sha256
from json import dumps

import polars as pl

from graphguard.config.policy import PolicyConfig
from graphguard.config.values import day_us
from graphguard.errors import ActionRateExceeded, ColumnMissing, ColumnTypeWrong
from graphguard.graph.keyed import key_hash, seeded
from graphguard.policy.rules import Rule, policy_id, tonights_rules
from graphguard.policy.standing import day_start, standing_decisions, with_standing
from graphguard.policy.summary import DecisionSummary
from graphguard.schema import DECISIONS, SCORES

USER = ["entity_type", "entity_id"]


@dataclass(frozen=True)
class PolicyContext:
    """Everything beside the scores that a night's decisions depend on."""

    policy: PolicyConfig
    as_of: date
    run_id: str
    active_users: int
    """Users with an event in the window before as_of; what `max_action_rate` is a share of."""
    seed: int = 7
    """Seed of the keyed hashes that break ties and choose the control group."""
    thresholds: Mapping[str, float | None] = field(default_factory=dict)
    """Certified threshold of each action with a `precision`; None: cannot be promised."""
    enforced: Collection[str] = ()
    """Keys known bad before as_of: they need no new decision."""
    born: pl.DataFrame | None = None
    """Columns `key` and `born_us` (null: unknown; the latest counts); None: nothing is known."""
    previous: pl.DataFrame | None = None
    """DECISIONS of earlier nights that may still stand, one night or many put together."""
    red_gates: Sequence[str] = ()
    """Names of the red gates; with one, only reviews leave."""


@dataclass(frozen=True)
class _Taken:
    """What one action made of the users still in the pool."""

    rows: pl.DataFrame
    cooling: pl.DataFrame


def decide(scores: pl.DataFrame, context: PolicyContext) -> tuple[pl.DataFrame, DecisionSummary]:
    """Decide who gets which action tonight.

    Args:
        scores: SCORES of the night, in any order.
        context: Policy, day, thresholds, history.

    Returns:
        DECISIONS sorted by entity, at most one row per user, and the summary of the night.

    Raises:
        ActionRateExceeded: More users than `max_action_rate` allows would be acted on.
        ColumnMissing: `scores` lacks a column.
        ColumnTypeWrong: A score is NaN or outside [0, 1], or a user stands there twice.
        BadSetting: Two actions of the policy have one name.

    Cost: one pass over the scores per action; hashes only users at the edge of a budget.
    """
    _check_scores(scores)
    rules = tonights_rules(context.policy, context.thresholds, context.red_gates)
    standing = standing_decisions(
        [] if context.previous is None else [context.previous], context.as_of
    )
    pool, skipped, unknown_age = _eligible(scores, context)
    reviews_left = context.policy.review_budget
    taken: dict[str, pl.DataFrame] = {}
    cooled = []
    for rule in rules:
        limit = math.inf if rule.action.budget is None else rule.action.budget
        if rule.review:
            limit = min(limit, reviews_left)
        found = _take(pool, rule, standing, context, limit)
        taken[rule.action.name] = found.rows
        cooled.append(found.cooling.height)
        pool = pool.join(pl.concat([found.rows.select(USER), found.cooling]), on=USER, how="anti")
        if rule.review:
            reviews_left -= found.rows.height
    decisions = _decisions(list(taken.values()), context)
    summary = DecisionSummary(
        policy_id=policy_id(context.policy),
        decided={name: rows.height for name, rows in taken.items()},
        held_out={name: int(rows["holdout"].sum()) for name, rows in taken.items()},
        renewed={name: int(rows["stands"].sum()) for name, rows in taken.items()},
        skipped={**skipped, "cool_down": sum(cooled)},
        unknown_age=unknown_age,
        thresholds={rule.action.name: None if rule.off else rule.threshold for rule in rules},
        off={rule.action.name: rule.off for rule in rules if rule.off},
        active_users=context.active_users,
        acted=decisions.filter(~pl.col("holdout")).height,
        max_action_rate=context.policy.max_action_rate,
    )
    _break(summary)
    return decisions, summary


def decision_key(entity_type: str, entity_id: str, action: str, policy: str, as_of: date) -> str:
    """Thirty-two hexadecimal digits that name a decision: the same in every re-run of the night.

    >>> decision_key("user", "u1", "review", "p", date(2026, 1, 31))
    'b67cb2c3fa478babfc3d577656d9f371'
    """
    # JSON keeps the parts apart: ("a", "bc") and ("ab", "c") must not share a key.
    text = dumps([entity_type, entity_id, action, policy, as_of.isoformat()])
    return sha256(text.encode()).hexdigest()[:32]


def _check_scores(scores: pl.DataFrame) -> None:
    table = SCORES.name
    for column, kind in SCORES.columns.items():
        if column not in scores.columns:
            raise ColumnMissing(table, column, scores.columns)
        if column not in SCORES.nullable and scores[column].null_count():
            found = f"{kind} with nulls"
            raise ColumnTypeWrong(table, column, found, f"{kind} not null")
    for column in ("risk_score", "ring_risk"):
        # NaN counts as greater than every number in a comparison: it would pass any threshold.
        wrong = scores.filter(pl.col(column).is_nan() | ~pl.col(column).is_between(0.0, 1.0))
        if wrong.height:
            found = f"double with {wrong.item(0, column)}"
            raise ColumnTypeWrong(table, column, found, "double in [0, 1]")
    repeated = scores.filter(pl.struct(USER).is_duplicated())
    if repeated.height:
        found = f"string with '{repeated.item(0, 'entity_id')}' more than once"
        raise ColumnTypeWrong(table, "entity_id", found, "string, one row per entity")


def _eligible(
    scores: pl.DataFrame, context: PolicyContext
) -> tuple[pl.DataFrame, dict[str, int], int]:
    """Users that may be acted on at all, how many each rule left out, and unknown ages."""
    skipped = {}
    pool = scores
    for rule, keys in (("exempt", context.policy.exempt), ("enforced", context.enforced)):
        listed = pl.DataFrame({"entity_id": list(keys)}, schema={"entity_id": pl.String})
        kept = pool.join(listed, on="entity_id", how="anti")
        skipped[rule] = pool.height - kept.height
        pool = kept
    min_age_us = context.policy.min_age.us
    if not min_age_us:
        return pool, {**skipped, "min_age": 0}, 0
    if context.born is None:
        return pool, {**skipped, "min_age": 0}, pool.height
    born = context.born.group_by(pl.col("key").alias("entity_id")).agg(pl.col("born_us").max())
    dated = pool.join(born, on="entity_id", how="left")
    unknown = dated["born_us"].null_count()
    old = pl.col("born_us").is_null() | (day_us(context.as_of) - pl.col("born_us") >= min_age_us)
    kept = dated.filter(old).drop("born_us")
    return kept, {**skipped, "min_age": pool.height - kept.height}, unknown


def _take(
    pool: pl.DataFrame, rule: Rule, standing: pl.DataFrame, context: PolicyContext, limit: float
) -> _Taken:
    """Users of the pool that get the action of `rule`, and those in its cool-down."""
    policy, action = context.policy, rule.action
    marked = with_standing(pool, standing, action.name, context.as_of, policy.cool_down.us)
    score = pl.col(action.score)
    bar: float | None = rule.threshold
    marked = marked.with_columns(
        pl.when("stands")
        .then(None if bar is None else max(bar - policy.hysteresis, 0.0))
        .otherwise(bar)
        .cast(pl.Float64)
        .alias("threshold")
    )
    if rule.off is not None:
        marked = marked.clear()
    reached = marked.filter(
        score.is_not_null(), pl.col("threshold").is_null() | (score >= pl.col("threshold"))
    )
    free = reached.filter(~pl.col("cooling"))
    rows = _highest(free, action.score, limit, context.seed).with_columns(
        pl.lit(action.name).alias("action"),
        pl.lit(day_start(context.as_of) + timedelta(microseconds=action.expires.us))
        .cast(pl.Datetime("us", "UTC"))
        .alias("expires_at"),
    )
    held = _held_out(rows, action.name, action.holdout, context.seed)
    return _Taken(
        rows=rows.with_columns(held), cooling=reached.filter(pl.col("cooling")).select(USER)
    )


def _highest(frame: pl.DataFrame, score: str, limit: float, seed: int) -> pl.DataFrame:
    """The `limit` rows with the highest score; ties by keyed hash, then by key."""
    if frame.height <= limit:
        return frame
    if limit < 1:
        return frame.clear()
    edge = frame[score].top_k(int(limit)).min()
    above = frame.filter(pl.col(score) > edge)
    tied = frame.filter(pl.col(score) == edge)
    order = tied.with_columns(_hashes(tied, "tie", seed).alias("tie")).sort(
        ["tie", "entity_type", "entity_id"]
    )
    return pl.concat([above, order.drop("tie").head(int(limit) - above.height)])


def _held_out(rows: pl.DataFrame, action: str, share: float, seed: int) -> pl.Series:
    """Which rows belong to the control group: the same users every night, about `share`."""
    if not share:
        return pl.Series("holdout", [False] * rows.height, dtype=pl.Boolean)
    # 2^53 steps are what a double can tell apart.
    draws = (_hashes(rows, f"holdout {action}", seed) // (1 << 11)).cast(pl.Float64) / (1 << 53)
    return (draws < share).alias("holdout")


def _hashes(rows: pl.DataFrame, use: str, seed: int) -> pl.Series:
    texts = (dumps([use, kind, key]) for kind, key in rows.select(USER).iter_rows())
    return pl.Series("hash", seeded(key_hash(texts), seed), dtype=pl.UInt64)


def _decisions(taken: list[pl.DataFrame], context: PolicyContext) -> pl.DataFrame:
    rows = pl.concat(taken).sort(USER)
    policy = policy_id(context.policy)
    keys = [
        decision_key(kind, key, action, policy, context.as_of)
        for kind, key, action in rows.select(*USER, "action").iter_rows()
    ]
    return rows.with_columns(
        pl.lit(policy).alias("policy_id"),
        pl.lit(context.run_id).alias("run_id"),
        pl.lit(context.as_of).alias("as_of"),
        pl.lit(day_start(context.as_of)).cast(pl.Datetime("us", "UTC")).alias("decided_at"),
        pl.Series("decision_key", keys, dtype=pl.String),
    ).select(list(DECISIONS.columns))


def _break(summary: DecisionSummary) -> None:
    active = summary.active_users
    if summary.acted and (not active or summary.acted / active > summary.max_action_rate):
        raise ActionRateExceeded(summary.acted, active, summary.max_action_rate)

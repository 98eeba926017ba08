"""What a run knows about one user, in words and numbers."""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from graphguard.config.values import DAY_US, us_day
from graphguard.investigate.expand import ExpansionInputs

MOST_OBJECTS = 10
MOST_SETS = 5


@dataclass
class Explanation:
    """One user.

    Attributes:
        user: Key.
        risk_score: Calibrated probability of enforcement; null where the user is not scored.
        percentile: Share of scored users with a lower score; null likewise.
        ring_risk: Probability that its ring is abusive; null while too few rings matured.
        ring: `ring_id, size, known_bad, channels, first_seen, role`, and `held_by`, the sets of it
            that hold the user; null outside rings.
        reasons: `code, text, weight`, strongest first.
        decisions: `action, holdout, threshold, expires_at` of the night.
        enforced: Whether it was enforced before the cutoff.
        shared: Rarest objects it shares: `type, key, others, enforced`.
        timeline: `day, relation, events`, newest last.
        model_id: Model that scored.
    """

    user: str
    risk_score: float | None
    percentile: float | None
    ring_risk: float | None
    ring: dict[str, Any] | None
    reasons: list[dict[str, Any]]
    decisions: list[dict[str, Any]]
    enforced: bool
    shared: list[dict[str, Any]]
    timeline: list[dict[str, Any]]
    model_id: str | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def explain(inputs: ExpansionInputs, user: int, span_us: tuple[int, int]) -> Explanation:
    """Gather what is known about a user of the graph.

    Args:
        inputs: The run's tables.
        user: Dense index.
        span_us: Time range of objects and timeline.
    """
    key = inputs.graph.keys(inputs.target)[user]
    mine = inputs.scores.filter(pl.col("entity_id") == key)
    score = mine.row(0, named=True) if mine.height else None
    percentile = None
    if score is not None:
        percentile = float(
            (inputs.scores.get_column("risk_score") < score["risk_score"]).mean() or 0
        )
    decided = inputs.decisions.filter(pl.col("entity_id") == key)
    return Explanation(
        user=key,
        risk_score=score["risk_score"] if score else None,
        percentile=percentile,
        ring_risk=score["ring_risk"] if score else None,
        ring=_ring(inputs, key),
        reasons=json.loads(score["reasons"]) if score else [],
        decisions=[
            {**row, "expires_at": row["expires_at"].isoformat()}
            for row in decided.select("action", "holdout", "threshold", "expires_at").to_dicts()
        ],
        enforced=user in inputs.bad,
        shared=_shared(inputs, user, span_us),
        timeline=_timeline(inputs, user, span_us),
        model_id=score["model_id"] if score else None,
    )


def held_by(sets: pl.DataFrame, quotes: pl.DataFrame, user: str) -> list[dict[str, Any]]:
    """The sets of a ring that hold a user: what they met on, and what they wrote.

    Args:
        sets: RING_SETS of the ring.
        quotes: As `rings.quotes.quotes` makes them, of the ring.
        user: Key.

    Returns:
        `channel, test, objects, users, log10_q, texts` (of `key, text`), least likely first.
    """
    mine = sets.filter(pl.col("keys").list.contains(user)).sort("log10_q", "channel", "number")
    found = []
    for row in mine.head(MOST_SETS).iter_rows(named=True):
        of_set = (pl.col("channel") == row["channel"]) & (pl.col("number") == row["number"])
        told = {name: row[name] for name in ("channel", "test", "objects", "log10_q")}
        texts = quotes.filter(of_set).select("key", "text").to_dicts()
        found.append({**told, "users": len(row["keys"]), "texts": texts})
    return found


def _ring(inputs: ExpansionInputs, key: str) -> dict[str, Any] | None:
    mine = inputs.members.filter(pl.col("key") == key)
    if not mine.height:
        return None
    member = mine.sort("evidence_bits", descending=True).row(0, named=True)
    ring = inputs.rings.filter(pl.col("ring_id") == member["ring_id"]).row(0, named=True)
    told = ("ring_id", "size", "known_bad", "channels", "mean_risk")
    facts = {name: ring[name] for name in told}
    return {**facts, "first_seen": ring["first_seen"].isoformat(), "role": member["role"]}


def _shared(inputs: ExpansionInputs, user: int, span_us: tuple[int, int]) -> list[dict[str, Any]]:
    """Objects touched by others too, those with enforced users first, then the rarest."""
    found = []
    for edge_type in inputs.graph.edge_types:
        if edge_type[0] != inputs.target:
            continue
        out, into = inputs.graph.out(edge_type), inputs.graph.into(edge_type)
        first, last = out.window(np.array([user]), *span_us)
        for thing in np.unique(out.neighbor[int(first[0]) : int(last[0])]).tolist():
            low, high = into.window(np.array([thing]), *span_us)
            users = np.unique(into.neighbor[int(low[0]) : int(high[0])])
            others = [int(one) for one in users if one != user]
            if others:
                enforced = sum(one in inputs.bad for one in others)
                found.append((edge_type[2], thing, len(others), enforced))
    ranked = sorted(set(found), key=lambda one: (-one[3] / (one[2] + 2), one[2], one[0], one[1]))
    return [
        {
            "type": kind,
            "key": inputs.graph.keys(kind)[thing],
            "others": others,
            "enforced": enforced,
        }
        for kind, thing, others, enforced in ranked[:MOST_OBJECTS]
    ]


def _timeline(inputs: ExpansionInputs, user: int, span_us: tuple[int, int]) -> list[dict[str, Any]]:
    events: Counter[tuple[int, str]] = Counter()
    for edge_type in inputs.graph.edge_types:
        if edge_type[0] == inputs.target:
            out = inputs.graph.out(edge_type)
            first, last = out.window(np.array([user]), *span_us)
            place = slice(int(first[0]), int(last[0]))
            for time, count in zip(
                out.time_us[place].tolist(), out.count[place].tolist(), strict=True
            ):
                events[(time // DAY_US, edge_type[1])] += count
    return [
        {"day": us_day(day * DAY_US).isoformat(), "relation": relation, "events": count}
        for (day, relation), count in sorted(events.items())
    ]

"""The sections of the page, top to bottom by importance."""

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from graphguard.evaluate.drift import psi
from graphguard.report import charts
from graphguard.report.contents import ReportContents
from graphguard.report.held import held_together
from graphguard.report.markup import details, number, section, table, text

TOP_RINGS, TOP_USERS, TOP_MEMBERS = 12, 20, 60
CHANGES = {
    "birth": "new",
    "return": "back",
    "growth": "grew",
    "shrink": "shrank",
    "steady": "as it was",
    "merge": "merged",
    "split": "split off",
    "dormant": "asleep",
    "death": "gone",
}
"""What happened to rings since the run before, as people say it, in the order in which they ask."""
MOST_WORDS = 1000
"""Characters of what is named one by one, as a ring's channels: cut short it says nothing."""


def decisions(contents: ReportContents) -> str:
    """Who gets which action, and what was held back."""
    summary = contents.summary
    rows = [
        (
            text(name),
            number(count),
            number(summary["held_out"][name]),
            number(summary["thresholds"].get(name), 4),
            text(summary["off"].get(name, ""), 200),
        )
        for name, count in summary["decided"].items()
    ]
    top = contents.decisions.sort(["risk_score", "entity_id"], descending=[True, False])
    users = [
        (text(row["entity_id"]), text(row["action"]), number(row["risk_score"]), _reasons(row))
        for row in top.head(TOP_USERS).to_dicts()
    ]
    left = ", ".join(f"{count:,} {rule}" for rule, count in summary["skipped"].items())
    lead = (
        f"{number(summary['acted'])} of {number(summary['active_users'])} active users are "
        f"acted on ({summary['action_rate']:.2%}; the limit is {summary['max_action_rate']:.2%}). "
        f"Left out: {text(left, 200)}."
    )
    return section(
        "Decisions",
        lead,
        table(["action", "users#", "held out#", "score needed#", "why it is off"], rows),
        details("the users of highest risk", table(["user", "action", "risk#", "why"], users)),
    )


def rings(contents: ReportContents) -> str:
    """The strongest rings as cards with a picture each, and what changed since last night."""
    ranked = contents.rings.sort(["evidence_bits", "ring_id"], descending=[True, False])
    risk = dict(contents.scores.select("entity_id", "risk_score").iter_rows())
    scored = set(risk)
    change = dict(contents.changes.select("ring_id", "change").iter_rows())
    cards = [
        _card(contents, row, (risk, scored, change)) for row in ranked.head(TOP_RINGS).to_dicts()
    ]
    counts: dict[str, int] = dict(contents.changes.group_by("change").len().iter_rows())
    words = [f"{counts[name]:,} {word}" for name, word in CHANGES.items() if name in counts]
    told = ", ".join(words) or "nothing changed"
    recall = contents.index.get("recall")
    lead = (
        f"{number(ranked.height)} rings with {number(contents.members.height)} members; tonight: "
        f"{text(told, 200)}. Embedding index {text(contents.index.get('engine', '–'))}, recall "
        f"{number(recall)}."
    )
    lead += _nulls(contents.nulls["channels"])
    more = ranked.height - len(cards)
    tail = f'<p class="quiet">and {more:,} more in the table `rings`</p>' if more > 0 else ""
    return section("Rings", lead, f'<div class="cards">{"".join(cards)}</div>{tail}')


def _nulls(channels: Mapping[str, Any]) -> str:
    """What the tests of links found where there is nothing to find."""
    if not channels:
        return ""
    nights = sum(found["shards"] for found in channels.values())
    flagged = sum(found["flagged"] for found in channels.values())
    return (
        f" In {number(nights)} nights dealt from tonight's acts, where who meets whom is left to "
        f"chance, the same tests made {number(flagged)} discoveries."
    )


def _card(
    contents: ReportContents,
    ring: dict[str, Any],
    known: tuple[dict[str, float], set[str], dict[str, str]],
) -> str:
    risk, scored, change = known
    members = contents.members.filter(pl.col("ring_id") == ring["ring_id"])
    evidence = contents.evidence.filter(pl.col("ring_id") == ring["ring_id"])
    ties = json.loads(ring["ties"])
    # A member without a score was enforced before tonight, or has done nothing in the window.
    enforced = {key for key in members.get_column("key") if key not in scored}
    bad = enforced if ring["known_bad"] else set()
    rows = [
        (
            text(row["key"]),
            text(row["role"]),
            number(row["degree"]),
            "–" if row["first_share"] is None else f"{row['first_share']:.0%}",
            number(risk.get(row["key"])),
        )
        for row in members.sort(["evidence_bits", "key"], descending=[True, False])
        .head(TOP_MEMBERS)
        .to_dicts()
    ]
    seconds = ring["synchrony_s"]
    pace = f"{seconds:,.0f} s between matching acts · " if seconds is not None else ""
    met = ""
    if ring["met_share"] is not None:
        met = (
            f"<p class='quiet'>linked members met on {ring['met_share']:.0%} of the objects they "
            f"have in common, by chance it would be {ring['chance_share']:.2%}</p>"
        )
    tied = ", ".join(
        f"{text(tie['type'])} {text(tie['key'], 18)} ({tie['members']})" for tie in ties[:3]
    )
    mine = pl.col("ring_id") == ring["ring_id"]
    held = held_together(contents.sets.filter(mine), contents.quotes.filter(mine))
    tie = f"<p class='quiet'>tied by {tied or '–'}</p>" if tied or not held else ""
    return (
        f'<article class="card"><h3>{text(ring["ring_id"])} '
        f"<em>{CHANGES.get(change.get(ring['ring_id'], ''), '')}</em></h3>"
        f"{charts.ring_picture(members, evidence, ties, bad)}"
        f"<p><b>{number(ring['size'])}</b> users, {number(ring['known_bad'])} enforced, mean risk "
        f"{number(ring['mean_risk'])}</p><p class='quiet'>{pace}{ring['density']:.0%} of pairs "
        f"linked · {number(ring['evidence_bits'], 0)} bits · "
        f"chance 10<sup>{ring['log10_p']:.0f}</sup> "
        f"· by {text(ring['channels'].replace(',', ', '), MOST_WORDS)} "
        f"· since {ring['first_seen']}</p>"
        f"{met}{tie}{held}"
        f"{details('members', table(['user', 'role', 'links#', 'first#', 'risk#'], rows))}"
        "</article>"
    )


def scores(contents: ReportContents) -> str:
    """How risk is spread, and whether it moved."""
    moved = ""
    if contents.earlier_scores is not None and contents.earlier_scores.height:
        before, now = (
            frame.get_column("risk_score").to_numpy()
            for frame in (contents.earlier_scores, contents.scores)
        )
        index, chance = psi(before, now)
        moved = f" Against the run before (outline): PSI {index:.3f}, chance {chance:.2g}."
    lead = (
        f"{number(contents.scores.height)} users were scored.{moved or ' There is no run before.'}"
    )
    picture = charts.score_histogram(contents.scores, contents.earlier_scores)
    return section("Scores", lead, f"<figure>{picture}</figure>")


def drift(contents: ReportContents) -> str:
    """How tonight's rows, scores and labels lie against those of past anchors."""
    found = contents.drift
    compared = [found["score"], *found["features"]["columns"][:15]]
    rows = [
        (
            text(one["name"], 80),
            number(one["psi"]),
            number(one["usual"]),
            number(one["ks"]),
            f"{one['missing_before']:.0%} → {one['missing_now']:.0%}",
            f'<span class="{text(one["verdict"])}">{text(one["verdict"])}</span>',
        )
        for one in compared
    ]
    lead = (
        f'<span class="{text(found["verdict"])}">{text(found["verdict"])}</span>: '
        f"{text(found['reason'], 300)}, against the rows that calibrated the model. "
        f"{_tail(found['tail'])} {_label_flow(found['labels'])}"
    )
    heads = ["column", "PSI#", "usual PSI#", "KS#", "missing", "verdict"]
    return section("Drift", lead, table(heads, rows))


def _tail(shifts: list[dict[str, Any]]) -> str:
    parts = [
        f"above the {one['quantile']:.0%} mark of their scores {number(one['ratio'])} times as many"
        for one in shifts
    ]
    return f"Users {', '.join(parts)}."


def _label_flow(flow: dict[str, Any] | None) -> str:
    if flow is None:
        return ""
    newest, before = flow["newest"], flow["before"]
    return (
        f"New positives of the newest anchor, linked users as one: {number(newest['positives'])} "
        f"in {number(newest['rows'])} rows, after {number(before['positives'])} in "
        f"{number(before['rows'])} (chance {flow['p_value']:.2g})."
    )


def intake(contents: ReportContents) -> str:
    """What went in, and what was rejected and why."""
    sources = (
        contents.intake.group_by("source")
        .agg(
            pl.len().alias("files"),
            pl.col("read", "accepted", "rejected", "not_yet", "identical").sum(),
        )
        .sort("source")
    )
    rows = [(text(row[0]), *(number(value) for value in row[1:])) for row in sources.iter_rows()]
    reasons = [
        (
            text(row["source"]),
            text(row["column"]),
            text(row["reason"]),
            number(row["rows"]),
            text(row["example"], 80),
        )
        for row in contents.reject_reasons.to_dicts()
    ]
    total = contents.intake.select(pl.col("read", "accepted", "rejected", "not_yet").sum()).row(0)
    lead = (
        f"{number(total[0])} rows read: {number(total[1])} accepted, {number(total[2])} rejected, "
        f"{number(total[3])} not yet (at or after the cutoff)."
    )
    heads = ["source", "files#", "read#", "accepted#", "rejected#", "not yet#", "identical#"]
    return section(
        "What went in",
        lead,
        table(heads, rows),
        "<h3>Rejected</h3>",
        table(["source", "column", "reason", "rows#", "first example"], reasons),
    )


def stages(contents: ReportContents) -> str:
    """Time and memory of every stage."""
    seconds = [
        (one["stage"], one["seconds"], f"{one['seconds']:,.1f} s") for one in contents.stages
    ]
    memory = [
        (one["stage"], one["memory_mb"], f"{one['memory_mb']:,} MB") for one in contents.stages
    ]
    total = sum(one["seconds"] for one in contents.stages)
    return section(
        "Time and memory",
        f"{number(total, 1)} seconds in all.",
        f'<div class="pair"><figure>{charts.bars(seconds, "seconds per stage")}</figure>'
        f"<figure>{charts.bars(memory, 'peak memory per stage')}</figure></div>",
    )


def _reasons(row: dict[str, Any]) -> str:
    return "; ".join(text(one["text"], 120) for one in json.loads(row["reasons"])[:3]) or "–"

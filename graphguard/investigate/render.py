"""Expansions and explanations for a terminal, with rich."""

from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from graphguard.investigate.expand import Expansion
from graphguard.investigate.explain import Explanation

BARS = " ▁▂▃▄▅▆▇█"
LONGEST = 160


def render_expansion(expansion: Expansion) -> RenderableType:
    """A table of the users found, strongest first."""
    table = Table(title=f"near {', '.join(expansion.seeds)}", title_justify="left")
    for name, justify in (
        ("user", "left"),
        ("weight", "right"),
        ("hops", "right"),
        ("risk", "right"),
        ("ring", "left"),
        ("why", "left"),
    ):
        # A ring's name is what the next command is asked with, so it stays in one piece.
        table.add_column(name, justify=justify, overflow="fold", no_wrap=name == "ring")  # type: ignore[arg-type]
    for found in expansion.users:
        name = found.user + (" (enforced)" if found.enforced else "")
        table.add_row(
            escape(name),
            f"{found.weight:.4f}",
            str(found.hops) if found.hops else "-",
            "-" if found.risk_score is None else f"{found.risk_score:.3f}",
            escape(found.ring_id or "-"),
            escape("; ".join(found.evidence) or " → ".join(found.path)),
        )
    parts: list[RenderableType] = [table]
    if not expansion.users:
        parts.append(Text("nobody is near: no shared object in the time range"))
    if expansion.truncated:
        parts.append(Text(f"{expansion.cut_edges} edges of hubs were not followed", style="dim"))
    return Group(*parts)


def render_explanation(explanation: Explanation) -> RenderableType:
    """What is known about a user, top to bottom by importance."""
    lines = [Text(f"user {explanation.user}", style="bold"), Text(_score_line(explanation))]
    if explanation.enforced:
        lines.append(Text("enforced before the cutoff", style="red"))
    if explanation.ring:
        ring = explanation.ring
        lines.append(
            Text(
                f"{ring['role']} member of ring {ring['ring_id']}: {ring['size']} users, "
                f"{ring['known_bad']} enforced, by {ring['channels']}, since {ring['first_seen']}"
            )
        )
        lines += [Text(line) for line in _held_lines(ring.get("held_by", []))]
    for decision in explanation.decisions:
        held = ", held out" if decision["holdout"] else ""
        lines.append(Text(f"decision: {decision['action']}{held}, until {decision['expires_at']}"))
    reasons = [Text(f"  {one['text']}  ({one['weight']:.2f})") for one in explanation.reasons]
    parts: list[RenderableType] = [*lines, Text("reasons", style="bold"), *reasons]
    if not reasons:
        parts.append(Text("  none: nothing raised this score"))
    parts += [_shared_table(explanation), _timeline_table(explanation)]
    return Group(*parts)


def _held_lines(sets: list[dict[str, Any]]) -> list[str]:
    """A line for each set, and one for each of its texts."""
    lines = []
    for one in sets:
        on = ", ".join(one["objects"][:3]) + (" …" if len(one["objects"]) > 3 else "")
        about = f" on {on}" if on else ""
        lines.append(f"  {one['channel']}: {one['users']} users{about}, q 1e{one['log10_q']:.0f}")
        lines += [f"    {quote['key']}: “{_readable(quote['text'])}”" for quote in one["texts"]]
    return lines


def _readable(value: str) -> str:
    """A text of somebody else in one line, without marks that a terminal would obey."""
    shown = "".join(one if one.isprintable() else "\ufffd" for one in value)
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…"


def _score_line(explanation: Explanation) -> str:
    if explanation.risk_score is None:
        return "not scored: no event in the window, or enforced"
    above = f", higher than {explanation.percentile:.1%} of users" if explanation.percentile else ""
    return f"risk {explanation.risk_score:.4f}{above} (model {explanation.model_id})"


def _shared_table(explanation: Explanation) -> Table:
    table = Table("shared", "key", "others", "enforced", title_justify="left")
    for one in explanation.shared:
        table.add_row(one["type"], escape(one["key"]), str(one["others"]), str(one["enforced"]))
    return table


def _timeline_table(explanation: Explanation) -> Table:
    table = Table("relation", "events a day", "from", "to")
    days = sorted({one["day"] for one in explanation.timeline})
    for relation in sorted({one["relation"] for one in explanation.timeline}):
        events = {
            one["day"]: one["events"] for one in explanation.timeline if one["relation"] == relation
        }
        most = max(events.values())
        bars = "".join(BARS[-(-events.get(day, 0) * 8 // most)] for day in days)
        table.add_row(relation, bars, days[0], days[-1])
    return table

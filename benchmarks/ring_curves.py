"""How well are rings found that take their time, or act as others do in between?

Planted logs (`planted.world_hiding`): the time within which a ring joins an object grows from a
minute to a day; or each member makes up to ten ordinary shares for each one its ring calls for.
Ours reads all windows at once, with the objects' authors (drawn by lot) and without: slow windows
and audiences tell nothing where no log says who made a thing. The others have one window: a minute
and a day.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from planted import SECOND, Planted, world_hiding
from result import say
from ring_methods import (
    RATE,
    Found,
    Weights,
    above,
    above_quantile,
    by_significance,
    fraudar,
    louvain,
)
from ring_truth import f1, pair_figures, ring_figures

from graphguard.graph.keyed import KeyHashes
from graphguard.rings.audiences import audience_companies, company_links
from graphguard.rings.coaction import find_coactions
from graphguard.rings.fusion import set_evidence
from graphguard.rings.link import LinkRules, linked
from graphguard.rings.meetings import Acts
from graphguard.rings.significance import all_pairs
from graphguard.rings.tastes import find_tastes

ROWS = 300_000
LADDER = (60, 600, 3_600, 21_600, 86_400)
MINUTE, DAY = 60, 86_400
SLOW = (60, 600, 3_600, 21_600, 86_400)
NORMAL = (0, 1, 2, 5, 10)
PICTURE = Path(__file__).parent / "ring_curves.svg"
WIDE, HIGH, LEFT, TOP, BOTTOM = 380, 220, 40, 26, 36
COLOURS = {
    "ours": "#0a6ebd",
    "ours, authors unknown": "#6db3e8",
    "quantile .99, a minute": "#c4451c",
    "quantile .99, a day": "#e9a07f",
    "weight >= 5, a minute": "#3d8b37",
    "weight >= 5, a day": "#9ccf97",
}
Curve = dict[str, list[tuple[float | None, float | None, float]]]
"""By method, for each step: pair precision, pair recall and ring F1."""


def curves(seeds: int) -> dict[str, Any]:
    """Print both curves, draw them, and return their figures."""
    figures: dict[str, Any] = {}
    drawn = []
    for title, steps, make in (
        ("a ring joins within (s)", SLOW, lambda step: {"within_s": step, "normal": 0}),
        ("ordinary shares for each bad one", NORMAL, lambda n: {"within_s": 45, "normal": n}),
    ):
        curve: Curve = {}
        for step in steps:
            counts: dict[str, NDArray[np.int64]] = {}
            for seed in range(1, seeds + 1):
                world = world_hiding(ROWS, seed, **make(step))
                for method, found in methods(world, seed):
                    counts[method] = counts.get(method, 0) + _counts(found, world.ring)
            for method, count in counts.items():
                curve.setdefault(method, []).append(_figures(count))
        _table(title, steps, curve)
        name = "slow" if steps is SLOW else "camouflage"
        figures |= {
            f"{name}_{method.replace(' ', '_')}_recall": [each[1] for each in held]
            for method, held in curve.items()
        }
        drawn.append(picture(title, steps, curve, len(drawn) * WIDE))
    height = HIGH + 16 * len(COLOURS) + 8
    keys = "".join(
        f'<rect x="{LEFT}" y="{HIGH + 16 * place - 9}" width="12" height="10" fill="{colour}"/>'
        f'<text x="{LEFT + 18}" y="{HIGH + 16 * place}">{method.replace(">", "&gt;")}</text>'
        for place, (method, colour) in enumerate(COLOURS.items())
    )
    PICTURE.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDE} {height}" role="img" '
        f'aria-label="pair recall as rings slow down, and as they act normally" '
        f'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(drawn)}{keys}</svg>\n",
        encoding="utf-8",
    )
    return figures


def methods(world: Planted, seed: int) -> Iterator[tuple[str, Found]]:
    """Every method on one log."""
    acts, hashes = Acts(world.user, world.object, world.time_us), KeyHashes(_names(world))
    rules = LinkRules([one * SECOND for one in LADDER], 200, 1000, hashes)
    found = find_coactions(acts, rules.windows_us, hashes, rules.max_burst)
    rng = np.random.default_rng(seed)
    authors = rng.integers(0, world.num_users, len(world.born_us))
    active = len(np.unique(world.user))
    tastes = find_tastes(acts, authors, world.num_users, rules.max_burst)
    companies = audience_companies(tastes, float(np.log10(RATE)))
    shared = company_links(tastes, companies, all_pairs(active))
    slow = set_evidence(shared, "audience.shares", DAY * SECOND)
    for method, author, sets in (
        ("ours", authors, slow),
        ("ours, authors unknown", None, None),
    ):
        links = linked(acts, found, world.born_us, rules, author)
        yield method, by_significance(links, "shares", active, sets)
    del found
    for window, words in ((MINUTE, "a minute"), (DAY, "a day")):
        found = find_coactions(acts, [window * SECOND], hashes)
        weights = Weights.of(found, world.num_users)
        yield f"quantile .99, {words}", above_quantile(weights)
        yield f"weight >= 5, {words}", above(weights, 4)
        yield f"louvain, {words}", louvain(weights)
        if window == MINUTE:
            yield f"fraudar, {words}", fraudar(found)


def _names(world: Planted) -> list[str]:
    return [str(user) for user in range(world.num_users)]


def _counts(found: Found, truth: NDArray[np.int64]) -> NDArray[np.int64]:
    pairs = (0, 0, 0) if found.pairs is None else pair_figures(found.pairs, truth)
    return np.array([*pairs, *ring_figures(found.rings, truth)], dtype=np.int64)


def _figures(counts: NDArray[np.int64]) -> tuple[float | None, float | None, float]:
    told, right, true, *rings = counts.tolist()
    precision = round(right / told, 4) if told else None
    return precision, round(right / true, 4) if true else None, round(f1(*rings), 4)


def _table(title: str, steps: tuple[int, ...], curve: Curve) -> None:
    say(f"| {title}: pair precision / recall, ring F1 | " + " | ".join(map(str, steps)) + " |")
    say("|" + "---|" * (len(steps) + 1))
    for method, held in curve.items():
        cells = [
            (
                f"{ring_f1:.2f}"
                if recall is None
                else f"{_short(precision)} / {recall:.2f}, {ring_f1:.2f}"
            )
            for precision, recall, ring_f1 in held
        ]
        say(f"| {method} | " + " | ".join(cells) + " |")


def _short(share: float | None) -> str:
    return "–" if share is None else f"{share:.2f}"


def picture(title: str, steps: tuple[int, ...], curve: Curve, left: int) -> str:
    """One plot of pair recall over the steps; solid where at least half of the told are right."""

    def x(place: int) -> float:
        return left + LEFT + place * (WIDE - LEFT - 20) / (len(steps) - 1)

    def y(share: float) -> float:
        return HIGH - BOTTOM - share * (HIGH - TOP - BOTTOM)

    parts = [f'<text x="{left + LEFT}" y="14">pair recall; dashed: precision below .5</text>']
    for quarter in range(5):
        parts.append(
            f'<line x1="{x(0):.0f}" x2="{x(len(steps) - 1):.0f}" y1="{y(quarter / 4):.1f}" '
            f'y2="{y(quarter / 4):.1f}" stroke="#ddd"/><text x="{x(0) - 6:.0f}" '
            f'y="{y(quarter / 4) + 4:.1f}" text-anchor="end">{quarter / 4:g}</text>'
        )
    for place, step in enumerate(steps):
        parts.append(f'<text x="{x(place):.0f}" y="{HIGH - 20}" text-anchor="middle">{step}</text>')
    parts.append(f'<text x="{(x(0) + x(len(steps) - 1)) / 2:.0f}" y="{HIGH - 5}" '
                 f'text-anchor="middle">{title}</text>')  # fmt: skip
    # Ours comes last, so that no line hides it; the others' dashes show above and below.
    for method, colour in reversed(COLOURS.items()):
        held = curve[method]
        for place in range(len(steps) - 1):
            ends = [(x(at), y(held[at][1] or 0.0)) for at in (place, place + 1)]
            sure = (held[place + 1][0] or 1.0) >= 0.5
            dash = "" if sure else ' stroke-dasharray="4 3"'
            (x1, y1), (x2, y2) = ends
            parts.append(
                f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                f'stroke="{colour}" stroke-width="{2 if method == "ours" else 4}"{dash}/>'
            )
    return "".join(parts)

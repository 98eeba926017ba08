"""Pictures as inline SVG: reliability, precision and recall, scores, bars, and rings."""

import math
from collections.abc import Sequence
from typing import Any

import networkx as nx
import numpy as np
import polars as pl

from graphguard.report.markup import number, svg, text

WIDE, HIGH = 340, 240
LEFT, TOP, RIGHT, BOTTOM = 44, 12, 12, 34
MOST_RING_NODES = 60


def _words(x: float, y: float, words: str, anchor: str = "start", kind: str = "tick") -> str:
    """A piece of text; `words` is markup."""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {place}>{words}</text>'


def _x(share: float) -> float:
    return LEFT + share * (WIDE - LEFT - RIGHT)


def _y(share: float) -> float:
    return HIGH - BOTTOM - share * (HIGH - TOP - BOTTOM)


def _frame(below: str, beside: str, ticks: Sequence[tuple[float, str]] = ()) -> str:
    marks = ticks or [(n / 4, f"{n / 4:g}") for n in range(5)]
    parts = []
    for share, words in marks:
        y = f"{_y(share):.1f}"
        parts.append(f'<line class="grid" x1="{_x(0)}" x2="{_x(1)}" y1="{y}" y2="{y}"/>')
        parts.append(_words(LEFT - 6, _y(share) + 4, words, "end"))
    parts.append(_words((_x(0) + _x(1)) / 2, HIGH - 4, below, "middle"))
    parts.append(_words(LEFT, TOP - 2, beside))
    return "".join(parts)


def _ground(share: float, words: str) -> str:
    return _words(_x(share), HIGH - BOTTOM + 14, words, "middle")


def reliability(bins: Sequence[dict[str, Any]]) -> str:
    """What was said against what came true, each bin with its 95% interval."""
    if not bins:
        return '<p class="quiet">no calibration rows</p>'
    top = max(max(one["seen_high"], one["said"]) for one in bins)
    scale = min(1.0, math.ceil(top * 10) / 10) or 1.0
    ticks = [(n / 4, f"{scale * n / 4:.2g}") for n in range(5)]
    parts = [_frame("probability said", "share that came true", ticks)]
    parts += [_ground(n / 4, f"{scale * n / 4:.2g}") for n in range(5)]
    parts.append(f'<line class="ideal" x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}"/>')
    for one in bins:
        x = _x(one["said"] / scale)
        low, high = _y(min(one["seen_low"] / scale, 1)), _y(min(one["seen_high"] / scale, 1))
        y = _y(one["seen"] / scale)
        parts.append(
            f'<line class="whisker" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
        )
        hint = f"said {one['said']:.3f}, came true {one['seen']:.3f}, {one['rows']} rows"
        parts.append(
            f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{hint}</title></circle>'
        )
    return svg(WIDE, HIGH, f"reliability in {len(bins)} bins", *parts)


def precision_recall(evaluation: pl.DataFrame) -> str:
    """Precision against recall on the newest anchor, a line a model."""
    parts = [_frame("recall", "precision")]
    parts += [_ground(n / 4, f"{n / 4:g}") for n in range(5)]
    names = evaluation.get_column("model").unique().sort().to_list()
    for place, name in enumerate(names):
        rows = evaluation.filter((pl.col("model") == name) & (pl.col("slice") != "select"))
        label = rows.get_column("label").to_numpy()
        order = np.argsort(-rows.get_column("risk_score").to_numpy(), kind="stable")
        hits = np.cumsum(label[order])
        if not len(hits) or not hits[-1]:
            continue
        recall, precision = hits / hits[-1], hits / np.arange(1, len(hits) + 1)
        steps = np.unique(np.linspace(0, len(hits) - 1, 200).astype(int))
        steps = np.unique(np.concatenate([steps, np.arange(min(100, len(hits)))]))
        points = " ".join(f"{_x(recall[n]):.1f},{_y(precision[n]):.1f}" for n in steps)
        parts.append(f'<polyline class="line l{place % 4}" points="{points}"/>')
        parts.append(
            f'<text class="key l{place % 4}" x="{WIDE - RIGHT}" y="{TOP + 14 + 15 * place}" '
            f'text-anchor="end">{text(name)}</text>'
        )
    return svg(WIDE, HIGH, f"precision and recall of {', '.join(names)}", *parts)


def score_histogram(scores: pl.DataFrame, earlier: pl.DataFrame | None) -> str:
    """Users by risk score, counts on a log scale; the run before as an outline."""
    edges = np.linspace(0, 1, 26)
    counts = np.histogram(scores.get_column("risk_score").to_numpy(), edges)[0]
    before = None
    if earlier is not None and earlier.height:
        before = np.histogram(earlier.get_column("risk_score").to_numpy(), edges)[0]
    most = max(int(counts.max(initial=1)), int(before.max(initial=1)) if before is not None else 1)
    decades = max(1, math.ceil(math.log10(most + 1)))
    ticks = [(n / decades, f"{10**n:,}") for n in range(decades + 1)]
    parts = [
        _frame("risk score", "users", ticks),
        *(_ground(n / 4, f"{n / 4:g}") for n in range(5)),
    ]

    def tall(count: int) -> float:
        return min(1.0, (math.log10(count) + 0.05) / decades) if count else 0.0

    for low, count in zip(edges, counts.tolist(), strict=False):
        y = _y(tall(count))
        hint = f"{count:,} users from {low:.2f}"
        parts.append(
            f'<rect class="bar" x="{_x(low) + 0.5:.1f}" width="{(_x(1) - _x(0)) / 25 - 1:.1f}" '
            f'y="{y:.1f}" height="{_y(0) - y:.1f}"><title>{hint}</title></rect>'
        )
    if before is not None:
        points = []
        for low, count in zip(edges, before.tolist(), strict=False):
            points += [
                f"{_x(low):.1f},{_y(tall(count)):.1f}",
                f"{_x(low + 0.04):.1f},{_y(tall(count)):.1f}",
            ]
        parts.append(f'<polyline class="line l1" points="{" ".join(points)}"/>')
    return svg(WIDE, HIGH, "users by risk score, tonight and the run before", *parts)


def bars(rows: Sequence[tuple[str, float, str]], label: str) -> str:
    """Horizontal bars: name, length, words at the end."""
    height = 22 * len(rows) + 6
    most = max((length for _, length, _ in rows), default=1.0) or 1.0
    parts = []
    for place, (name, length, words) in enumerate(rows):
        y = 22 * place + 4
        width = 190 * length / most
        parts.append(
            f'<text class="tick" x="96" y="{y + 12}" text-anchor="end">{text(name)}</text>'
        )
        parts.append(
            f'<rect class="bar" x="102" y="{y}" width="{max(width, 1):.1f}" height="15" rx="2"/>'
        )
        parts.append(f'<text class="tick" x="{108 + width:.1f}" y="{y + 12}">{text(words)}</text>')
    return svg(380, height, label, *parts)


def ring_picture(
    members: pl.DataFrame, evidence: pl.DataFrame, ties: Sequence[dict[str, Any]], bad: set[str]
) -> str:
    """Members as dots (core filled, known bad red), their links, and what ties them as squares."""
    shown = members.sort(["evidence_bits", "key"], descending=[True, False]).head(MOST_RING_NODES)
    keys = shown.get_column("key").to_list()
    graph = nx.Graph()
    graph.add_nodes_from(keys)
    pairs = evidence.group_by("key_a", "key_b").agg(pl.col("bits").sum()).sort("key_a", "key_b")
    for one, other, bits in pairs.iter_rows():
        if one in graph and other in graph:
            graph.add_edge(one, other, bits=bits)
    layout = nx.spring_layout(graph, seed=0, iterations=60) if len(keys) > 1 else {keys[0]: (0, 0)}
    place = {key: (100 + 78 * float(at[0]), 88 + 70 * float(at[1])) for key, at in layout.items()}
    parts = []
    for one, other, facts in graph.edges(data=True):
        (x1, y1), (x2, y2) = place[one], place[other]
        width = min(3.0, 0.4 + facts["bits"] / 60)
        parts.append(
            f'<line class="link" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke-width="{width:.1f}"/>'
        )
    for key, role in shown.select("key", "role").iter_rows():
        x, y = place[key]
        kind = "bad" if key in bad else role
        title = f"<title>{text(key, 500)}</title>"
        parts.append(
            f'<circle class="node {kind}" cx="{x:.1f}" cy="{y:.1f}" r="5">{title}</circle>'
        )
    for place_, tie in enumerate(list(ties)[:6]):
        y = 14 + 26 * place_
        hint = text(f"{tie['type']} {tie['key']}: {tie['members']} members", 500)
        box = 'x="204" width="10" height="10"'
        parts.append(f'<rect class="tie" {box} y="{y}"><title>{hint}</title></rect>')
        words = f"{text(tie['type'], 14)} × {number(tie['members'])}"
        parts.append(_words(219, y + 9, words))
    return svg(300, 180, f"ring of {members.height} users, {len(pairs)} linked pairs", *parts)

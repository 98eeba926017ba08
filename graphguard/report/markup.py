"""Small builders of HTML and SVG; everything that comes from data goes through `text`."""

import html
import math
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

LONGEST = 40
HIDDEN = ("Cc", "Cf")
"""Unicode categories of characters that are not seen."""


def text(value: object, longest: int = LONGEST) -> str:
    """A value as escaped text; a long one is cut in the middle and whole in its title.

    >>> text("<b>")
    '&lt;b&gt;'
    """
    # Marks that turn the direction of reading, or hide, could make a key look like another.
    whole = "".join("\ufffd" if unicodedata.category(one) in HIDDEN else one for one in str(value))
    if len(whole) <= longest:
        return html.escape(whole)
    cut = f"{whole[: longest // 2]}…{whole[-longest // 2 + 1 :]}"
    return f'<span title="{html.escape(whole)}">{html.escape(cut)}</span>'


def number(value: Any, digits: int = 3) -> str:
    """A number for reading; a missing one is a dash.

    >>> number(1234567), number(0.12345), number(None)
    ('1,234,567', '0.123', '–')
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.{digits}f}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], note: str = "") -> str:
    """A table of cells that are markup already; heads ending in `#` are numbers."""
    shown = [
        f"<th{' class=n' if head.endswith('#') else ''}>{html.escape(head.rstrip('#'))}</th>"
        for head in heads
    ]
    body = []
    for row in rows:
        cells = [
            f"<td{' class=n' if head.endswith('#') else ''}>{cell}</td>"
            for head, cell in zip(heads, row, strict=True)
        ]
        body.append(f"<tr>{''.join(cells)}</tr>")
    tail = f'<p class="quiet">{note}</p>' if note else ""
    if not body:
        return tail or '<p class="quiet">none</p>'
    return (
        f'<div class="scroll"><table><thead><tr>{"".join(shown)}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>{tail}"
    )


def section(title: str, lead: str, *parts: str) -> str:
    """A section with a heading and a sentence under it; `lead` is markup."""
    name = title.lower().replace(" ", "-")
    return (
        f'<section id="{name}"><h2>{html.escape(title)}</h2><p class="lead">{lead}</p>'
        f"{''.join(parts)}</section>"
    )


def details(summary: str, body: str) -> str:
    """A part that opens on demand; both arguments are markup."""
    return f"<details><summary>{summary}</summary>{body}</details>"


def svg(width: int, height: int, label: str, *parts: str) -> str:
    """A picture with a description for those who do not see it."""
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(label)}" '
        f'style="max-width:{width}px">{"".join(parts)}</svg>'
    )

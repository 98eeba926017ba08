"""How results are printed: boxes as wide as the terminal, or a line a row in a pipe or a file."""

import json
import sys
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table

UNBOUND = 100_000
"""Columns of a line that no terminal breaks."""


def show(*parts: RenderableType) -> None:
    """Print to stdout; where that is no terminal, without boxes and without breaking a line."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=UNBOUND)
        for part in parts:
            _unbox(part)
    console.print(*parts, sep="\n")


def print_json(value: Any) -> None:
    """Print to stdout; what JSON has no word for as text."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n")


def _unbox(part: RenderableType) -> None:
    if isinstance(part, Table):
        part.box = None
        # A title is spread over a table's width, which may be less than it needs.
        if part.title is not None:
            part.title_style, part.min_width = "none", len(str(part.title))
    elif isinstance(part, Group):
        for one in part.renderables:
            _unbox(one)

"""Which programs may open a workspace: `FORMAT` at its root, a number that only grows.

A program reads what those before it have stored, and what it stores they may not understand: one
that does not know today's id segments would give their indices out again. So whoever writes says
first what number it writes, and a program refuses a workspace of a larger one.

`FORMAT` is 1 since workspaces have it; those without it are older and are taken up.
"""

from pathlib import Path

from graphguard.errors import ArtefactInvalid, WorkspaceNewer
from graphguard.tables.files import read_json, replace_json

FORMAT = 1
"""What this program writes. One more when a program of before would misread what is stored now, or
store what this one misreads; not for tables and columns that older programs pass over."""
FORMAT_FILE = "FORMAT"


def refuse_newer(root: Path) -> None:
    """Go on where this program knows all that a workspace may hold.

    Raises:
        WorkspaceNewer: A program that stores otherwise has written there.
        ArtefactInvalid: The number cannot be read.
    """
    found = _format(root)
    if found > FORMAT:
        raise WorkspaceNewer(root / FORMAT_FILE, found, FORMAT)


def mark_format(root: Path) -> None:
    """Say that this program writes there, before it does; who calls it holds the lease.

    Raises:
        WorkspaceNewer: As in `refuse_newer`.
        ArtefactInvalid: As in `refuse_newer`.
    """
    refuse_newer(root)
    if _format(root) < FORMAT:
        replace_json(root / FORMAT_FILE, {"format": FORMAT})


def _format(root: Path) -> int:
    """The number of a workspace, 0 where it has none."""
    path = root / FORMAT_FILE
    if not path.exists():
        return 0
    told = read_json(path)
    number = told.get("format") if isinstance(told, dict) else None
    if type(number) is not int or number < 1:
        reason = f'holds {told!r:.80}, and not a format such as {{"format": {FORMAT}}}'
        raise ArtefactInvalid(path, reason)
    return number

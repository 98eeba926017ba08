"""Find the files of logs and tables, and name their content.

A log whose path has `{date}` comes in daily units; any other log is one unit with all its files.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from graphguard.errors import InputMissing
from graphguard.tables.files import file_digest, read_json, replace_json
from graphguard.tables.threads import threads


@dataclass(frozen=True)
class SourceUnit:
    """Files that are ingested together: one day of a dated log, or all of an undated one."""

    source: str
    """Name of the log or table."""
    name: str
    """`dt=2026-01-31`, or `all`."""
    day: date | None
    files: tuple[Path, ...]


def find_units(source: str, pattern: str, root: Path, *, section: str = "logs") -> list[SourceUnit]:
    """Units of the files that match `pattern` below `root`, by day.

    Args:
        source: Name of the log or table.
        pattern: Glob of its files.
        root: Folder that a relative pattern starts from.
        section: Section of the config that names the source; `labels` is a source and a section.

    Raises:
        InputMissing: No file matches, or a folder does.
    """
    paths = _matches(pattern.replace("{date}", "*"), root)
    setting = f"{section}.path" if section == "labels" else f"{section}.{source}.path"
    if not paths:
        remedy = f"deliver it or correct {setting}"
        raise InputMissing(source, str(root / pattern), remedy)
    if paths[0].is_dir():
        remedy = f"{paths[0]} is a folder: add `/*.parquet` to {setting}"
        raise InputMissing(source, str(root / pattern), remedy)
    if "{date}" not in pattern:
        return [SourceUnit(source, "all", None, tuple(paths))]
    by_day: dict[date, list[Path]] = {}
    for path in paths:
        day = _day_of(path, pattern, root)
        if day is not None:
            by_day.setdefault(day, []).append(path)
    if not by_day:
        remedy = f"no path of {len(paths)} has a day like 2026-01-31 where {{date}} stands"
        raise InputMissing(source, str(root / pattern), remedy)
    return [
        SourceUnit(source, f"dt={day.isoformat()}", day, tuple(files))
        for day, files in sorted(by_day.items())
    ]


class DigestCache:
    """SHA-256 of files, remembered by path, size and modification time between nights."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, Any] = read_json(path) if path.is_file() else {}
        self._changed = False

    def digest(self, path: Path) -> str:
        """SHA-256 of the file's bytes."""
        stat = path.stat()
        mark = [stat.st_size, stat.st_mtime_ns]
        held = self._known.get(str(path))
        if held is None or held[:2] != mark:
            held = [*mark, file_digest(path)]
            self._known[str(path)] = held
            self._changed = True
        return str(held[2])

    def digests(self, paths: Sequence[Path]) -> list[str]:
        """SHA-256 of each file, several looked at together."""
        with threads() as pool:
            return pool.each(self.digest, paths)

    def save(self) -> None:
        """Keep what was learned for the next night."""
        if self._changed:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            replace_json(self.path, self._known)
            self._changed = False


def _matches(pattern: str, root: Path) -> list[Path]:
    path = Path(pattern)
    if path.is_absolute():
        return sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    return sorted(root.glob(pattern)) if ".." not in path.parts else _climbing(path, root)


def _climbing(pattern: Path, root: Path) -> list[Path]:
    """Glob a pattern that leaves its root: `Path.glob` refuses `..`, so step out first."""
    parts = list(pattern.parts)
    while parts and parts[0] == "..":
        root, parts = root.parent, parts[1:]
    return sorted(root.glob(str(Path(*parts))))


def _day_of(path: Path, pattern: str, root: Path) -> date | None:
    """The day in a file's path, or None where `*` stands for something that is no day."""
    parts = [part for part in Path(pattern).parts if part not in ("..", "/")]
    wild = re.escape("/".join(parts)).replace(r"\{date\}", r"(\d{4}-\d{2}-\d{2})")
    wild = wild.replace(r"\*", "[^/]*")
    found = re.search(wild + "$", path.as_posix())
    try:
        return date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None

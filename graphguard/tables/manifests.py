"""The platform's own list of a delivery: which files, with which SHA-256.

Two forms are read. JSON: `{"files": {"part-0.parquet": "<sha256>"}}`. Text, as `sha256sum` writes
it: `<sha256>  part-0.parquet` on each line. Names are relative to the manifest's folder.
"""

import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from graphguard.errors import DataError, DeliveryWrong
from graphguard.tables.sources import SourceUnit

MOST_BYTES = 64 << 20
"""A manifest of half a million files; more is no manifest."""
SUM = re.compile(r"\\?([0-9a-fA-F]{64}) [ *](.+)")


def manifest_of(unit: SourceUnit, pattern: str, root: Path) -> Path:
    """The manifest of a unit: `pattern` with the unit's day, below `root`."""
    return root / pattern.replace("{date}", unit.day.isoformat() if unit.day else "")


def read_delivery(path: Path) -> dict[Path, str]:
    """SHA-256 of each file that a manifest lists, by normal path.

    Raises:
        DeliveryWrong: The manifest is missing, too large, or cannot be read.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DeliveryWrong(path, f"has more than {MOST_BYTES:,} bytes", path)
        text = path.read_text(encoding="utf-8-sig")
        listed = _json(text) if text.lstrip().startswith("{") else _sums(text)
    except FileNotFoundError as error:
        raise DeliveryWrong(path, "is not there", path) from error
    except (OSError, ValueError, RecursionError) as error:
        raise DeliveryWrong(path, f"cannot be read ({error})", path) from error
    return {_normal(path.parent / name): digest for name, digest in listed.items()}


def delivery_faults(
    manifest: Path, files: Sequence[Path], digest: Callable[[Path], str]
) -> list[tuple[Path, DataError]]:
    """Files of a unit that are not what its manifest says, each with the reason.

    Args:
        manifest: The unit's manifest; where it is missing or unreadable every file is at fault.
        files: The unit's files as found.
        digest: SHA-256 of a file's bytes.
    """
    try:
        listed = read_delivery(manifest)
    except DataError as error:
        return [(path, error) for path in files]
    faults: list[tuple[Path, DataError]] = []
    found = {_normal(path): path for path in files}
    for normal, path in found.items():
        if normal not in listed:
            faults.append((path, DeliveryWrong(path, "is not listed", manifest)))
        elif digest(path) != listed[normal]:
            reason = f"has SHA-256 {digest(path)[:16]}…, not {listed[normal][:16]}…"
            faults.append((path, DeliveryWrong(path, reason, manifest)))
    for path in listed:
        if path not in found and not path.is_file():
            faults.append((path, DeliveryWrong(path, "is listed and not there", manifest)))
    return faults


def _json(text: str) -> dict[str, str]:
    files = json.loads(text).get("files")
    if not isinstance(files, dict) or not all(
        isinstance(digest, str) and re.fullmatch("[0-9a-fA-F]{64}", digest)
        for digest in files.values()
    ):
        message = 'expected {"files": {"name": "64 hexadecimal digits"}}'
        raise ValueError(message)
    return {name: digest.lower() for name, digest in files.items()}


def _sums(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = SUM.fullmatch(line)
        if match is None:
            message = f"line {number} is no `<sha256>  <name>`"
            raise ValueError(message)
        found[match[2]] = match[1].lower()
    return found


def _normal(path: Path) -> Path:
    return Path(os.path.normpath(path))

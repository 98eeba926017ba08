"""Rewrite committed folders: aside, under a new manifest, then exchanged in one system call.

Files that do not change are linked, not copied. Readers of the folder see the old one or the new.
A killed rewrite leaves `.tmp-` folders with old or new content; `sweep` removes them all.
"""

import ctypes
import errno
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphguard.tables.commit import MANIFEST, read_manifest
from graphguard.tables.failpoint import failpoint
from graphguard.tables.files import file_digest, sync_filesystem, write_json
from graphguard.tables.lease import fenced

EXCHANGE = 2
AT_FDCWD = -100
MOST_WAITING = 64
Write = Callable[[Path], object]


@dataclass
class Rewrite:
    """What becomes of one committed folder.

    Attributes:
        writes: How to write each file that changes, by path in the folder.
        facts: Manifest entries that change.
        rows: Rows taken out.
    """

    writes: dict[str, Write] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    rows: int = 0


class Rewriter:
    """Rewrites folders for one erasure, a batch at a time and in the order they came."""

    def __init__(self, erasure: str) -> None:
        self.erasure = erasure
        self._waiting: list[tuple[Path, Path]] = []

    def rewrite(self, folder: Path, change: Rewrite) -> None:
        """Write `folder` anew beside itself; the next flush makes it current."""
        aside = folder.with_name(f".tmp-{folder.name}")
        shutil.rmtree(aside, ignore_errors=True)
        _link_tree(folder, aside, skip={MANIFEST, *change.writes})
        for name, write in change.writes.items():
            path = aside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path)
        manifest = read_manifest(folder)
        erasures = dict(manifest.get("erasures", {}))
        erasures[self.erasure] = erasures.get(self.erasure, 0) + change.rows
        files = {**manifest["files"]}
        files |= {name: file_digest(aside / name) for name in change.writes}
        manifest |= {**change.facts, "files": files, "erasures": erasures}
        write_json(aside / MANIFEST, manifest, durable=False)
        failpoint("erase:written")
        self._waiting.append((aside, folder))
        if len(self._waiting) >= MOST_WAITING:
            self.flush()

    def flush(self) -> None:
        """Put all that waits on disk, then exchange each folder with its old one."""
        if not self._waiting:
            return
        root = self._waiting[0][1].parent
        sync_filesystem(root)
        # Who lost the workspace to another exchanges nothing any more.
        with fenced(root):
            for aside, folder in self._waiting:
                exchange(aside, folder)
                failpoint("erase:swapped")
                shutil.rmtree(aside)
            sync_filesystem(root)
        self._waiting = []


def exchange(first: Path, second: Path) -> None:
    """Let two folders change names, in one step where the system can (Linux)."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is not None:
        done = call(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), EXCHANGE)
        if done == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            raise OSError(code, os.strerror(code), str(second))
    # Three steps: a kill between them leaves the old folder as `.was-`, which `sweep` puts back.
    was = second.with_name(f".was-{second.name}")
    os.rename(second, was)
    os.rename(first, second)
    os.rename(was, first)


def sweep(root: Path) -> int:
    """Remove what killed writers left below `root`; returns how many folders and files.

    Only who holds the workspace's lock may call it.
    """
    left = list(root.rglob(".was-*"))
    for path in left:
        home = path.with_name(path.name.removeprefix(".was-"))
        if home.exists():
            shutil.rmtree(path)
        else:
            os.rename(path, home)
    asides = [path for path in root.rglob(".*") if _is_left(path.name) and path.exists()]
    for path in asides:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(left) + len(asides)


def _is_left(name: str) -> bool:
    """A folder or file written aside, or a JSON file that `replace_json` did not move."""
    return name.startswith(".tmp-") or re.fullmatch(r"\..+\.\d+", name) is not None


def json_writer(value: Mapping[str, Any]) -> Write:
    """Writes a JSON file."""
    return lambda path: write_json(path, value, durable=False)


def _link_tree(folder: Path, aside: Path, skip: set[str]) -> None:
    aside.mkdir()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_dir():
            (aside / name).mkdir(exist_ok=True)
        elif str(name) not in skip:
            try:
                os.link(path, aside / name)
            except OSError:
                shutil.copy2(path, aside / name)

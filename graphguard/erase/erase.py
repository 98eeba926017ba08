"""Erase entities from a workspace and its sinks: all days, all runs, and the way back in.

The order makes a killed erasure go on: tombstones first, so that no row comes back; then the
stores, each of which is rewritten or not; the id dictionary last, for it says whom the stores
mean; and the record at the end. Giving the same command again does what is left to do.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from graphguard.config.sections import Config
from graphguard.erase.columns import EntityColumns
from graphguard.erase.doomed import Doomed, doom, entity_types, together
from graphguard.erase.exports import SinkEraser, renew_receipts
from graphguard.erase.runs import Redraw, RunEraser, flagged_models
from graphguard.erase.store import erase_derived, erase_events, orphans
from graphguard.erase.swap import Rewriter, sweep
from graphguard.tables.commit import MANIFEST
from graphguard.tables.failpoint import failpoint
from graphguard.tables.files import file_digest, read_json, replace_json
from graphguard.tables.segments import forget
from graphguard.tables.tombstones import FOLDER, Tombstones
from graphguard.tables.workspace import Run, Workspace

STEPS = ("events", "edges, pairs, features", "runs", "sinks", "reports", "ids")
Tell = Callable[[int, int, str], None]
"""Told steps done, steps in all, and what comes next."""


@dataclass(frozen=True)
class Request:
    """Whom to erase.

    Attributes:
        entity_type: Their type.
        keys: Their keys, as in the logs.
    """

    entity_type: str
    keys: frozenset[str]


def erase(config: Config, request: Request, redraw: Redraw, tell: Tell) -> dict[str, Any]:
    """Erase entities from the workspace and the sinks of `config`.

    Args:
        config: Names workspace and sinks, and says which columns are entities.
        request: Whom to erase; keys that nobody knows get a tombstone as well.
        redraw: Draws a run's report anew.
        tell: Progress.

    Returns:
        The record: it holds counts, times, a keyed hash of the request, the stores with their new
        versions, and the runs whose model had learned from the erased; no key.

    Raises:
        WorkspaceBusy: A night or another erasure is at work.

    Cost: reads every stored table once and writes those anew that name one of them.
    """
    workspace = Workspace(config.workspace_folder)
    with workspace.locked():
        sweep(workspace.root)
        stones = Tombstones(workspace.root)
        stones.add(request.entity_type, request.keys)
        failpoint("erase:tombstones")
        record = _Record(workspace, stones, request)
        return _Erasure(config, workspace, record, tell).run(request, redraw)


class _Erasure:
    """One erasure under way."""

    def __init__(self, config: Config, workspace: Workspace, record: "_Record", tell: Tell) -> None:
        self._config, self._workspace, self._record = config, workspace, record
        self._columns = EntityColumns.of(config, workspace)
        self._rewriter = Rewriter(record.name)
        self._tell = tell
        self._step = 0

    def run(self, request: Request, redraw: Redraw) -> dict[str, Any]:
        workspace, columns, rewriter = self._workspace, self._columns, self._rewriter
        users = doom(workspace, {request.entity_type: request.keys})
        self._record.begin(_held(workspace, users))
        self._next()
        named = erase_events(workspace, columns, users, rewriter)
        doomed = together(users, orphans(workspace, named))
        self._record.note_objects(_held(workspace, doomed))
        self._next()
        erase_derived(workspace, columns, doomed, rewriter)
        self._next()
        runs = self._runs()
        eraser = RunEraser(columns, doomed, rewriter)
        for run in runs:
            eraser.erase(run)
        self._next()
        replaced, left = SinkEraser(workspace, columns, doomed).erase(
            self._config, self._record.name
        )
        for run in runs:
            renew_receipts(run, replaced, rewriter)
        rewriter.flush()
        self._next()
        for run in runs:
            eraser.redraw(run, redraw)
        self._next()
        _blank_caches(workspace, doomed)
        forget_keys(workspace, doomed)
        self._next()
        return self._record.finish(left)

    def _runs(self) -> list[Run]:
        folder = self._workspace.root / "runs"
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        return [self._workspace.run(name) for name in names if (folder / name).is_dir()]

    def _next(self) -> None:
        what = STEPS[self._step] if self._step < len(STEPS) else "done"
        self._tell(self._step, len(STEPS), what)
        self._step += 1


def forget_keys(workspace: Workspace, doomed: Doomed) -> None:
    """Take the keys out of the id dictionaries; their indices stay taken, with no key."""
    for kind in entity_types(workspace):
        keys = pl.Series(sorted(doomed.keys.get(kind, ())), dtype=pl.String)
        forget(workspace.root / "ids" / kind, keys)


class _Record:
    """What is told of an erasure, for whoever has to answer for it."""

    def __init__(self, workspace: Workspace, stones: Tombstones, request: Request) -> None:
        self._workspace = workspace
        asked = stones.mark(
            "request", json.dumps([request.entity_type, *sorted(request.keys)], ensure_ascii=False)
        )
        self.name = asked[:16]
        self._path = workspace.root / FOLDER / "records" / f"{self.name}.json"
        self._before: dict[str, Any] = read_json(self._path) if self._path.is_file() else {}
        self._facts = self._before or {
            "erasure": self.name,
            "request": asked,
            "entity_type": request.entity_type,
            "asked": len(request.keys),
            "started_at": _now(),
            "state": "open",
        }

    def begin(self, held: dict[str, int]) -> None:
        """Say that the erasure is under way, unless it is done and nobody came back."""
        self._count("found", held)
        if self._facts["state"] == "done" and any(held.values()):
            self._facts["state"] = "open"
        if self._facts["state"] == "open":
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_json(self._path, self._facts)
            failpoint("erase:begun")

    def note_objects(self, held: dict[str, int]) -> None:
        """Say how many entities go, objects that nobody names any more among them."""
        self._count("erased", held)
        if self._facts["state"] == "open":
            replace_json(self._path, self._facts)

    def finish(self, left: list[str]) -> dict[str, Any]:
        """Close the record; an erasure that found nothing to do leaves it as it is."""
        facts = {
            **self._facts,
            "state": "done",
            "stores": _stores(self._workspace, self.name),
            "models": flagged_models(self._workspace, self.name),
            "sinks_left": left,
        }
        if {**facts, "finished_at": self._before.get("finished_at")} == self._before:
            return self._before
        facts["finished_at"] = _now()
        replace_json(self._path, facts)
        failpoint("erase:recorded")
        return facts

    def _count(self, name: str, held: dict[str, int]) -> None:
        """Keep the larger count: a resumed erasure no longer finds all of them."""
        before = self._facts.get(name, {})
        kinds = sorted(before.keys() | {kind for kind, number in held.items() if number})
        self._facts = {
            **self._facts,
            name: {kind: max(before.get(kind, 0), held.get(kind, 0)) for kind in kinds},
        }


def _held(workspace: Workspace, doomed: Doomed) -> dict[str, int]:
    """How many of the doomed the id dictionaries know, by type."""
    found = {}
    for kind in entity_types(workspace):
        keys = pl.Series(sorted(doomed.keys.get(kind, ())), dtype=pl.String).implode()
        found[kind] = workspace.ids(kind).frame.filter(pl.col("key").is_in(keys)).height
    return found


def _stores(workspace: Workspace, erasure: str) -> list[dict[str, Any]]:
    """Every folder this erasure rewrote, with the rows taken out and its manifest's digest."""
    found = []
    for path in sorted(workspace.root.rglob(MANIFEST)):
        rows = read_json(path).get("erasures", {}).get(erasure)
        if rows is not None:
            place = path.parent.relative_to(workspace.root).as_posix()
            found.append({"path": place, "rows": rows, "version": file_digest(path)})
    return found


def _blank_caches(workspace: Workspace, doomed: Doomed) -> None:
    """Names of files may hold keys."""
    files: list[Path] = [*workspace.root.glob("*.json"), *workspace.root.glob("cache/**/*.json")]
    for path in sorted(files):
        value = read_json(path)
        new = doomed.mentions.without(value)
        if new is not value:
            replace_json(path, new)


def _now() -> str:
    return datetime.now(tz=UTC).isoformat()

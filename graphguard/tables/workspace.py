"""The workspace: shared partitions, runs, the pointer to the newest run, and the lease.

```
ids/<type>/<first>-<end>.arrow                  key <-> storage index, append-only
store/<table>/<partition>/<fingerprint>/        immutable, shared by nights
runs/<run_id>/<stage>/                          immutable, one folder a stage
runs/<run_id>/run.json                          how the run ended
CURRENT                                         name of the newest committed run
LEASE, LOCK                                     who may write, and the moment in which it is decided
FORMAT                                          who may open it: see `graphguard.tables.formats`
erasure/                                        who was erased: see `graphguard.tables.tombstones`
```
A partition's fingerprint names all that went into it, so a night computes just the partitions
that are missing, and late or changed input makes a new partition beside the old one.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import filelock

from graphguard.errors import ArtefactInvalid, NoRun, NotCommitted, PointerWrong
from graphguard.tables.commit import is_committed, read_manifest
from graphguard.tables.files import read_json, replace_json
from graphguard.tables.formats import mark_format, refuse_newer
from graphguard.tables.ids import IdStore
from graphguard.tables.lease import Lease, fenced

RUN_FILE = "run.json"
CLAIMS = "claims"
"""Folder of the locks that processes of one back-fill hold against each other."""


class Workspace:
    """A folder of tables and runs.

    Raises:
        WorkspaceNewer: A program that stores otherwise has written there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        refuse_newer(root)

    @contextmanager
    def locked(self, wait_s: float = 0.0, ttl_s: float = 120.0) -> Iterator[None]:
        """Hold the workspace's lease.

        Args:
            wait_s: How long to wait for another holder, seconds.
            ttl_s: How long this process may show no sign of life before another may take over.

        Raises:
            WorkspaceBusy: Another process holds it for longer than `wait_s` seconds.
            WorkspaceNewer: A program that stores otherwise has written there meanwhile.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        lease = Lease(self.root, ttl_s)
        lease.acquire(wait_s)
        try:
            mark_format(self.root)
            yield
        finally:
            lease.release()

    @contextmanager
    def claimed(self, name: str) -> Iterator[None]:
        """Wait for, then hold, one named part of the workspace: for processes of one owner.

        The owner of the workspace's lock starts them; a process that dies lets go of its claims.
        """
        folder = self.root / CLAIMS
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / f"{name.replace('/', '.')}.lock"):
            yield

    def ids(self, entity_type: str) -> IdStore:
        """Load the id dictionary of one entity type."""
        return IdStore(self.root / "ids" / entity_type)

    def partition(self, table: str, partition: str, fingerprint: str) -> Path:
        """Final folder of a shared partition, whether it is there or not."""
        return self.root / "store" / table / partition / fingerprint

    def run(self, run_id: str) -> "Run":
        """The run of that name, whether it is there or not."""
        return Run(self, run_id)

    def committed_runs(self) -> list["Run"]:
        """Finished runs by as_of, then by the order in which they were committed."""
        folder = self.root / "runs"
        found = []
        for path in sorted(folder.glob(f"*/{RUN_FILE}")) if folder.is_dir() else []:
            facts = read_facts(path)
            if facts.get("state") == "committed":
                found.append((facts["as_of"], facts["sequence"], Run(self, path.parent.name)))
        return [run for _, _, run in sorted(found, key=lambda one: one[:2])]

    def runs_with(self, stage: str, as_of: date) -> list["Run"]:
        """Runs of this day or before it that have a stage, finished or not, newest day first.

        A run whose frozen config cannot be read has no day, and is left out.
        """
        folder = self.root / "runs"
        found = []
        for path in folder.iterdir() if folder.is_dir() else []:
            if not is_committed(path / stage):
                continue
            with suppress(ArtefactInvalid):
                day = read_json(path / "config.json")["as_of"]
                if day <= as_of.isoformat():
                    found.append((day, path.name))
        return [Run(self, name) for _, name in sorted(found, reverse=True)]

    def earlier_runs(self, as_of: date) -> list["Run"]:
        """Committed runs with a smaller as_of, newest first, the newest run of each day."""
        by_day: dict[str, Run] = {}
        for run in self.committed_runs():
            by_day[run.facts()["as_of"]] = run
        return [by_day[day] for day in sorted(by_day, reverse=True) if day < as_of.isoformat()]

    def previous_run(self, as_of: date) -> "Run | None":
        """The newest committed run with a smaller as_of; never a later day."""
        return next(iter(self.earlier_runs(as_of)), None)

    def current_run(self) -> "Run":
        """The run that CURRENT points to.

        Raises:
            NotCommitted: No run was committed yet.
            PointerWrong: The pointer is damaged, or its run is gone.
        """
        pointer = self.root / "CURRENT"
        if not pointer.is_file():
            message = f"a committed run in {self.root}"
            raise NotCommitted(message, "report")
        return self._pointed(pointer)

    def point_to(self, run: "Run") -> None:
        """Make `run` the current one, unless a run of a later day is current already."""
        pointer = self.root / "CURRENT"
        with fenced(pointer):
            self._point(pointer, run)

    def _point(self, pointer: Path, run: "Run") -> None:
        # What points nowhere keeps no later day current.
        with suppress(PointerWrong):
            if pointer.is_file():
                held = self._pointed(pointer)
                if held.run_id != run.run_id and held.facts()["as_of"] > run.facts()["as_of"]:
                    return
        replace_json(pointer, {"run_id": run.run_id})

    def _pointed(self, pointer: Path) -> "Run":
        try:
            named = read_json(pointer)
        except ArtefactInvalid as error:
            raise PointerWrong(pointer, error.reason) from error
        name = named.get("run_id") if isinstance(named, dict) else None
        if not isinstance(name, str):
            raise PointerWrong(pointer, "names no run")
        run = Run(self, name)
        if not (run.folder / RUN_FILE).is_file():
            raise PointerWrong(pointer, f"names run '{name}', of which there is no {RUN_FILE}")
        return run


@dataclass(frozen=True)
class Run:
    """One night's outputs: a folder a stage, and run.json at the end."""

    workspace: Workspace
    run_id: str

    @property
    def folder(self) -> Path:
        """The run's own folder."""
        return self.workspace.root / "runs" / self.run_id

    def stage(self, stage: str) -> Path:
        """Final folder of a stage, whether it is there or not."""
        return self.folder / stage

    def kept(self, stage: str) -> Path:
        """Folder of what a stage keeps over a kill; removed once the stage is committed.

        An erasure removes it too, with all else that begins with `.tmp-`.
        """
        return self.folder / f".tmp-kept-{stage}"

    def has(self, stage: str) -> bool:
        """Whether a stage was committed."""
        return is_committed(self.stage(stage))

    def file(self, stage: str, name: str) -> Path:
        """Path of a file that a committed stage wrote.

        Raises:
            NotCommitted: The stage or the file is not there.
        """
        path = self.stage(stage) / name
        if not self.has(stage) or not path.exists():
            message = f"{name} of run {self.run_id}"
            raise NotCommitted(message, stage)
        return path

    def manifest(self, stage: str) -> dict[str, Any]:
        """The manifest of a committed stage."""
        if not self.has(stage):
            message = f"stage '{stage}' of run {self.run_id}"
            raise NotCommitted(message, stage)
        return read_manifest(self.stage(stage))

    def partitions(self, stage: str, table: str) -> dict[str, Path]:
        """Folders of the shared partitions of `table` that the stage settled on, by name."""
        names = self.manifest(stage)["partitions"].get(table, {})
        return {
            partition: self.workspace.partition(table, partition, fingerprint)
            for partition, fingerprint in sorted(names.items())
        }

    def facts(self) -> dict[str, Any]:
        """The content of run.json."""
        return read_facts(self.folder / RUN_FILE)


def read_facts(path: Path) -> dict[str, Any]:
    """The content of a `run.json`.

    Raises:
        ArtefactInvalid: It is no JSON, or does not say what every run says.
    """
    facts = read_json(path)
    if not isinstance(facts, dict) or not facts.keys() >= {"as_of", "sequence", "state"}:
        reason = "does not say as_of, sequence and state"
        raise ArtefactInvalid(path, reason)
    return facts


def find_run(path: Path) -> Run:
    """The run at `path`: a run's folder, or a workspace (then its current run).

    Raises:
        NoRun: Neither is there.
    """
    if (path / RUN_FILE).is_file():
        return Workspace(path.parent.parent).run(path.name)
    if (path / "CURRENT").is_file():
        return Workspace(path).current_run()
    raise NoRun(str(path))

"""Atomic commit of a folder: written aside, given a manifest, renamed into place.

A folder that has a `manifest.json` under its final name is complete; nothing else counts. Outputs
are immutable: a folder that is already there is never written again. Many small folders are
committed in batches: hundreds of syncs, one file each, would take longer than the work.
"""

import ctypes
import glob
import os
import re
import resource
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from graphguard.errors import ArtefactInvalid, LeaseLost
from graphguard.tables.failpoint import failpoint
from graphguard.tables.files import (
    file_digest,
    read_json,
    sync_filesystem,
    sync_folder,
    write_json,
)
from graphguard.tables.lease import fenced, lease_over
from graphguard.tables.threads import threads

MANIFEST = "manifest.json"
VOLATILE = ("seconds", "daily_seconds", "peak_memory_mb", "host", "committed_at")
"""Manifest entries that may differ between two runs with equal results."""
MOST_WAITING, LONGEST_WAIT_S = 128, 20.0
"""A batch is flushed at so many folders, or after so many seconds: what a kill may cost."""
MANY_FILES = 8
"""A folder of so many files is a stage's, and worth threads; a day's is written by one already."""


def is_committed(folder: Path) -> bool:
    """Whether `folder` was committed whole."""
    return (folder / MANIFEST).is_file()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a committed folder."""
    manifest: dict[str, Any] = read_json(folder / MANIFEST)
    return manifest


@contextmanager
def committing(final: Path, facts: dict[str, Any]) -> Iterator[Path]:
    """Give a scratch folder to write in; on leaving, commit it under the name `final`.

    `facts` goes into the manifest as it is at the end, so the caller may fill it while writing.
    An error inside leaves nothing under `final`; leftovers of killed writers are removed.
    """
    with _written_aside(final, facts) as aside:
        yield aside
    _sync_files(aside)
    sync_folder(aside)
    with _fenced([aside]):
        _move(aside, final)
        sync_folder(final.parent)
    failpoint(f"committed:{_point(final)}")


class CommitBatch:
    """Commits folders together: all are on disk before the first gets its final name.

    Leaving the `with` block flushes what is complete, after an error too, so that work done is
    kept; a killed process loses the folders since the last flush, and nothing else. Several threads
    may write folders of one batch; a thread of its own flushes, and what goes wrong there ends
    whatever is committed next, or the block.
    """

    def __init__(self, before: Callable[[], None] | None = None) -> None:
        """Keep what must be on disk first.

        Args:
            before: Called before each flush; saves what the folders refer to.
        """
        self._before = before
        self._waiting: list[tuple[Path, Path]] = []
        self._flushed = time.monotonic()
        self._turn, self._flushing = threading.Lock(), threading.Lock()
        self._lost: OSError | None = None
        self._flusher = ThreadPoolExecutor(1)
        self._begun: Future[None] | None = None

    def __enter__(self) -> Self:
        """Begin a batch."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Flush what is complete."""
        with self._flusher:
            try:
                if self._begun is not None:
                    self._begun.result()
            finally:
                self.flush()

    @contextmanager
    def committing(self, final: Path, facts: dict[str, Any]) -> Iterator[Path]:
        """As `committing`, but the folder gets its final name at the next flush."""
        with _written_aside(final, facts) as aside:
            yield aside
        with self._turn:
            self._waiting.append((aside, final))
            waited = time.monotonic() - self._flushed
            due = len(self._waiting) >= MOST_WAITING or waited > LONGEST_WAIT_S
            ended = self._begun if self._begun is not None and self._begun.done() else None
            if ended is not None:
                self._begun = None
            if due and self._begun is None:
                # Nobody who has work to do waits for the disk.
                self._begun = self._flusher.submit(self.flush)
        if ended is not None:
            ended.result()

    def flush(self) -> None:
        """Put all that is complete on disk, then under its final names.

        Other threads go on meanwhile: what they complete waits for the next flush. A system says
        only once that it lost what was written: after that nothing of the batch gets its name.
        """
        with self._flushing:
            with self._turn:
                ready, self._waiting, self._flushed = self._waiting, [], time.monotonic()
            try:
                self._commit(ready)
            except BaseException:
                with self._turn:
                    # What has its final name already is not to be moved over.
                    self._waiting[:0] = [one for one in ready if one[0].is_dir()]
                raise

    def _commit(self, ready: Sequence[tuple[Path, Path]]) -> None:
        if not ready:
            return
        root = ready[0][1].parent
        with _fenced([aside for aside, _ in ready]):
            if self._lost is None and self._before is not None:
                self._before()
            try:
                if self._lost is not None:
                    raise self._lost
                sync_filesystem(root)
            except OSError as error:
                self._lost = error
                for aside, _ in ready:
                    shutil.rmtree(aside, ignore_errors=True)
                raise
            for aside, final in ready:
                _move(aside, final)
            sync_filesystem(root)
        for _, final in ready:
            failpoint(f"committed:{_point(final)}")


@contextmanager
def _written_aside(final: Path, facts: dict[str, Any]) -> Iterator[Path]:
    """Give a scratch folder; on leaving it has its manifest, but is neither synced nor moved."""
    aside = _aside(final)
    aside.mkdir()
    started = time.monotonic()
    point = _point(final)
    failpoint(f"begin:{point}")
    try:
        yield aside
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    failpoint(f"written:{point}")
    manifest = {
        **facts,
        "files": _digests(aside),
        "seconds": round(time.monotonic() - started, 3),
        "peak_memory_mb": peak_memory_mb(),
    }
    write_json(aside / MANIFEST, manifest, durable=False)


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below `folder`, by its name there."""
    return _each_digest(folder, sorted(_files(folder)))


def _each_digest(folder: Path, files: Sequence[Path]) -> dict[str, str]:
    if len(files) < MANY_FILES:
        digests = [file_digest(path) for path in files]
    else:
        with threads() as pool:
            digests = pool.each(file_digest, files)
    return {str(path.relative_to(folder)): one for path, one in zip(files, digests, strict=True)}


def _aside(final: Path) -> Path:
    """Name of a scratch folder; those of killed writers and of earlier holders are removed.

    It carries the token of the lease: a holder that was replaced and does not know it yet may still
    write into its own.
    """
    lease = lease_over(final)
    token = 0 if lease is None else lease.token
    stem = f".tmp-{final.name}"
    try:
        final.parent.mkdir(parents=True)
    except FileExistsError:
        _remove_left(final.parent, stem, token)
    return final.with_name(f"{stem}.{token}" if token else stem)


def _remove_left(parent: Path, stem: str, token: int) -> None:
    for path in parent.glob(glob.escape(stem) + "*"):
        mark = path.name.removeprefix(stem)
        if re.fullmatch(r"(\.\d+)?", mark) and int(mark[1:] or 0) <= token:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _fenced(asides: Sequence[Path]) -> Iterator[None]:
    """Commit as the holder of the lease; whoever lost it leaves nothing behind."""
    try:
        with fenced(asides[0]):
            yield
    except LeaseLost:
        for aside in asides:
            shutil.rmtree(aside, ignore_errors=True)
        raise


def _move(aside: Path, final: Path) -> None:
    failpoint(f"rename:{_point(final)}")
    if final.exists():
        shutil.rmtree(final)
    os.rename(aside, final)


def _point(final: Path) -> str:
    """Name of a folder for failpoints, the same on every night: its table, or its stage."""
    parts = (final.name, final.parent.name, final.parent.parent.name)
    dated = [part.startswith(("dt=", "anchor=")) for part in parts]
    return parts[dated.index(True) + 1] if any(dated[:2]) else final.name


def verify(folder: Path) -> None:
    """Compare every file of a committed folder with its manifest.

    Raises:
        ArtefactInvalid: A file is missing or has other bytes.
    """
    named: dict[str, str] = read_manifest(folder)["files"]
    for name in named:
        if not (folder / name).is_file():
            raise ArtefactInvalid(folder / name, "is missing, though the manifest names it")
    for name, digest in _each_digest(folder, [folder / name for name in named]).items():
        if digest != named[name]:
            raise ArtefactInvalid(folder / name, "has other bytes than its manifest says")


def peak_memory_mb() -> int:
    """Largest resident memory of this process so far, in mebibytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def give_back_memory() -> None:
    """Give free memory to the system: what one stage held is of no use to the next."""
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _files(folder: Path) -> list[Path]:
    """Every file below a folder, by one look into each: a night commits hundreds."""
    return [Path(place, name) for place, _, names in os.walk(folder) for name in names]


def _sync_files(folder: Path) -> None:
    files = _files(folder)
    # A sync waits for the disk, which takes several at a time.
    with threads() as pool:
        pool.each(_sync, files)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())

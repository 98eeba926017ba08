"""The lease on a workspace: one holder at a time, for a time, under a token that only grows.

`LEASE` names the holder, its token and when its time is up; a thread renews it. A holder that is
dead, or that has not renewed in time (stopped, cut off, starved), may be replaced; the next has a
larger token. Whoever commits does so inside `fenced`, which holds `LOCK` and refuses a holder whose
token is no longer the newest: a process that wakes up late can finish nothing.

`LOCK` is held for moments only, so that a stopped process does not keep the workspace.
"""

import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import filelock
import psutil

from graphguard.errors import LeaseLost, WorkspaceBusy

LOCK_FILE, LEASE_FILE = "LOCK", "LEASE"
GUARD_S = 10.0
"""How long a moment's lock is waited for: its holder is at one rename, or stopped there."""
POLL_S = 0.05
_HELD: dict[Path, "Lease"] = {}
"""Leases that this process holds, by workspace."""


@dataclass(frozen=True)
class Holder:
    """What `LEASE` says; `name` is empty where nobody holds it."""

    token: int = 0
    name: str = ""
    host: str = ""
    pid: int = 0
    born: float = 0.0
    """When the process began; with the pid it names a process for ever."""
    expires: float = 0.0
    """Seconds since 1970, by the clock of the holder's host."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host.split('/')[0]} (token {self.token})"


class Lease:
    """A workspace's lease; `acquire` it, then commit inside `fenced`.

    Args:
        root: The workspace.
        ttl_s: Seconds without a sign of life after which another may take over.
        clock: Gives the seconds since 1970.
    """

    def __init__(self, root: Path, ttl_s: float, clock: Callable[[], float] = time.time) -> None:
        self.root, self.ttl_s, self._clock = root.resolve(), ttl_s, clock
        self.token = 0
        self._name = uuid.uuid4().hex
        self._guard = filelock.FileLock(self.root / LOCK_FILE)
        self._turn = threading.RLock()
        self._ended = threading.Event()
        self._renewer: threading.Thread | None = None

    def acquire(self, wait_s: float = 0.0) -> None:
        """Become the holder.

        Raises:
            WorkspaceBusy: Another holds the lease for longer than `wait_s` seconds.
        """
        until = time.monotonic() + wait_s
        while True:
            with self._guarded():
                held = self._read()
                if self._is_free(held):
                    self.token = held.token + 1
                    self._write(durable=True)
                    break
            if time.monotonic() >= until:
                raise WorkspaceBusy(self.root / LOCK_FILE, str(held))
            time.sleep(POLL_S)
        _HELD[self.root] = self
        self._renewer = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._renewer.start()

    def release(self) -> None:
        """Let go, if it is still ours."""
        _HELD.pop(self.root, None)
        self._ended.set()
        if self._renewer is not None:
            self._renewer.join()
        with suppress(LeaseLost, WorkspaceBusy), self._guarded():
            self._check()
            self._put(Holder(token=self.token), durable=False)

    @contextmanager
    def fenced(self) -> Iterator[None]:
        """Nobody can take over while the block runs.

        Raises:
            LeaseLost: Another has taken over before.
        """
        with self._guarded():
            held = self._check()
            yield
            # A long commit is a sign of life, and kept the thread from giving one.
            if held.expires - self._clock() < self.ttl_s * 2 / 3:
                self._write(durable=False)

    def _keep(self) -> None:
        while not self._ended.wait(self.ttl_s / 3):
            try:
                with self._guarded():
                    self._check()
                    self._write(durable=False)
            except WorkspaceBusy:
                continue
            except LeaseLost:
                return

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        # A thread of this process that puts much on a slow disk is waited for, however long.
        with self._turn:
            try:
                self._guard.acquire(timeout=GUARD_S, poll_interval=POLL_S / 5)
            except filelock.Timeout as error:
                raise WorkspaceBusy(self.root / LOCK_FILE, str(self._read())) from error
            try:
                yield
            finally:
                self._guard.release()

    def _check(self) -> Holder:
        held = self._read()
        if (held.token, held.name) != (self.token, self._name):
            raise LeaseLost(self.root / LEASE_FILE, self.token, str(held))
        return held

    def _is_free(self, held: Holder) -> bool:
        if not held.name or self._clock() >= held.expires:
            return True
        return held.host == _host() and not _lives(held)

    def _read(self) -> Holder:
        try:
            facts: dict[str, Any] = json.loads((self.root / LEASE_FILE).read_text("utf-8"))
        except FileNotFoundError:
            return Holder()
        return Holder(**facts)

    def _write(self, *, durable: bool) -> None:
        pid = os.getpid()
        born = psutil.Process(pid).create_time()
        expires = self._clock() + self.ttl_s
        self._put(Holder(self.token, self._name, _host(), pid, born, expires), durable=durable)

    def _put(self, holder: Holder, *, durable: bool) -> None:
        aside = self.root / f".{LEASE_FILE}.{os.getpid()}"
        with aside.open("w", encoding="utf-8") as file:
            file.write(json.dumps(asdict(holder)) + "\n")
            if durable:
                # A token that was given out is never given out again, after a power loss either.
                file.flush()
                os.fsync(file.fileno())
        os.replace(aside, self.root / LEASE_FILE)


@contextmanager
def fenced(path: Path) -> Iterator[None]:
    """Commit below a workspace that this process holds: nobody takes over while the block runs.

    Where this process holds no lease over `path`, as in a workspace of one's own, there is nothing
    to guard.

    Raises:
        LeaseLost: The workspace was taken over by another.
    """
    lease = lease_over(path)
    if lease is None:
        yield
        return
    with lease.fenced():
        yield


def lease_over(path: Path) -> Lease | None:
    """The lease that this process holds on the workspace around `path`."""
    if not _HELD:
        return None
    # To resolve a path asks the system of each of its folders, hundreds of times a night.
    if path.is_absolute() and ".." not in path.parts:
        held = _held_around(path)
        if held is not None:
            return held
    return _held_around(path.resolve())


def _held_around(path: Path) -> Lease | None:
    return next((_HELD[one] for one in (path, *path.parents) if one in _HELD), None)


def _host() -> str:
    """This machine since its start, and the process numbers it shares with others."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return "/".join(parts)


def _lives(holder: Holder) -> bool:
    try:
        process = psutil.Process(holder.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(process.create_time() - holder.born) < 1.0
    except psutil.NoSuchProcess:
        return False

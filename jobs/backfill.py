"""Back-fill: the nights of many days, equal to running them one by one, in less time.

Ingest runs in day order, since ids are given in order of arrival. Build, link and featurize of
the days read only what ingest left, so they run in parallel processes, which wait for each other
where they would make the same partition. Train to report run in day order, since each night
carries on the one before. One lock is held from first to last, and what is committed stays: after
a kill the same command goes on.
"""

import ctypes
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from typing import Any

from graphguard.config.sections import Config
from graphguard.errors import BackfillStopped, BadSetting, Exit, GateError, NothingToDo
from graphguard.jobs.context import Job, Reporter, Silent
from graphguard.jobs.nightly import (
    Night,
    commit_run,
    exit_code_of,
    open_job,
    require_as_of,
    run_stages,
)
from graphguard.jobs.pipeline import PIPELINE, STAGE_NAMES
from graphguard.tables.engine import open_engine
from graphguard.tables.tombstones import refuse_half_erased
from graphguard.tables.workspace import CLAIMS, RUN_FILE, Run, Workspace

FIRST = PIPELINE[: STAGE_NAMES.index("build_graph")]
BESIDE = PIPELINE[STAGE_NAMES.index("build_graph") : STAGE_NAMES.index("train")]
"""Stages that read no other night: days of these run beside each other."""
LAST = PIPELINE[STAGE_NAMES.index("train") :]
DIE_WITH_PARENT = 1
"""prctl's PR_SET_PDEATHSIG."""


@dataclass(frozen=True)
class Backfill:
    """What to run.

    Attributes:
        config: The config; its own `as_of` plays no part.
        since: First cutoff.
        until: Last cutoff, included.
        jobs: Nights prepared at the same time; each takes a night's memory.
        reporter: Where to tell progress.
    """

    config: Config
    since: date
    until: date
    jobs: int = 1
    reporter: Reporter = field(default_factory=Silent)


def run_backfill(backfill: Backfill) -> list[Run]:
    """Run the nights from `since` to `until` that are not committed yet, as `nightly` would.

    A night without logs, where the config allows that, is passed over; one whose gate is red is
    committed without export, and the next goes on.

    Returns:
        The runs in order of day, those that were done before too.

    Raises:
        BadSetting: `since` is after `until`.
        WorkspaceBusy: Another run holds the workspace.
        BackfillStopped: A night failed; it has that night's exit code.
        GateError: All nights are done, and some have a red gate.
    """
    if backfill.since > backfill.until:
        place, name = "command line", "--since"
        raise BadSetting(place, name, f"{backfill.since} comes after --until {backfill.until}")
    workspace = Workspace(backfill.config.workspace_folder)
    with workspace.locked(ttl_s=backfill.config.limits.lease.us / 1e6):
        refuse_half_erased(workspace.root)
        jobs = [job for job in map(_Ingest(backfill, workspace), _days(backfill)) if job]
        waiting = [job for job in jobs if not _is_done(job.run)]
        _prepare_all(backfill, waiting)
        red = _finish_all(backfill, waiting)
        shutil.rmtree(workspace.root / CLAIMS, ignore_errors=True)
    if red:
        message = f"{len(red)} nights have a red gate and were not exported: {'; '.join(red)}"
        raise GateError(message)
    return [job.run for job in jobs]


class _Ingest:
    """Ingests one day after the other."""

    def __init__(self, backfill: Backfill, workspace: Workspace) -> None:
        self._backfill, self._workspace = backfill, workspace

    def __call__(self, day: date) -> Job | None:
        config = self._backfill.config.model_copy(update={"as_of": day})
        reporter = self._backfill.reporter
        job = open_job(Night(config, reporter=reporter), self._workspace)
        if _is_done(job.run):
            reporter.note(f"{day}: done before")
            return job
        with _stopping(day):
            try:
                run_stages(job, FIRST)
            except NothingToDo as error:
                reporter.note(f"{day}: {error}")
                return None
        return job


def _prepare_all(backfill: Backfill, jobs: Sequence[Job]) -> None:
    """Build, link and featurize every night, some at the same time."""
    clock = _Clock(backfill.reporter, "prepared", len(jobs))
    if backfill.jobs == 1 or len(jobs) < 2:
        for job in jobs:
            with _stopping(job.as_of):
                run_stages(job, BESIDE)
            clock.tick()
        return
    context = multiprocessing.get_context("spawn")
    left = list(jobs)
    running: dict[Any, tuple[SpawnProcess, Job]] = {}
    try:
        while left or running:
            while left and len(running) < backfill.jobs:
                job = left.pop(0)
                child = context.Process(target=_prepare, args=(job.config, job.run.run_id))
                with _threads(backfill.jobs):
                    child.start()
                running[child.sentinel] = (child, job)
            for ended in wait(list(running)):
                child, job = running.pop(ended)
                child.join()
                if child.exitcode:
                    raise _stopped(job, child.exitcode)
                clock.tick()
    finally:
        for child, _ in running.values():
            child.kill()
            child.join()


def _prepare(config: Config, run_id: str) -> None:
    """One night's part that needs no other night; runs in a process of its own."""
    _die_with_parent()
    workspace = Workspace(config.workspace_folder)
    # A process that outlived a killed back-fill may still be at it.
    with workspace.claimed(f"run.{run_id}"), closing(open_engine(config)) as engine:
        run = workspace.run(run_id)
        job = Job(config, require_as_of(config), run, engine=engine, beside=True)
        try:
            run_stages(job, BESIDE)
        except Exception as error:  # noqa: BLE001 - told in run.json, and by the exit code
            sys.exit(int(exit_code_of(error)))


def _finish_all(backfill: Backfill, jobs: Sequence[Job]) -> list[str]:
    """Train to report in day order; returns what is red."""
    clock = _Clock(backfill.reporter, "done", len(jobs))
    red = []
    for waiting in jobs:
        # The night before is committed by now.
        previous = waiting.workspace.previous_run(waiting.as_of)
        job = replace(waiting, previous=previous)
        with _stopping(job.as_of):
            run_stages(job, LAST)
            try:
                commit_run(job)
            except GateError as error:
                red.append(f"{job.as_of}: {error}")
                backfill.reporter.note(red[-1])
        clock.tick()
    return red


class _Clock:
    """Tells how many nights are through, and how long the others will take at that pace."""

    def __init__(self, reporter: Reporter, what: str, total: int) -> None:
        self._reporter, self._what, self._total = reporter, what, total
        self._done, self._started = 0, time.monotonic()

    def tick(self) -> None:
        self._done += 1
        left = (time.monotonic() - self._started) / self._done * (self._total - self._done)
        self._reporter.note(
            f"{self._done} of {self._total} nights {self._what}, about {left / 60:.1f} min left",
            done=self._done,
            total=self._total,
            seconds_left=round(left, 1),
        )


@contextmanager
def _stopping(day: date) -> Iterator[None]:
    """Say which night failed."""
    try:
        yield
    except NothingToDo:
        raise
    except Exception as error:
        raise BackfillStopped(day, str(error), exit_code_of(error)) from error


def _stopped(job: Job, exitcode: int) -> BackfillStopped:
    path = job.run.folder / RUN_FILE
    if exitcode < 0:
        name = signal.Signals(-exitcode).name
        return BackfillStopped(job.as_of, f"its process was ended by {name}", Exit.TRANSIENT)
    reason = job.run.facts()["reason"] if path.is_file() else f"its process ended with {exitcode}"
    known = {int(code) for code in Exit}
    return BackfillStopped(job.as_of, reason, Exit(exitcode) if exitcode in known else Exit.BUG)


def _is_done(run: Run) -> bool:
    return (run.folder / RUN_FILE).is_file() and run.facts()["state"] == "committed"


def _days(backfill: Backfill) -> list[date]:
    span = (backfill.until - backfill.since).days
    return [backfill.since + timedelta(days=n) for n in range(span + 1)]


@contextmanager
def _threads(jobs: int) -> Iterator[None]:
    """Share the cores among the children, who read their number when they start."""
    share = str(max((os.cpu_count() or 1) // jobs, 1))
    names = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, share))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _die_with_parent() -> None:
    """Let the system end this process with its parent (Linux): a killed back-fill leaves none."""
    call: Any = getattr(ctypes.CDLL(None), "prctl", None)
    if call is not None:
        call(DIE_WITH_PARENT, int(signal.SIGKILL))

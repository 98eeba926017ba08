"""Progress: bars on a terminal with rich, lines in a file, JSON lines for a log collector."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from graphguard.jobs.context import Reporter

BETWEEN_LINES = 30.0
"""Seconds at least between two lines about one stage's steps, in a file."""


class TimeLeft:
    """Estimates the seconds left of steps that all take about as long."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first = (0, 0.0)
        self._total = 0

    def after(self, done: int, total: int) -> float | None:
        """Seconds left after a step; None where none has been timed yet.

        Another total, or fewer steps done, is other work: the estimate begins anew.
        """
        now = self._clock()
        if total != self._total or done < self._first[0]:
            self._first, self._total = (done, now), total
        timed = done - self._first[0]
        return None if timed <= 0 else (now - self._first[1]) / timed * (total - done)


class JsonLines:
    """One JSON object a line on stderr: stages, steps at most once a second, notes."""

    def __init__(self) -> None:
        self._last = 0.0
        self._left = TimeLeft()

    def stage(self, name: str, number: int, total: int) -> None:
        """Tell that a stage begins."""
        self._write("stage", stage=name, number=number, total=total)

    def step(self, done: int, total: int, what: str) -> None:
        """Tell how far the stage is, and about how long it will take yet."""
        now = time.monotonic()
        left = self._left.after(done, total)
        if now - self._last >= 1 or done == total:
            self._last = now
            told = {} if left is None else {"seconds_left": round(left, 1)}
            self._write("step", done=done, total=total, what=what, **told)

    def note(self, text: str, **facts: object) -> None:
        """Tell something worth a line."""
        self._write("note", text=text, **facts)

    def _write(self, event: str, **facts: object) -> None:
        line = json.dumps({"event": event, **facts}, default=str, ensure_ascii=False)
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


class Lines:
    """A line for each stage, note, and half a minute of steps, on stderr: what a file can keep."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stage = ""
        self._last = clock()
        self._left = TimeLeft(clock)

    def stage(self, name: str, number: int, total: int) -> None:
        """Tell that a stage begins."""
        self._stage, self._last = name, self._clock()
        self._write(f"{name} (stage {number} of {total})")

    def step(self, done: int, total: int, what: str) -> None:
        """Tell how far the stage is, and about how long it will take yet; not more often."""
        left = self._left.after(done, total)
        # The last step is told by what the stage notes.
        if done == total or self._clock() - self._last < BETWEEN_LINES:
            return
        self._last = self._clock()
        yet = "" if left is None else f", about {timedelta(seconds=round(left))} left"
        self._write(f"{self._stage}: {done:,} of {total:,} {what}".rstrip() + yet)

    def note(self, text: str, **facts: object) -> None:
        """Tell something worth a line."""
        self._write(text)

    def _write(self, text: str) -> None:
        sys.stderr.write(" ".join(text.splitlines()) + "\n")
        sys.stderr.flush()


class Bars:
    """A bar for the night and one for the stage, on stderr; notes stay above them."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._night: TaskID | None = None
        self._stage: TaskID | None = None

    def stage(self, name: str, number: int, total: int) -> None:
        """Move the night's bar and begin the stage's anew."""
        if self._night is None:
            self._night = self._progress.add_task("night", total=total, what="")
        self._progress.update(self._night, completed=number - 1, total=total)
        if self._stage is not None:
            self._progress.remove_task(self._stage)
        self._stage = self._progress.add_task(name, total=None, what="")

    def step(self, done: int, total: int, what: str) -> None:
        """Move the stage's bar."""
        if self._stage is not None:
            self._progress.update(self._stage, completed=done, total=total, what=what)

    def note(self, text: str, **facts: object) -> None:
        """Print a line above the bars."""
        self._progress.console.print(text, style="dim", markup=False, highlight=False)


@contextmanager
def reporting(*, json_logs: bool) -> Iterator[Reporter]:
    """Give the reporter that fits: JSON lines if asked for, bars on a terminal, else lines."""
    console = Console(stderr=True)
    if json_logs or not console.is_terminal:
        yield JsonLines() if json_logs else Lines()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[what]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bars(progress)

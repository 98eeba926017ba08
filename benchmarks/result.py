"""What benchmarks share: a work folder, a timed child with its peak memory, the last line."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).parents[1]
NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
WORKSPACES = "round_"


@dataclass(frozen=True)
class Timed:
    """What a child process took.

    Attributes:
        seconds: Wall time.
        processor_seconds: Of user and system, which other work beside it leaves nearly alone.
        peak_gb: Largest resident memory, 2**30 bytes.
        output: Its stdout.
    """

    seconds: float
    processor_seconds: float
    peak_gb: float
    output: str


def work_folder(name: str) -> Path:
    """Folder for logs and workspaces: `GRAPHGUARD_BENCH`, or build/bench of this project."""
    base = Path(os.environ.get("GRAPHGUARD_BENCH", TOP / "build" / "bench"))
    folder = base / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def new_workspace(folder: Path) -> Path:
    """A place for a workspace where none has been, below `folder`.

    For minutes after files were deleted, ext4 passes over their places one by one whenever it makes
    a file: two thousand made where two thousand were just deleted took .6 s more. So nothing is
    deleted between what is timed: `clear_workspaces` does when all is.
    """
    return Path(tempfile.mkdtemp(prefix=WORKSPACES, dir=folder)) / "workspace"


def clear_workspaces(folder: Path) -> None:
    """Delete all that `new_workspace` made, by earlier runs that were stopped too."""
    for place in folder.glob(WORKSPACES + "*"):
        shutil.rmtree(place)


def timed(command: Sequence[str]) -> Timed:
    """Run a command to its end, with its own peak of memory.

    Modules keep what they were compiled to, as pip leaves those that it installs: a shell that
    forbids it would have every start compile a checkout anew.

    Raises:
        CalledProcessError: It failed.
    """
    settings = {name: text for name, text in os.environ.items() if name != NO_BYTECODE}
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=settings) as child:
        output = child.stdout.read() if child.stdout else ""
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, list(command))
    processor = usage.ru_utime + usage.ru_stime
    return Timed(seconds, processor, usage.ru_maxrss / 2**20, output)


def graphguard(*arguments: str) -> list[str]:
    """The command line of GraphGuard in this environment."""
    return [sys.executable, "-c", "from graphguard.jobs.start import main; main()", *arguments]


def say(text: str) -> None:
    """Print a line of a table at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_result(figures: Mapping[str, object]) -> None:
    """The last line of every benchmark: `RESULT {json}`."""
    say("RESULT " + json.dumps(figures, sort_keys=True, allow_nan=False))

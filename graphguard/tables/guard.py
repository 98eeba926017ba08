"""Look at foreign files before the night does: in a process of its own, within limits.

A damaged or hostile file can crash a reader, hang it or eat its memory. So a new file is first read
by `graphguard.tables.prover`, which is started once, used for all files, and replaced when it dies.
"""

import contextlib
import json
import os
import selectors
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from graphguard.config.limits import LimitConfig
from graphguard.errors import DataError, FileBeyondLimit, FileUnreadable, ReaderMissing
from graphguard.tables.prover import answer

SILENCE_S = 10.0
"""A reader that says nothing for so long hangs; it speaks after every batch of rows."""
START_S = 60.0
"""How long a reader may take to start on a busy machine."""


@dataclass(frozen=True)
class FileLimits:
    """What one foreign file may be; settings of `limits` of the same names."""

    max_rows_per_file: int
    max_file_gb: float
    max_columns: int
    max_row_groups: int
    max_nesting: int
    max_footer_mb: int
    max_value_kb: int
    reader_memory_mb: int

    @classmethod
    def of(cls, limits: LimitConfig) -> Self:
        """The limits of a config."""
        return cls(**{name: getattr(limits, name) for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Proof:
    """What a file that may be read turned out to be."""

    rows: int
    page_checksums: bool
    """Whether its pages carry checksums."""


class Guard:
    """Proves files readable, one after another, in one process that is restarted on its death."""

    def __init__(self, limits: FileLimits, silence_s: float = SILENCE_S) -> None:
        self.limits, self._silence_s = limits, silence_s
        self.started = 0
        """How many processes were needed so far."""
        self._child: subprocess.Popen[bytes] | None = None
        self._pending = b""

    def __enter__(self) -> Self:
        """Nothing is started before the first file."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process."""
        self._stop()

    def prove(
        self,
        path: Path,
        columns: Sequence[str],
        *,
        coded: Sequence[str] = (),
        decode: bool,
        vouched: bool = False,
    ) -> Proof:
        """Look at a file's footer, and decode `columns` if `decode`.

        Args:
            path: The file.
            columns: Those that will be read.
            coded: Those of them that will be read as dictionaries.
            decode: Whether to decode them all.
            vouched: Whether a manifest vouches for the bytes: such a footer is opened here, since
                nothing damaged it on its way.

        Raises:
            FileBeyondLimit: It is larger than the limits allow.
            FileUnreadable: It is damaged, or its reader died or hung.
            ReaderMissing: The reader does not start.
        """
        request = {
            "path": str(path),
            "columns": list(columns),
            "coded": list(coded),
            "decode": decode,
            "limits": asdict(self.limits),
        }
        asked = json.dumps(request)
        found = _answer_here(asked) if vouched else self._answer(path, asked)
        if "refused" in found:
            raise _refusal(path, found)
        return Proof(**found["done"])

    def _answer(self, path: Path, request: str) -> dict[str, Any]:
        try:
            # A process may have been killed for want of memory elsewhere: a file is to blame when
            # a fresh one dies of it too.
            with contextlib.suppress(BrokenPipeError, EOFError):
                return self._ask(request)
            self._stop()
            return self._ask(request)
        except TimeoutError as error:
            self._stop()
            reason = f"its reader said nothing for {self._silence_s:g} s"
            raise FileUnreadable(path, reason) from error
        except (BrokenPipeError, EOFError) as error:
            raise FileUnreadable(path, f"its reader died, exit {self._stop()}") from error

    def _ask(self, request: str) -> dict[str, Any]:
        pipe = self._running().stdin
        if pipe is None:
            raise BrokenPipeError
        pipe.write(request.encode() + b"\n")
        pipe.flush()
        while True:
            found = self._line(self._silence_s)
            if found:
                return found

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            # Arenas of a pool would reserve addresses that the cap on memory counts.
            settings = {
                "ARROW_DEFAULT_MEMORY_POOL": "system",
                "MALLOC_ARENA_MAX": "1",
                "OMP_NUM_THREADS": "1",
                "POLARS_MAX_THREADS": "1",
            }
            self._child = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "graphguard.tables.prover",
                    str(self.limits.reader_memory_mb),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **settings},
            )
            self._pending = b""
            self.started += 1
            try:
                self._line(START_S)
            except (TimeoutError, EOFError) as error:
                raise ReaderMissing(self._stop()) from error
        return self._child

    def _line(self, seconds: float) -> dict[str, Any]:
        """The next line the process says; raises TimeoutError or EOFError."""
        pipe = self._child.stdout if self._child else None
        if pipe is None:
            raise EOFError
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                if not selector.select(seconds):
                    raise TimeoutError
                part = os.read(pipe.fileno(), 1 << 16)
                if not part:
                    raise EOFError
                self._pending += part
        line, _, self._pending = self._pending.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def _stop(self) -> int:
        child, self._child = self._child, None
        if child is None:
            return 0
        child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        return child.wait()


def _answer_here(request: str) -> dict[str, Any]:
    said: list[dict[str, Any]] = []
    answer(request, said.append)
    return said[-1]


def _refusal(path: Path, found: dict[str, Any]) -> DataError:
    if found["limit"]:
        return FileBeyondLimit(path, found["refused"], found["limit"])
    return FileUnreadable(path, found["refused"])

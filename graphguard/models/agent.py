"""Starts the ranks of a training and watches them, as torchrun does, with torchrun's own agent.

Started as `python -m graphguard.models.agent FOLDER` by `graphguard.models.ranks`. Where a rank
ends before its work is done, the others are ended, `failure.json` says which it was and how it
ended, and the exit code is 1.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from graphguard.models.base import read_json_object
from graphguard.models.ranks import FAILURE, LOGS, TASK

PR_SET_PDEATHSIG = 1
MONITOR_S = 0.5


def main(folder: Path) -> int:
    """Run the ranks to their end."""
    task = read_json_object(folder / TASK)
    die_with(int(task["parent"]))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=int(task["settings"]["ranks"]),
        run_id="graphguard",
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
        monitor_interval=MONITOR_S,
        logs_specs=DefaultLogsSpecs(log_dir=str(folder / LOGS), redirects=Std.ALL, tee=Std.NONE),
    )
    try:
        elastic_launch(config, sys.executable)("-m", "graphguard.models.rank", str(folder))
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        rank = first_to_end(codes)
        told = json.dumps({"rank": rank, "code": codes[rank]})
        (folder / FAILURE).write_text(told, encoding="utf-8")
        return 1
    return 0


def first_to_end(codes: dict[int, int]) -> int:
    """The rank that brought the others down with it.

    A rank that loses another fails too, within milliseconds, and torch may notice both at once.
    But it fails with exit code 1; and those that still run are then ended by SIGTERM.

    Args:
        codes: Exit codes of the ranks that failed, as noticed; below 0 where a signal ended one.
    """

    def follows(rank: int) -> int:
        code = codes[rank]
        if code in {1, -signal.SIGTERM}:
            return 2
        return 0 if code < 0 else 1

    return min(codes, key=follows)


def die_with(parent: int | None = None) -> None:
    """End when the process that started this one does: a new start would meet this one.

    Args:
        parent: That process; where it is another by now, this one ends at once.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "prctl"):
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        sys.exit(f"process {parent}, which started this one, has ended")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

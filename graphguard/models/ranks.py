"""Train one network by several processes of this machine: torchrun's agent starts and watches them.

The rows are written once and mapped by all ranks, as the graph is; each rank trains on its share
of every batch (`graphguard.models.team`), and rank 0 writes checkpoints, progress and the model. A
rank that dies ends them all, within seconds, and the next start goes on from the checkpoint.

The agent (`graphguard.models.agent`) is a process of its own: it takes signals for itself. It dies
with this process, and the ranks (`graphguard.models.rank`) with it.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import torch

from graphguard.errors import BadSetting, RankFailed
from graphguard.models.base import GraphContext, Rows, Upkeep, read_json_object
from graphguard.models.rows_files import write_rows

TASK, PROGRESS, FAILURE, MODEL = "task.json", "progress.jsonl", "failure.json", "model"
TRAIN, VALID, KNOWN = "train", "valid", "known"
LOGS, AGENT_LOG = "logs", "agent.log"
POLL_S, GRACE_S = 0.2, 40.0


@contextmanager
def trained_in_ranks(
    made: dict[str, Any], slices: tuple[Rows, Rows], context: GraphContext, upkeep: Upkeep
) -> Iterator[Path]:
    """Train in several processes; gives the folder of the fitted model, which is removed after.

    Args:
        made: `name` and `settings` of the model, `ranks` among them.
        slices: Training rows and rows on which to stop, labelled.
        context: Its graph must be one of mapped files.
        upkeep: As for any fit.

    Raises:
        RankFailed: A rank ended before its work was done.
        BadSetting: There are fewer GPUs than ranks, or the graph is not mapped.
    """
    ranks = int(made["settings"]["ranks"])
    _refuse_impossible(ranks, made["settings"]["device"], context)
    with _work_folder(upkeep) as folder:
        for name, rows in ((TRAIN, slices[0]), (VALID, slices[1]), (KNOWN, context.rows)):
            write_rows(folder / name, rows)
        task = {**made, "parent": os.getpid(), **_told_of(context), **_kept_by(upkeep)}
        (folder / TASK).write_text(json.dumps(task), encoding="utf-8")
        code = _run_agent(folder, upkeep)
        if code:
            raise _failed(folder, ranks, code)
        yield folder / MODEL


def _run_agent(folder: Path, upkeep: Upkeep) -> int:
    """Run the agent to its end and tell what rank 0 tells; returns the agent's exit code."""
    command = [sys.executable, "-m", "graphguard.models.agent", str(folder)]
    (folder / PROGRESS).touch()
    with (
        (folder / AGENT_LOG).open("w", encoding="utf-8") as log,
        (folder / PROGRESS).open(encoding="utf-8") as progress,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as agent,
    ):
        try:
            while agent.poll() is None:
                time.sleep(POLL_S)
                _tell(progress, upkeep)
        except BaseException:
            agent.terminate()
            try:
                agent.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                agent.kill()
            raise
        _tell(progress, upkeep)
        return agent.returncode


def _tell(progress: IO[str], upkeep: Upkeep) -> None:
    for text in progress:
        line = json.loads(text)
        if isinstance(line, str):
            upkeep.note(line)
        else:
            upkeep.tell(*line)


def _failed(folder: Path, ranks: int, code: int) -> RankFailed:
    """The error that says which rank ended first, how, and with what words."""
    if not (folder / FAILURE).is_file():
        return RankFailed(None, ranks, code, _last_line(folder / AGENT_LOG))
    failure = read_json_object(folder / FAILURE)
    rank = int(failure["rank"])
    logs = sorted((folder / LOGS).glob(f"**/{rank}/stderr.log"))
    return RankFailed(rank, ranks, int(failure["code"]), _last_line(logs[-1]) if logs else "")


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def _refuse_impossible(ranks: int, device: str, context: GraphContext) -> None:
    place, key = "training", "ranks"
    if context.graph.folder is None:
        reason = "needs a graph of mapped files, which ranks can share; open one, or set it to 1"
        raise BadSetting(place, key, reason)
    if device != "cpu" and torch.cuda.is_available() and ranks > torch.cuda.device_count():
        reason = f"is {ranks}, but this machine has {torch.cuda.device_count()} GPUs"
        raise BadSetting(place, key, reason)


def _told_of(context: GraphContext) -> dict[str, Any]:
    """What a sampled network reads of the context; graph and rows are mapped from files."""
    return {
        "graph": str(context.graph.folder),
        "context": {name: getattr(context, name) for name in ("node_type", "window_us")},
    }


def _kept_by(upkeep: Upkeep) -> dict[str, Any]:
    folder = None if upkeep.folder is None else str(upkeep.folder)
    return {"checkpoints": folder, "inputs": upkeep.inputs}


@contextmanager
def _work_folder(upkeep: Upkeep) -> Iterator[Path]:
    """A new folder beside the checkpoints, where there is room for the rows, or a temporary one."""
    if upkeep.folder is None:
        with TemporaryDirectory(prefix="graphguard-ranks-") as name:
            yield Path(name)
        return
    folder = upkeep.folder.with_name("ranks")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

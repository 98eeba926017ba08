"""One rank of a training: started by the agent as `python -m graphguard.models.rank FOLDER`.

`graphguard.models.ranks` has written the task into the folder and waits for the model there.
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import distributed

from graphguard.errors import GraphGuardError
from graphguard.graph.hetero import HeteroGraph
from graphguard.models.agent import die_with
from graphguard.models.base import GraphContext, Upkeep, open_model, read_json_object
from graphguard.models.ranks import KNOWN, MODEL, PROGRESS, TASK, TRAIN, VALID
from graphguard.models.rows_files import map_rows
from graphguard.models.sampled import SampledModel
from graphguard.models.team import Team

TELL_S = 0.3


def main(folder: Path) -> None:
    """Train this rank's share; rank 0 saves the model."""
    task = read_json_object(folder / TASK)
    die_with()
    team = _join(task["settings"]["device"])
    known = map_rows(folder / KNOWN)
    graph = HeteroGraph.open(Path(task["graph"]))
    context = GraphContext(graph=graph, rows=known, **task["context"])
    made = {**task["settings"], "fanouts": tuple(task["settings"]["fanouts"])}
    model = open_model(task["name"], made)
    if not isinstance(model, SampledModel):
        message = f"model '{task['name']}' does not train in ranks"
        raise TypeError(message)
    train, valid = map_rows(folder / TRAIN), map_rows(folder / VALID)
    model.fit_share(train, valid, context, _upkeep(task, folder, team), (team, folder))
    if team.rank == 0:
        model.save(folder / MODEL)
    team.wait()
    distributed.destroy_process_group()


def _join(device: str) -> Team:
    """Meet the other ranks, all on this machine."""
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // size))
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    gpu = device != "cpu" and torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # Weights meet on the GPUs, what is told about the training on the CPU.
    distributed.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo")
    return Team(rank, size)


def _upkeep(task: dict[str, Any], folder: Path, team: Team) -> Upkeep:
    """Every rank reads the checkpoint; rank 0 writes it and tells."""
    kept = None if task["checkpoints"] is None else Path(task["checkpoints"])
    inputs = str(task["inputs"])
    if team.rank:
        return Upkeep(folder=kept, inputs=inputs)
    path, told_at = folder / PROGRESS, 0.0

    def write(line: Any) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def tell(done: int, total: int, what: str) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= TELL_S or done == total:
            told_at = time.monotonic()
            write([done, total, what])

    return Upkeep(tell, write, kept, inputs)


def end(code: int) -> NoReturn:
    """End this process at once, with nothing torn down: all that a rank makes is in files by now.

    A worker of gloo that lets go of its last tensor while the interpreter is torn down aborts the
    process (pytorch issue 190489), and a training that is done would be told as failed.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run(folder: Path) -> int:
    """The exit code of this rank; why it failed is on standard error, in the last line."""
    try:
        main(folder)
    except GraphGuardError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return int(error.exit_code)
    except Exception:  # noqa: BLE001 - the interpreter would tell it too, but would then tear down
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    end(run(Path(sys.argv[1])))

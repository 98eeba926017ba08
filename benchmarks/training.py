"""What an epoch of `sage` costs, beside the same network on the same task in DGL 1.1.3.

Users like contents; a user is positive if it likes many bad ones, which only its neighbours tell.
Both train the same widths on the same seeds, batch size, fan-out, optimizer, loss and number of
threads: ours through the model's own `fit` (trees within a window, deterministic), DGL's through
its `NeighborSampler`, `DataLoader` and `HeteroGraphConv` of `SAGEConv`. The two take turns, an
epoch each; the ratio is the median over rounds of our epoch by DGL's. AUPRC of both on users that
trained neither shows that both learn. Where there is a GPU, our epoch is also timed there, beside
this machine's CPU.
"""

import argparse
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from likes_graph import LIKED, LIKES, Platform, make_platform, seconds_text, to_dgl
from result import print_result, say, work_folder
from torch import Tensor, nn

from graphguard.evaluate.metrics import auprc
from graphguard.graph.interop import import_dgl
from graphguard.models.base import Rows, Upkeep, open_model
from graphguard.models.losses import imbalance_loss
from graphguard.models.training import LARGEST_STEP, WEIGHT_DECAY

HIDDEN, LEARNING_RATE, DROPOUT, JUDGED = 64, 0.003, 0.2, 4_000


@dataclass(frozen=True)
class Task:
    """What both train on."""

    platform: Platform
    train: Rows
    judge: Rows
    fanouts: tuple[int, ...]
    batch: int


def main() -> int:
    """Make the task, train in turn, print the tables and the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edges", type=int, default=10_000_000)
    parser.add_argument("--rows", type=int, default=50_000, help="training rows of an epoch")
    parser.add_argument("--fanouts", default="10,10", help="neighbours a hop")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folder = work_folder("training")
    platform = make_platform(folder / "graph", options.edges)
    both = platform.draw(options.rows + JUDGED, 1)
    mixed = np.random.default_rng(2).permutation(len(both))
    task = Task(
        platform,
        both.take(np.sort(mixed[JUDGED:])),
        both.take(np.sort(mixed[:JUDGED])),
        tuple(int(one) for one in options.fanouts.split(",")),
        options.batch,
    )
    figures = beside_dgl(task, options.rounds)
    if torch.cuda.is_available():
        figures |= on_gpu(task, options.rounds)
    shutil.rmtree(folder)
    print_result({"edges": options.edges, "threads": options.threads, **figures})
    return 0


class Clock:
    """Seconds of an epoch from the times at which its batches ended; the first only warms up."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def tick(self, *_: object) -> None:
        """A batch has ended."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """Of as many batches as have ended."""
        count = len(self.ends)
        return (self.ends[-1] - self.ends[0]) * count / (count - 1)


def our_epoch(task: Task, seed: int, device: str = "cpu") -> tuple[float, float]:
    """Seconds of one epoch of our model, and its AUPRC after it."""
    settings = {
        "fanouts": task.fanouts,
        "hidden": HIDDEN,
        "epochs": 1,
        "batch_rows": task.batch,
        "learning_rate": LEARNING_RATE,
        "dropout": DROPOUT,
        "seed": seed,
        "device": device,
    }
    model, clock = open_model("sage", settings), Clock()
    model.fit(task.train, task.judge, task.platform.context, Upkeep(tell=clock.tick))
    score = model.predict(task.judge, task.platform.context)
    return clock.seconds, auprc(score, labels(task.judge))


def labels(rows: Rows) -> Any:
    """Labels of rows that have them."""
    if rows.label is None:
        message = "rows carry no label"
        raise ValueError(message)
    return rows.label


class DglSage(nn.Module):
    """The network of `sage` as one writes it with DGL."""

    def __init__(self, widths: dict[str, int], layers: int) -> None:
        super().__init__()
        dgl = import_dgl("the benchmark")
        self.encode = nn.ModuleDict(
            {kind: nn.Linear(width, HIDDEN) for kind, width in widths.items()}
        )
        self.convolutions = nn.ModuleList(
            dgl.nn.HeteroGraphConv(
                {
                    kind[1]: dgl.nn.SAGEConv((HIDDEN, HIDDEN), HIDDEN, "mean")
                    for kind in (LIKES, LIKED)
                },
                aggregate="sum",
            )
            for _ in range(layers)
        )
        self.norms = nn.ModuleList(
            nn.ModuleDict({kind: nn.LayerNorm(HIDDEN) for kind in widths}) for _ in range(layers)
        )
        self.drop = nn.Dropout(DROPOUT)
        self.join = nn.Linear(widths["user"] + HIDDEN, HIDDEN)
        self.out = nn.Linear(HIDDEN, 1)

    def forward(self, blocks: list[Any], x: dict[str, Tensor]) -> Tensor:
        """Logit of the seeds."""
        state = {kind: torch.relu(self.encode[kind](value)) for kind, value in x.items()}
        for block, convolve, norm in zip(blocks, self.convolutions, self.norms, strict=True):
            own = {kind: state[kind][: block.num_dst_nodes(kind)] for kind in state}
            told = convolve(block, (state, own))
            state = {
                kind: norm[kind](own[kind] + self.drop(torch.relu(one)))
                for kind, one in told.items()
            }
        own = x["user"][: len(state["user"])]
        hidden = self.drop(torch.relu(self.join(torch.cat([own, state["user"]], dim=1))))
        logit: Tensor = self.out(hidden).squeeze(1)
        return logit


class DglPeer:
    """The same task in DGL: its graph, features on it, sampler and loader."""

    def __init__(self, task: Task) -> None:
        self.task, self.dgl = task, import_dgl("the benchmark")
        self.graph = to_dgl(task.platform.graph)
        degree = task.platform.graph.degree(LIKES, "target")
        rows = task.platform.rows
        self.x = {
            "user": torch.from_numpy((rows.x - rows.x.mean(0)) / rows.x.std(0)),
            "content": torch.from_numpy(np.log1p(degree).astype(np.float32))[:, None],
        }
        self.label = torch.from_numpy(labels(rows).astype(np.float32))

    def epoch(self, seed: int) -> tuple[float, float]:
        """Seconds of one epoch, and the AUPRC after it."""
        torch.manual_seed(seed)
        self.dgl.seed(seed)
        net = DglSage({kind: x.shape[1] for kind, x in self.x.items()}, len(self.task.fanouts))
        optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        mine = labels(self.task.train)
        weight = float(np.sqrt((mine == 0).sum() / (mine == 1).sum()))
        clock = Clock()
        for blocks, x, seeds in self.batches(self.task.train, shuffle=True):
            optimizer.zero_grad()
            loss = imbalance_loss(net(blocks, x), self.label[seeds], weight, None).mean()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), LARGEST_STEP)
            optimizer.step()
            clock.tick()
        net.eval()
        with torch.no_grad():
            parts = [net(blocks, x) for blocks, x, _ in self.batches(self.task.judge)]
        return clock.seconds, auprc(torch.cat(parts).numpy(), labels(self.task.judge))

    def batches(self, rows: Rows, *, shuffle: bool = False) -> Iterator[Any]:
        """Blocks, their inputs and the seeds of each batch."""
        loader = self.dgl.dataloading.DataLoader(
            self.graph,
            {"user": torch.from_numpy(rows.node)},
            self.dgl.dataloading.NeighborSampler(list(self.task.fanouts)),
            batch_size=self.task.batch,
            shuffle=shuffle,
            drop_last=False,
            num_workers=0,
        )
        for needed, seeds, blocks in loader:
            x = {kind: self.x[kind].index_select(0, node) for kind, node in needed.items()}
            yield blocks, x, seeds["user"]


def beside_dgl(task: Task, rounds: int) -> dict[str, object]:
    """Ours and DGL's in turn."""
    peer = DglPeer(task)
    runs: dict[str, Callable[[int], tuple[float, float]]] = {
        "ours": lambda seed: our_epoch(task, seed),
        "DGL": peer.epoch,
    }
    took: dict[str, list[float]] = {name: [] for name in runs}
    quality: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            seconds, value = run(number)
            if number:  # the first epoch reads the files into memory
                took[name].append(seconds)
                quality[name].append(value)
    ratio = statistics.median(
        mine / dgl for mine, dgl in zip(took["ours"], took["DGL"], strict=True)
    )
    say(f"| `sage` | seconds for an epoch of {len(task.train):,} rows | AUPRC after it |")
    say("|---|---|---|")
    for name in runs:
        say(f"| {name} | {seconds_text(took[name])} | {np.mean(quality[name]):.4f} |")
    return {
        "dgl_epoch_ratio": round(ratio, 3),
        "epoch_seconds": round(statistics.median(took["ours"]), 3),
        "dgl_epoch_seconds": round(statistics.median(took["DGL"]), 3),
        "auprc": round(float(np.mean(quality["ours"])), 4),
        "dgl_auprc": round(float(np.mean(quality["DGL"])), 4),
    }


def on_gpu(task: Task, rounds: int) -> dict[str, object]:
    """Our epoch on the GPU, beside the CPU of this machine."""
    found: dict[str, tuple[float, float]] = {}
    for device in ("cpu", "cuda"):
        our_epoch(task, 0, device)
        runs = [our_epoch(task, seed, device) for seed in range(1, rounds + 1)]
        seconds = statistics.median(one for one, _ in runs)
        found[device] = (seconds, float(np.mean([value for _, value in runs])))
    memory = torch.cuda.max_memory_allocated() / 2**30
    say("")
    say("| device | seconds an epoch | AUPRC | GPU memory (GB) |")
    say("|---|---|---|---|")
    say(f"| CPU | {found['cpu'][0]:.2f} | {found['cpu'][1]:.4f} | |")
    say(f"| GPU | {found['cuda'][0]:.2f} | {found['cuda'][1]:.4f} | {memory:.2f} |")
    return {
        "gpu_epoch_speedup": round(found["cpu"][0] / found["cuda"][0], 2),
        "gpu_auprc_difference": round(abs(found["cpu"][1] - found["cuda"][1]), 4),
        "gpu_memory_gb": round(memory, 3),
    }


if __name__ == "__main__":
    sys.exit(main())

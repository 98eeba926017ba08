"""What sampling neighbourhoods costs, beside DGL 1.1.3's sampler on the same graph and fan-out.

Users like contents; both samplers draw, without replacement, the fan-out of each relation at each
hop around the same seeds: ours a tree per seed within its window, DGL's blocks of distinct nodes
without any notion of time. The two take turns in one process with the same number of threads; the
speedup is the median over rounds of DGL's time by ours. Where there is a GPU, ours is also timed
there, beside this machine's CPU.
"""

import argparse
import shutil
import statistics
import sys
import time
from collections.abc import Callable

import torch
from likes_graph import ANCHOR, Platform, make_platform, seconds_text, to_dgl
from result import print_result, say, work_folder

from graphguard.graph.interop import import_dgl
from graphguard.graph.sampling import TemporalSampler
from graphguard.graph.strategies import Strategy

Batches = list[torch.Tensor]


def main() -> int:
    """Make the graph, sample in turn, print the tables and the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edges", type=int, default=10_000_000)
    parser.add_argument("--fanouts", default="10,10", help="neighbours a hop")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    fanouts = [int(one) for one in options.fanouts.split(",")]
    folder = work_folder("sampling")
    platform = make_platform(folder / "graph", options.edges)
    batches = [
        torch.from_numpy(platform.draw(options.batch, seed).node) for seed in range(options.batches)
    ]
    figures = beside_dgl(platform, fanouts, batches, options.rounds)
    figures |= other_strategies(platform, fanouts, batches)
    if torch.cuda.is_available():
        figures |= on_gpu(platform, fanouts, batches)
    shutil.rmtree(folder)
    print_result({"edges": options.edges, "threads": options.threads, **figures})
    return 0


def ours(
    platform: Platform,
    fanouts: list[int],
    strategy: Strategy = "uniform",
    window: int = ANCHOR,
    device: str = "cpu",
) -> Callable[[Batches], int]:
    """Samples batches with our sampler; returns the number of edges."""
    sampler = TemporalSampler(
        platform.graph, fanouts, window, strategy=strategy, device=device, node_type="user"
    )

    def run(batches: Batches) -> int:
        edges = 0
        for nodes in batches:
            edges += sampler.sample(nodes, torch.full_like(nodes, ANCHOR)).num_edges
        if device == "cuda":
            torch.cuda.synchronize()
        return edges

    return run


def dgls(platform: Platform, fanouts: list[int]) -> Callable[[Batches], int]:
    """Samples batches with DGL's neighbour sampler; returns the number of edges."""
    graph = to_dgl(platform.graph)
    sampler = import_dgl("the benchmark").dataloading.NeighborSampler(fanouts)

    def run(batches: Batches) -> int:
        edges = 0
        for nodes in batches:
            _, _, blocks = sampler.sample_blocks(graph, {"user": nodes})
            edges += sum(
                block.num_edges(kind) for block in blocks for kind in block.canonical_etypes
            )
        return edges

    return run


def timed_run(run: Callable[[Batches], int], batches: Batches) -> tuple[float, int]:
    """Seconds and edges of one pass over the batches."""
    start = time.perf_counter()
    edges = run(batches)
    return time.perf_counter() - start, edges


def beside_dgl(
    platform: Platform, fanouts: list[int], batches: Batches, rounds: int
) -> dict[str, object]:
    """Ours and DGL's in turn."""
    samplers = {"ours": ours(platform, fanouts), "DGL": dgls(platform, fanouts)}
    took: dict[str, list[float]] = {name: [] for name in samplers}
    edges = {}
    for number in range(rounds + 1):
        for name, run in samplers.items():
            seconds, edges[name] = timed_run(run, batches)
            if number:  # the first pass reads the files into memory
                took[name].append(seconds)
    speedup = statistics.median(
        dgl / mine for mine, dgl in zip(took["ours"], took["DGL"], strict=True)
    )
    say(f"| sampler | seconds for {len(batches)} batches | edges | million edges a second |")
    say("|---|---|---|---|")
    for name, seconds in took.items():
        rate = edges[name] / statistics.median(seconds) / 1e6
        say(f"| {name} | {seconds_text(seconds)} | {edges[name]:,} | {rate:.1f} |")
    return {
        "dgl_speedup": round(speedup, 3),
        "seconds": round(statistics.median(took["ours"]), 4),
        "dgl_seconds": round(statistics.median(took["DGL"]), 4),
        "edges_a_second": round(edges["ours"] / statistics.median(took["ours"])),
    }


def other_strategies(platform: Platform, fanouts: list[int], batches: Batches) -> dict[str, object]:
    """Our other ways to sample, on the CPU."""
    cases: list[tuple[str, Strategy, int]] = [
        ("uniform, half of the time in the window", "uniform", ANCHOR // 2),
        ("rarity", "rarity", ANCHOR),
        ("pagerank", "pagerank", ANCHOR),
    ]
    found = {}
    say("")
    say("| ours | seconds | edges |")
    say("|---|---|---|")
    for name, strategy, window in cases:
        run = ours(platform, fanouts, strategy, window)
        timed_run(run, batches[:2])
        seconds, edges = timed_run(run, batches)
        say(f"| {name} | {seconds:.3f} | {edges:,} |")
        found[name.split(",")[0] if strategy != "uniform" else "half_window"] = round(seconds, 4)
    return {"strategies_seconds": found}


def on_gpu(platform: Platform, fanouts: list[int], batches: Batches) -> dict[str, object]:
    """Ours on the GPU, arrays and draws there, beside the CPU of this machine."""
    rates, memory = {}, 0.0
    for device in ("cpu", "cuda"):
        run = ours(platform, fanouts, device=device)
        timed_run(run, batches)
        seconds, edges = timed_run(run, batches)
        rates[device] = edges / seconds
    memory = torch.cuda.max_memory_allocated() / 2**30
    say("")
    say("| device | million sampled edges a second | GPU memory (GB) |")
    say("|---|---|---|")
    say(f"| CPU | {rates['cpu'] / 1e6:.1f} | |")
    say(f"| GPU | {rates['cuda'] / 1e6:.1f} | {memory:.2f} |")
    return {
        "gpu_speedup": round(rates["cuda"] / rates["cpu"], 2),
        "gpu_edges_a_second": round(rates["cuda"]),
        "gpu_memory_gb": round(memory, 3),
    }


if __name__ == "__main__":
    sys.exit(main())

"""What multi-hop aggregates cost: one product, a two-hop mean, and values larger than memory.

On a drawn graph of users and devices, each in a process of its own:

- one product of the adjacency with a matrix: ours (from disk, in pieces, float64 sums in a fixed
  order) beside `torch.sparse` CSR, SciPy CSR and torch-geometric's `scatter`, each in one go in
  float32;
- the mean over user-device-user, a user's own value left out, beside two products of torch.sparse
  between scalings, one's own value counted;
- the same mean over values of four times the memory budget: seconds a column, and peak memory.
"""

import argparse
import json
import shutil
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from result import print_result, say, timed, work_folder

PATH_HOPS = 2
DAY_US = 86_400_000_000
DAYS = 14


@dataclass(frozen=True)
class Took:
    """Wall time and time on processors of a call."""

    seconds: float
    processor: float


def make_graph(folder: Path, edges: int, seed: int) -> None:
    """Write a graph of ten edges a user and three devices for ten users, some of them crowded."""
    import polars as pl

    from graphguard.graph.arrays import EdgeArrays, NodeArrays
    from graphguard.graph.build import write_graph

    draw = np.random.default_rng(seed)
    users, devices = edges // 10, edges // 33
    nodes = {
        name: NodeArrays(pl.Series([f"{n:09}" for n in range(size)]), np.arange(size))
        for name, size in (("user", users), ("device", devices))
    }
    source = draw.integers(0, users, edges)
    target = (devices * draw.random(edges) ** 1.5).astype(np.int64)
    time_us = draw.integers(0, DAYS, edges) * DAY_US
    arrays = EdgeArrays(source, target, time_us, np.ones(edges, dtype=np.int32))
    write_graph(folder, nodes, [(("user", "uses", "device"), arrays)], {}, seed)


def make_values(path: Path, rows: int, columns: int) -> None:
    """A matrix of normal numbers in column order."""
    from graphguard.graph.array_files import ColumnWriter

    draw = np.random.default_rng(1)
    with ColumnWriter(path, rows, columns) as writer:
        for column in range(columns):
            writer.write(column, draw.standard_normal(rows, dtype=np.float32))


def one_product(name: str, folder: Path) -> dict[str, float]:
    """Median seconds of the sums over the users of every device, and a sum to compare."""
    import torch
    from scipy.sparse import csr_array

    from graphguard.graph.hetero import HeteroGraph
    from graphguard.graph.walks import Limits, product
    from graphguard.graph.window_edges import write_window

    graph = HeteroGraph.open(folder / "graph")
    side = graph.into(("user", "uses", "device"))
    values = np.ascontiguousarray(np.load(folder / "values.npy", allow_pickle=False))
    before = peak_gb(anew=True)
    shape = (side.num_rows, len(values))
    if name == "ours":
        place = folder / "window"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        start = time.perf_counter()
        edges = write_window(side, len(values), (0, DAYS * DAY_US), place)
        preparing = time.perf_counter() - start
        wide = values.astype(np.float64)
        limits = Limits(256 << 20, torch.get_num_threads())
        took, found = repeat(lambda: product(edges, wide, limits))
    else:
        start = time.perf_counter()
        indptr, neighbor = np.array(side.indptr), np.array(side.neighbor)
        table = torch.from_numpy(values)
        call: Callable[[], np.ndarray]
        if name == "torch":
            parts = (torch.from_numpy(one.astype(np.int64)) for one in (indptr, neighbor))
            matrix = torch.sparse_csr_tensor(*parts, torch.ones(len(neighbor)), size=shape)
            call = lambda: (matrix @ table).numpy()  # noqa: E731
        elif name == "scipy":
            held = csr_array((np.ones(len(neighbor), np.float32), neighbor, indptr), shape=shape)
            call = lambda: held @ values  # noqa: E731
        else:
            from torch_geometric.utils import scatter

            rows = torch.from_numpy(np.repeat(np.arange(shape[0]), np.diff(indptr)))
            other = torch.from_numpy(neighbor.astype(np.int64))
            call = lambda: scatter(table[other], rows, 0, shape[0]).numpy()  # noqa: E731
        preparing = time.perf_counter() - start
        took, found = repeat(call)
    total = float(np.abs(found.astype(np.float64)).sum())
    grown = peak_gb() - before
    return {**asdict(took), "preparing": preparing, "peak_gb": grown, "sum": total}


def two_hops(name: str, folder: Path, budget: int) -> dict[str, float]:
    """Seconds of the mean over user-device-user."""
    import torch

    from graphguard.graph.hetero import HeteroGraph
    from graphguard.graph.metapaths import metapaths
    from graphguard.graph.multihop import NodeValues, Propagation, propagate

    graph = HeteroGraph.open(folder / "graph")
    values = np.load(folder / "values.npy", mmap_mode="r", allow_pickle=False)
    before = peak_gb(anew=True)
    start, busy = time.perf_counter(), time.process_time()
    if name == "mean":
        path = metapaths(graph.edge_types, "user", PATH_HOPS)[-1]
        held = NodeValues(tuple(map(str, range(values.shape[1]))), values)
        rules = Propagation(DAYS * DAY_US, DAYS * DAY_US, ("mean",), budget)
        propagate(graph, {"user": held}, [path], rules, folder / "out")
    else:
        sides = (graph.out(("user", "uses", "device")), graph.into(("user", "uses", "device")))
        out, back = (
            torch.sparse_csr_tensor(
                torch.from_numpy(np.array(side.indptr)),
                torch.from_numpy(side.neighbor.astype(np.int64)),
                torch.ones(len(side.neighbor)),
                size=(side.num_rows, other.num_rows),
            )
            for side, other in (sides, sides[::-1])
        )
        degree = torch.from_numpy(np.diff(sides[1].indptr)).float()[:, None]
        liking = 1 / torch.log(2 + degree)
        table = torch.from_numpy(np.ascontiguousarray(values))
        found = (out @ (liking * (back @ table) / degree.clamp(min=1))) / (out @ liking)
        np.save(folder / "torch.npy", np.asfortranarray(found.numpy()))
    took = Took(time.perf_counter() - start, time.process_time() - busy)
    return {**asdict(took), "peak_gb": peak_gb() - before}


def repeat(call: Callable[[], np.ndarray], times: int = 3) -> tuple["Took", np.ndarray]:
    """Median seconds of a call, and its result."""
    seconds, processor = [], []
    for _ in range(times):
        start, busy = time.perf_counter(), time.process_time()
        found = call()
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - busy)
    return Took(statistics.median(seconds), statistics.median(processor)), found


def peak_gb(*, anew: bool = False) -> float:
    """Peak resident memory of this process; with `anew` the present one, from which it counts."""
    if anew:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    name = "VmRSS" if anew else "VmHWM"
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 2**20


def child(what: str, name: str, folder: Path, budget: int) -> dict[str, float]:
    """Run one measurement in a process of its own."""
    command = [sys.executable, __file__, "--child", what, name, str(folder), str(budget)]
    measured: dict[str, float] = json.loads(timed(command).output.splitlines()[-1])
    return measured


def all_products(folder: Path) -> dict[str, dict[str, float]]:
    """One product by each peer, printed; they must agree."""
    say("| one product | seconds | of processors | making the matrix | memory besides (GB) |")
    say("|---|---|---|---|---|")
    products = {}
    for name in ("ours", "torch", "scipy", "scatter"):
        one = products[name] = child("product", name, folder, 0)
        figures = (one["seconds"], one["processor"], one["preparing"], one["peak_gb"])
        say(f"| {name} | " + " | ".join(f"{figure:.2f}" for figure in figures) + " |")
    sums = [one["sum"] for one in products.values()]
    if max(sums) > min(sums) * (1 + 1e-4):
        message = f"the products differ: {sums}"
        raise SystemExit(message)
    return products


def all_means(
    folder: Path, big: Path, columns: tuple[int, int], budget: int
) -> dict[str, dict[str, float]]:
    """Two hops: ours and torch on the values of `folder`, ours on the wide ones of `big`."""
    means = {name: child("mean", name, folder, 2 << 30) for name in ("mean", "torch")}
    (big / "graph").symlink_to((folder / "graph").resolve())
    means["large"] = child("mean", "mean", big, budget)
    say("| mean over user-device-user | columns | seconds | of processors | memory (GB) |")
    say("|---|---|---|---|---|")
    for name, number in zip(means, (columns[0], *columns), strict=True):
        one = means[name]
        figures = (one["seconds"], one["processor"], one["peak_gb"])
        say(f"| {name} | {number} | " + " | ".join(f"{figure:.2f}" for figure in figures) + " |")
    return means


def main() -> int:
    """Make graph and values, measure, print the tables and the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edges", type=int, default=10_000_000)
    parser.add_argument("--columns", type=int, default=32)
    parser.add_argument("--budget-mb", type=int, default=512, help="memory of the last run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        what, name, place, budget = options.child
        folder = Path(place)
        warnings.filterwarnings("ignore", "Sparse ")  # torch calls its CSR a beta at every start
        found = (
            one_product(name, folder) if what == "product" else two_hops(name, folder, int(budget))
        )
        say(json.dumps(found))
        return 0
    folder, big = work_folder("propagate"), work_folder("propagate_large")
    for place in (folder, big):
        shutil.rmtree(place)
        place.mkdir()
    make_graph(folder / "graph", options.edges, options.seed)
    users = options.edges // 10
    make_values(folder / "values.npy", users, options.columns)
    say(f"{options.edges:,} edges, {users:,} users, {options.columns} columns")
    products = all_products(folder)
    budget = options.budget_mb << 20
    wide = max(4 * budget // (4 * users), options.columns)
    make_values(big / "values.npy", users, wide)
    means = all_means(folder, big, (options.columns, wide), budget)
    shutil.rmtree(big)
    print_result(
        {
            "edges": options.edges,
            "columns": options.columns,
            "product_s": {name: round(one["seconds"], 3) for name, one in products.items()},
            "product_cpu_s": {name: round(one["processor"], 3) for name, one in products.items()},
            "mean_cpu_s": {name: round(one["processor"], 2) for name, one in means.items()},
            "torch_ratio": round(products["ours"]["seconds"] / products["torch"]["seconds"], 2),
            "scipy_ratio": round(products["ours"]["seconds"] / products["scipy"]["seconds"], 2),
            "scatter_ratio": round(products["ours"]["seconds"] / products["scatter"]["seconds"], 2),
            "mean_s": round(means["mean"]["seconds"], 2),
            "mean_torch_ratio": round(means["mean"]["seconds"] / means["torch"]["seconds"], 2),
            "large_columns": wide,
            "large_s": round(means["large"]["seconds"], 2),
            "large_peak_gb": round(means["large"]["peak_gb"], 3),
            "budget_gb": round(budget / 2**30, 3),
            "values_gb": round(4 * users * wide / 2**30, 3),
            "large_column_ratio": round(
                means["large"]["seconds"] / wide / (means["mean"]["seconds"] / options.columns),
                2,
            ),
        }
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What ids, daily edges and the graph cost, beside a scan, DuckDB, and pandas to PyG.

On the logs of a generated platform, in turn and each in a process of its own:

- ours: a night's own ingest and build_graph, from an empty workspace: checksums, rejects, repeats,
  encoded events kept, three relations, CSR and CSC in mapped files;
- the limit: Polars reads, decodes and hashes the same columns;
- DuckDB: ids and the same daily edges in SQL, then CSR and CSC in numpy;
- pandas: what people write today, read, factorize, groupby, `HeteroData`.

The others keep nothing on disk and check nothing. Medians over `--rounds`.
"""

import argparse
import statistics
import sys
from pathlib import Path

import yaml
from build_peers import PEERS
from platform_logs import (
    count,
    keep_three_relations,
    make_world,
    scan_command,
    use_workspace,
    write_config,
)
from result import (
    clear_workspaces,
    graphguard,
    new_workspace,
    print_result,
    say,
    timed,
    work_folder,
)

HERE = Path(__file__).parent


def main() -> int:
    """Make the logs, run the four in turn, print the table and the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    # The largest of ten, thirty and a hundred million that ends inside ten minutes.
    parser.add_argument("--events", type=int, default=30_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without", action="append", default=[], choices=list(PEERS))
    parser.add_argument("--keep", action="store_true", help="keep the logs of an earlier run")
    options = parser.parse_args()
    folder = work_folder("build")
    world, _ = make_world(folder, options.events, options.seed, keep=options.keep)
    config = write_config(folder, world, ["trees"])
    keep_three_relations(config)
    logs = yaml.safe_load(config.read_text(encoding="utf-8"))["logs"]
    events = sum(count(path) for log in logs for path in (world / "logs" / log).rglob("*.parquet"))
    night = ("nightly", "--config", str(config), "--to", "build_graph", "--json-logs")
    peers = {
        "scan": scan_command(config),
        "ours": graphguard(*night),
        **{
            name: [sys.executable, str(HERE / "build_peers.py"), name, str(config)]
            for name in PEERS
            if name not in options.without
        },
    }
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    peak: dict[str, float] = dict.fromkeys(peers, 0.0)
    for _ in range(options.rounds):
        for name, command in peers.items():
            if name == "ours":
                use_workspace(config, new_workspace(folder))
            took = timed(command)
            seconds[name].append(took.seconds)
            peak[name] = max(peak[name], took.peak_gb)
    clear_workspaces(folder)
    median = {name: statistics.median(each) for name, each in seconds.items()}
    say(f"{events:,} events, median of {options.rounds}")
    say("| what | seconds | peak memory (GB) | times the scan |")
    say("|---|---|---|---|")
    for name in peers:
        ratio = median[name] / median["scan"]
        say(f"| {name} | {median[name]:.1f} | {peak[name]:.2f} | {ratio:.1f} |")
    print_result(
        {
            "events": events,
            "seconds": {name: round(value, 2) for name, value in median.items()},
            "peak_gb": round(peak["ours"], 2),
            "peaks_gb": {name: round(value, 2) for name, value in peak.items()},
            "scan_ratio": round(median["ours"] / median["scan"], 2),
            **{
                f"{name}_speedup": round(median[name] / median["ours"], 3)
                for name in PEERS
                if name in median
            },
        }
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

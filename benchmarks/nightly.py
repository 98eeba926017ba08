"""What a night costs: seconds and peak memory per stage, beside a plain scan of the same columns.

Writes a world of about `--events` events (ten million by default), runs a whole night on it in a
child process, and in the same run lets Polars read every column the night reads, decode it and
hash it: the least that any program has to do with the logs. Workspaces are made anew each time.
"""

import argparse
import shutil
import sys
from pathlib import Path

import polars as pl
import yaml
from result import TOP, graphguard, print_result, say, timed, work_folder

from graphguard.jobs.pipeline import STAGE_NAMES
from graphguard.tables.commit import read_manifest
from graphguard.tables.workspace import Workspace

EVENTS_PER_USER_DAY = 1.19
DAYS = 70
SCAN = """
import sys, polars as pl
for log, columns in {logs!r}.items():
    frame = pl.scan_parquet(columns.pop(), hive_partitioning=False)
    hashes = [pl.col(name).hash().sum() for name in columns]
    sys.stdout.write(str(frame.select(hashes).collect(engine="streaming").row(0)) + "\\n")
"""


def main() -> int:
    """Make the world, run the night and the scan, print the table and the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--models", default="trees,sage")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep the logs of an earlier run")
    options = parser.parse_args()
    folder = work_folder("nightly")
    users = max(int(options.events / EVENTS_PER_USER_DAY / DAYS), 2_000)
    world = folder / f"world_{users}_{options.seed}"
    made = None
    if not (options.keep and (world / "truth" / "acts.parquet").is_file()):
        shutil.rmtree(world, ignore_errors=True)
        sizes = ("--users", str(users), "--days", str(DAYS), "--seed", str(options.seed))
        made = timed(graphguard("world", *sizes, "--out", str(world), "--json-logs"))
        say(f"world: {users:,} users, {made.seconds:.0f} s, {made.peak_gb:.2f} GB")
    config = write_config(folder, world, options.models.split(","))
    shutil.rmtree(folder / "workspace", ignore_errors=True)
    events = sum(count(path) for path in (world / "logs").rglob("*.parquet"))
    scans = sorted(timed(scan_command(config)).seconds for _ in range(3))
    night = timed(graphguard("nightly", "--config", str(config), "--json-logs"))
    stages = table(Workspace(folder / "workspace"), events)
    scan = scans[1]
    say(f"whole night {night.seconds:.0f} s; plain scan {scan:.1f} s")
    print_result(
        {
            "events": events,
            "users": users,
            "models": options.models,
            "seconds": round(night.seconds, 1),
            "peak_gb": max(stage["peak_gb"] for stage in stages.values()),
            "scan_seconds": round(scan, 2),
            "scan_ratio": round(night.seconds / scan, 1),
            "ingest_scan_ratio": round(stages["ingest"]["seconds"] / scan, 2),
            "world_seconds": made and round(made.seconds, 1),
            "world_peak_gb": made and round(made.peak_gb, 2),
            "stages": stages,
        }
    )
    return 0


def write_config(folder: Path, world: Path, models: list[str]) -> Path:
    """The demo's config on this world."""
    text = (TOP / "configs" / "demo.yaml").read_text(encoding="utf-8")
    raw = yaml.safe_load(text.replace("../demo/world", str(world)))
    raw["workspace"] = str(folder / "workspace")
    raw["export"] = [{"sink": "parquet", "path": str(folder / "sink")}]
    raw["training"]["models"] = models
    # At a small size the review queue is a large share of the users.
    raw["policy"]["max_action_rate"] = 0.5
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return path


def scan_command(config: Path) -> list[str]:
    """A child that reads and hashes the columns the config names, in file order."""
    raw = yaml.safe_load(config.read_text(encoding="utf-8"))
    logs = {}
    for name, log in raw["logs"].items():
        columns = {log["time"], log.get("key"), log.get("text")} - {None}
        for edge in raw["graph"]["edges"]:
            columns |= {edge["source"], edge["target"]} if edge["log"] == name else set()
        columns |= {trace["object"] for trace in raw["rings"]["traces"] if trace["log"] == name}
        logs[name] = [*sorted(columns), log["path"].replace("dt={date}", "*")]
    return [sys.executable, "-c", SCAN.format(logs=logs)]


def count(path: Path) -> int:
    """Rows of a file, from its footer."""
    return int(pl.scan_parquet(path).select(pl.len()).collect().item())


def table(workspace: Workspace, events: int) -> dict[str, dict[str, float]]:
    """Print and return seconds and peak memory per stage."""
    run = workspace.current_run()
    found = {}
    say("| stage | seconds | peak memory (GB) | million events a second |")
    say("|---|---|---|---|")
    for name in STAGE_NAMES:
        facts = read_manifest(run.stage(name))
        found[name] = {
            "seconds": round(float(facts["seconds"]), 2),
            "peak_gb": round(float(facts["stage_peak_memory_mb"]) / 1024, 2),
        }
        seconds, peak = found[name]["seconds"], found[name]["peak_gb"]
        speed = events / 1e6 / max(seconds, 1e-3)
        say(f"| {name} | {seconds:.1f} | {peak:.2f} | {speed:.2f} |")
    return found


if __name__ == "__main__":
    sys.exit(main())

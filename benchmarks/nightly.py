"""What a night costs: seconds and peak memory per stage, beside a plain scan of the same columns.

Writes a world of about `--events` events (ten million by default), runs a whole night on it in a
child process, and in the same run lets Polars read every column the night reads, decode it and
hash it: the least that any program has to do with the logs. Workspaces are made anew each time.
"""

import argparse
import shutil
import sys

from platform_logs import count, make_world, scan_command, users_for, write_config
from result import graphguard, print_result, say, timed, work_folder

from graphguard.jobs.pipeline import STAGE_NAMES
from graphguard.tables.commit import read_manifest
from graphguard.tables.workspace import Workspace


def main() -> int:
    """Make the world, run the night and the scan, print the table and the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--models", default="trees,sage")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep the logs of an earlier run")
    options = parser.parse_args()
    folder = work_folder("nightly")
    world, made = make_world(folder, options.events, options.seed, keep=options.keep)
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
            "users": users_for(options.events),
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

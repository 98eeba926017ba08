"""What an erasure costs: 1,000 users taken out of a 70-day workspace, beside a rebuild of it.

Writes a world and runs the night of its last day into an empty workspace, in a child process: that
is the rebuild, the only other way to be rid of somebody. Then erases in a child, and lets `check
erasure` decode every file of workspace and sink, before and after.
"""

import argparse
import shutil
import subprocess
import sys

from platform_logs import count, make_world, write_config
from result import graphguard, print_result, say, timed, work_folder

from graphguard.tables.workspace import Workspace


def main() -> int:
    """Make the world, run, rebuild, erase and search; print the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--erased", type=int, default=1_000)
    parser.add_argument("--models", default="trees")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep the logs of an earlier run")
    options = parser.parse_args()
    folder = work_folder("erase")
    world, _ = make_world(folder, options.events, options.seed, keep=options.keep)
    config = str(write_config(folder, world, options.models.split(",")))
    events = sum(count(path) for path in (world / "logs").rglob("*.parquet"))
    for name in ("workspace", "sink"):
        shutil.rmtree(folder / name, ignore_errors=True)
    rebuild = timed(graphguard("nightly", "--config", config, "--json-logs"))
    users = active_users(Workspace(folder / "workspace"), options.erased)
    (folder / "users.txt").write_text("\n".join(users), encoding="utf-8")
    words = ("--config", config, "--users", str(folder / "users.txt"))
    before = traces(words)
    erase = timed(graphguard("erase", *words, "--json-logs"))
    after = traces(words)
    say(f"rebuild {rebuild.seconds:.0f} s, erasure {erase.seconds:.0f} s: {erase.output.strip()}")
    print_result(
        {
            "events": events,
            "users_erased": len(users),
            "models": options.models,
            "erase_seconds": round(erase.seconds, 1),
            "erase_peak_gb": round(erase.peak_gb, 2),
            "rebuild_seconds": round(rebuild.seconds, 1),
            # Without models, rings, scores and export: the tables alone.
            "rebuild_tables_seconds": round(tables_seconds(Workspace(folder / "workspace")), 1),
            "rebuild_peak_gb": round(rebuild.peak_gb, 2),
            "ratio": round(erase.seconds / rebuild.seconds, 3),
            "traces_before": before,
            "traces": after,
        }
    )
    return 0


def active_users(workspace: Workspace, number: int) -> list[str]:
    """Users spread evenly over all that the workspace knows."""
    keys = workspace.ids("user").frame.get_column("key").drop_nulls().sort()
    chosen: list[str] = keys.gather_every(max(keys.len() // number, 1)).head(number).to_list()
    return chosen


def tables_seconds(workspace: Workspace) -> float:
    """Seconds of the rebuild's stages from ingest to featurize."""
    run = workspace.current_run()
    stages = ("ingest", "build_graph", "link", "featurize")
    return sum(float(run.manifest(stage)["seconds"]) for stage in stages)


def traces(words: tuple[str, ...]) -> int:
    """Files in which `check erasure` finds a trace.

    Raises:
        RuntimeError: The check ended in another way than with an answer.
    """
    command = graphguard("check", "erasure", *words)
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode == 0:
        return 0
    first = ended.stderr.removeprefix("error: ").split(" ", 1)[0]
    if ended.returncode != 65 or not first.isdecimal():
        message = f"check erasure ended with {ended.returncode}: {ended.stderr[:500]}"
        raise RuntimeError(message)
    return int(first)


if __name__ == "__main__":
    sys.exit(main())

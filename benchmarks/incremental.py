"""A new night beside a full rebuild, and a first night beside an ordinary one.

Part one: 31 days of a generated platform, every event counting. Night 31 on what night 30 left,
against night 31 from nothing; the two compared row by row, by key.

Part two: the demo's config with its four anchors. A first night computes every anchor's pairs and
features, an ordinary night only what a day has changed. Up to the features, without training.
"""

import argparse
import statistics
import subprocess
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import yaml
from platform_logs import count, keep_three_relations, make_logs, use_workspace, write_config
from result import (
    clear_workspaces,
    graphguard,
    new_workspace,
    print_result,
    say,
    timed,
    work_folder,
)

from graphguard.checks.compare import compare_runs
from graphguard.config.load import load_config
from graphguard.tables.workspace import Run, Workspace

END = date(2026, 1, 29)
"""The day after the last of a generated platform."""


@dataclass(frozen=True)
class Took:
    """Seconds of one night.

    Attributes:
        night: The whole command, start of the program included.
        ingest: The stage.
        daily: The daily tables of build_graph.
        build: All of build_graph.
    """

    night: float
    ingest: float
    daily: float
    build: float


def main() -> int:
    """Run both parts; print their tables and the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=5_000_000, help="in 31 days")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep the logs of an earlier run")
    parser.add_argument("--part", type=int, choices=[1, 2], help="one part alone")
    options = parser.parse_args()
    figures: dict[str, object] = {}
    if options.part != 2:
        figures |= new_night(options)
    if options.part != 1:
        figures |= ordinary_night(options)
    print_result(figures)
    return 0


def new_night(options: argparse.Namespace) -> dict[str, object]:
    """Night 31 on top of night 30, against night 31 alone."""
    folder = work_folder("incremental")
    world = make_logs(folder, options.events, 31, (options.seed, options.keep))
    config = write_config(folder, world, ["trees"])
    keep_three_relations(config)
    _every_event_counts(config)
    events = sum(count(path) for path in (world / "logs").rglob("*.parquet"))
    held = new_workspace(folder)
    _night(config, held, END - timedelta(days=1))
    new, full = [], []
    for _ in range(options.rounds):
        kept, fresh = new_workspace(folder), new_workspace(folder)
        # Outputs are immutable, so a copy by links is a copy.
        subprocess.run(["cp", "-al", str(held), str(kept)], check=True)
        new.append(_night(config, kept, END))
        full.append(_night(config, fresh, END))
    found = compare_runs(_newest(kept), _newest(fresh), load_config(config))
    clear_workspaces(folder)
    say(f"{events:,} events in 31 days, median of {options.rounds}")
    say("| seconds | new night | rebuild | rebuild / new |")
    say("|---|---|---|---|")
    ratios = {}
    for name, part in (
        ("ingest and daily tables", lambda one: one.ingest + one.daily),
        ("to CSR, both stages", lambda one: one.ingest + one.build),
        ("whole command", lambda one: one.night),
    ):
        each = [statistics.median(part(one) for one in took) for took in (new, full)]
        ratios[name] = round(each[1] / each[0], 2)
        say(f"| {name} | {each[0]:.2f} | {each[1]:.2f} | {ratios[name]:.1f} |")
    say(f"compared {found.tables} tables of {found.rows:,} rows: {found.differences or 'equal'}")
    return {
        "events": events,
        "rebuild_speedup": ratios["to CSR, both stages"],
        "daily_speedup": ratios["ingest and daily tables"],
        "command_speedup": ratios["whole command"],
        "equal": found.rows > 0 and not found.differences,
    }


def ordinary_night(options: argparse.Namespace) -> dict[str, object]:
    """A first night with all its anchors, and the next."""
    folder = work_folder("incremental")
    world = make_logs(folder, options.events, 85, (options.seed, options.keep))
    config = write_config(folder, world, ["trees"])
    workspace = new_workspace(folder)
    use_workspace(config, workspace)
    stages = ("ingest", "build_graph", "link", "featurize")
    took = {}
    # The last day is one on which the anchors move; the two before it are ordinary.
    for name, days in (("first night", 2), ("ordinary night", 1)):
        as_of = (END - timedelta(days=days)).isoformat()
        night = ("nightly", "--config", str(config), "--as-of", as_of, "--to", "featurize")
        timed(graphguard(*night, "--json-logs"))
        run = _newest(workspace)
        took[name] = [float(run.manifest(stage)["seconds"]) for stage in stages]
    clear_workspaces(folder)
    say("| seconds | " + " | ".join(stages) + " | together |")
    say("|---|---|---|---|---|---|")
    for name, seconds in took.items():
        parts = " | ".join(f"{one:.1f}" for one in seconds)
        say(f"| {name} | {parts} | {sum(seconds):.1f} |")
    return {f"{name.split()[0]}_seconds": round(sum(each), 2) for name, each in took.items()}


def _night(config: Path, workspace: Path, as_of: date) -> Took:
    use_workspace(config, workspace)
    night = ("nightly", "--config", str(config), "--as-of", as_of.isoformat())
    seconds = timed(graphguard(*night, "--to", "build_graph", "--json-logs")).seconds
    run = _newest(workspace)
    ingest, build = run.manifest("ingest"), run.manifest("build_graph")
    return Took(seconds, ingest["seconds"], build["daily_seconds"], build["seconds"])


def _newest(workspace: Path) -> Run:
    """The run of the last day, committed or not."""
    runs = sorted(path.name for path in (workspace / "runs").iterdir())
    return Workspace(workspace).run(runs[-1])


def _every_event_counts(config: Path) -> None:
    raw = yaml.safe_load(config.read_text(encoding="utf-8"))
    raw["training"] = {"anchor": {"event": 5}, "horizon": "7d", "models": ["trees"]}
    raw["graph"]["window"] = "30d"
    config.write_text(yaml.safe_dump(raw), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

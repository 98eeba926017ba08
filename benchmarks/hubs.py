"""What a hub costs: one device shared by everybody, beside the same logins on devices of their own.

For each number of users: every user logs in once a day for three days on a device of its own, and
once more on the second day, on the one device of all (with the hub), or on another of its own
(without). Ingest and build_graph of a night from an empty workspace, in a process of its own, the
two in turn; medians over `--rounds`.
"""

import argparse
import shutil
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path

import yaml
from result import Timed, graphguard, print_result, say, timed, work_folder

DAYS, CAP = 3, 200
SIZES = "30000,300000,3000000"
KINDS = ("none", "hub")


def write_logs(folder: Path, users: int, *, hub: bool) -> None:
    """Logins, one file a day, one label, and a night's config."""
    import polars as pl

    start = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    user = pl.int_range(users, eager=True)
    for day in range(DAYS):
        second = start + day * 86_400 + user % 80_000
        parts = [(second, pl.format("own{}", user))]
        if day == 1:
            parts.append((second + 1, pl.lit("hub") if hub else pl.format("other{}", user)))
        frames = [
            pl.select(
                (when * 1_000_000).cast(pl.Datetime("us", "UTC")).alias("ts"),
                pl.format("user{}", user).alias("user_id"),
                device.alias("device_id"),
            )
            for when, device in parts
        ]
        place = folder / "logins" / f"dt=2026-01-{day + 1:02}"
        place.mkdir(parents=True)
        pl.concat(frames).write_parquet(place / "part.parquet")
    labels = {"user_id": ["user0"], "is_abusive": [True], "decided_at": [start * 1_000_000]}
    frame = pl.DataFrame(labels).with_columns(pl.col("decided_at").cast(pl.Datetime("us", "UTC")))
    frame.write_parquet(folder / "labels.parquet")
    edge = {"name": ["user", "uses", "device"], "log": "logins"}
    config = {
        "workspace": "workspace",
        "as_of": "2026-01-04",
        "logs": {"logins": {"path": "logins/dt={date}/*.parquet", "time": "ts"}},
        "graph": {
            "window": "3d",
            "edges": [{**edge, "source": "user_id", "target": "device_id"}],
            "hubs": {"device": CAP},
        },
        "labels": {"path": "labels.parquet"},
        "training": {"anchor": {"event": 2}, "models": ["trees"]},
        "limits": {"min_day_ratio": 0},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def build(folder: Path) -> Timed:
    """Ingest and build the graph from an empty workspace."""
    shutil.rmtree(folder / "workspace", ignore_errors=True)
    config = str(folder / "config.yaml")
    return timed(graphguard("nightly", "--config", config, "--to", "build_graph", "--json-logs"))


def main() -> int:
    """Write the logs of each size, build in turn, print the table and the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", default=SIZES, help="sizes of the hub, with commas between")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        place, users, kind = options.child
        write_logs(Path(place), int(users), hub=kind == "hub")
        return 0
    base = work_folder("hubs")
    figures: dict[str, dict[str, float]] = {"time_ratio": {}, "memory_ratio": {}}
    figures |= {"seconds": {}, "peak_gb": {}, "seconds_without": {}}
    say("| users of the hub | with (s) | without (s) | time ratio | memory ratio |")
    say("|---|---|---|---|---|")
    for users in map(int, options.users.split(",")):
        took: dict[str, list[Timed]] = {kind: [] for kind in KINDS}
        for kind in KINDS:
            shutil.rmtree(base / kind, ignore_errors=True)
            # In a child: a child's peak counts from its parent's, so this process stays small.
            timed([sys.executable, __file__, "--child", str(base / kind), str(users), kind])
        for _ in range(options.rounds):
            for kind in KINDS:
                took[kind].append(build(base / kind))
        seconds = {kind: statistics.median(one.seconds for one in took[kind]) for kind in KINDS}
        peak = {kind: statistics.median(one.peak_gb for one in took[kind]) for kind in KINDS}
        name = str(users)
        figures["seconds"][name] = round(seconds["hub"], 2)
        figures["seconds_without"][name] = round(seconds["none"], 2)
        figures["peak_gb"][name] = round(peak["hub"], 3)
        figures["time_ratio"][name] = round(seconds["hub"] / seconds["none"], 3)
        figures["memory_ratio"][name] = round(peak["hub"] / peak["none"], 3)
        names = ("seconds", "seconds_without", "time_ratio", "memory_ratio")
        say(f"| {users:,} | " + " | ".join(str(figures[one][name]) for one in names) + " |")
    shutil.rmtree(base)
    worst = {
        f"worst_{name}": max(figures[name].values()) for name in ("time_ratio", "memory_ratio")
    }
    print_result({**figures, **worst})
    return 0


if __name__ == "__main__":
    sys.exit(main())

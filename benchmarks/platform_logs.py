"""Logs of a generated platform at a chosen size, a night's config on them, and a plain scan."""

import shutil
import sys
from pathlib import Path

import polars as pl
import yaml
from result import TOP, Timed, graphguard, say, timed

EVENTS_PER_USER_DAY = 1.19
DAYS = 70
SCAN = """
import sys, polars as pl
for log, columns in {logs!r}.items():
    frame = pl.scan_parquet(columns.pop(), hive_partitioning=False)
    hashes = [pl.col(name).hash().sum() for name in columns]
    sys.stdout.write(str(frame.select(hashes).collect(engine="streaming").row(0)) + "\\n")
"""


def users_for(events: int) -> int:
    """Users that make about so many events."""
    return max(int(events / EVENTS_PER_USER_DAY / DAYS), 2_000)


def make_world(folder: Path, events: int, seed: int, *, keep: bool) -> tuple[Path, Timed | None]:
    """Write logs below `folder`; with `keep`, those of an earlier run are used again."""
    users = users_for(events)
    world = folder / f"world_{users}_{seed}"
    return world, _write_world(world, (users, DAYS), (seed, keep))


def make_logs(folder: Path, events: int, days: int, chosen: tuple[int, bool]) -> Path:
    """Write about so many events of so many days; `chosen` is the seed, and whether to keep."""
    users = max(int(events / EVENTS_PER_USER_DAY / days), 2_000)
    world = folder / f"world_{users}_{days}_{chosen[0]}"
    _write_world(world, (users, days), chosen)
    return world


def _write_world(world: Path, size: tuple[int, int], chosen: tuple[int, bool]) -> Timed | None:
    users, days = size
    seed, keep = chosen
    if keep and (world / "truth" / "acts.parquet").is_file():
        return None
    shutil.rmtree(world, ignore_errors=True)
    sizes = ("--users", str(users), "--days", str(days), "--seed", str(seed))
    made = timed(graphguard("world", *sizes, "--out", str(world), "--json-logs"))
    say(f"world: {users:,} users, {made.seconds:.0f} s, {made.peak_gb:.2f} GB")
    return made


def write_config(folder: Path, world: Path, models: list[str]) -> Path:
    """The demo's config on this world, with the default themes."""
    text = (TOP / "configs" / "demo.yaml").read_text(encoding="utf-8")
    raw = yaml.safe_load(text.replace("../demo/world", str(world)))
    raw["workspace"] = str(folder / "workspace")
    raw["export"] = [{"sink": "parquet", "path": str(folder / "sink")}]
    raw["training"]["models"] = models
    # Cost is told of the default themes; what the demo's others add is told beside it.
    del raw["features"]
    for source in (*raw["logs"].values(), *raw["entities"].values(), raw["labels"]):
        source["manifest"] = source["path"].rpartition("/")[0] + "/SHA256SUMS"
    # At a small size the review queue is a large share of the users.
    raw["policy"]["max_action_rate"] = 0.5
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return path


def use_workspace(config: Path, workspace: Path) -> None:
    """Set where a config's runs go."""
    raw = yaml.safe_load(config.read_text(encoding="utf-8"))
    raw["workspace"] = str(workspace)
    config.write_text(yaml.safe_dump(raw), encoding="utf-8")


def keep_three_relations(config: Path) -> None:
    """Leave users, devices and content alone in a config: uses, posts, likes."""
    raw = yaml.safe_load(config.read_text(encoding="utf-8"))
    raw["graph"]["edges"] = [
        edge for edge in raw["graph"]["edges"] if edge["name"][1] in ("uses", "posts", "likes")
    ]
    del raw["logs"]["follows"], raw["graph"]["hubs"]["address"]
    raw["rings"]["traces"] = [one for one in raw["rings"]["traces"] if one["log"] == "likes"]
    raw["rings"]["shared"] = ["device"]
    config.write_text(yaml.safe_dump(raw), encoding="utf-8")


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

"""Changes that befall a platform from one day on: for trials of what notices them.

Each makes yesterday's proofs void: rows no longer look as they did, or labels no longer come as
they did. Only the days of the change are rewritten; all else is linked.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from graphguard.errors import BadSetting, near_match

DAY_US = 86_400_000_000
WAVE_SIZE = 20


@dataclass(frozen=True)
class Change:
    """One day of one log, and what chance to draw from.

    Attributes:
        log: Name of the log, or `labels`.
        rows: Its rows.
        chance: The same for every log of a day.
        users: Keys of all users of the world, sorted.
        start_us: The day's start.
        day: Days since the change began, and how many it lasts.
    """

    log: str
    rows: pl.DataFrame
    chance: np.random.Generator
    users: pl.Series
    start_us: int
    day: tuple[int, int]


def drift_world(world: Path, out: Path, kind: str, days: tuple[date, date], seed: int = 0) -> None:
    """Write a world in which something has changed.

    Args:
        world: What `write_world` left.
        out: Folder to make.
        kind: A key of DRIFTS.
        days: First day of the change, and the day after the last.
        seed: Of what is drawn.

    Raises:
        BadSetting: There is no such kind.
    """
    if kind not in DRIFTS:
        setting = "drift"
        reason = f"is unknown (known: {', '.join(DRIFTS)}).{near_match(kind, DRIFTS)}"
        raise BadSetting(setting, kind, reason)
    logs, change = DRIFTS[kind]
    users = pl.read_parquet(world / "tables" / "users.parquet").get_column("user_id").sort()
    for path in sorted(world.rglob("*")):
        if not path.is_file() or path.name == "SHA256SUMS":
            continue
        place = path.relative_to(world)
        target = out / place
        target.parent.mkdir(parents=True, exist_ok=True)
        log = "labels" if place.parts[0] == "labels" else place.parts[1]
        day = _day(place)
        inside = log == "labels" or (day is not None and days[0] <= day < days[1])
        if log not in logs or not inside:
            target.symlink_to(path.resolve())
        else:
            first = day or days[0]
            chance = np.random.default_rng([seed, (first - date(2000, 1, 1)).days])
            rows = pl.read_parquet(path)
            start = int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp())
            since = ((first - days[0]).days, (days[1] - days[0]).days)
            made = Change(log, rows, chance, users, start * 1_000_000, since)
            _write(target, change(made), path)
        if (path.parent / "SHA256SUMS").is_file():
            digest = hashlib.sha256(target.read_bytes()).hexdigest()
            sums = target.with_name("SHA256SUMS")
            sums.write_text(f"{digest}  {target.name}\n", encoding="ascii")


def lost_rows(made: Change) -> pl.DataFrame:
    """Two thirds of the likes get lost on their way."""
    return made.rows.filter(made.chance.random(made.rows.height) < 1 / 3)


def new_devices(made: Change) -> pl.DataFrame:
    """An update of the client, rolled out day by day, gives every device another name."""
    number = pl.col("device_id").str.extract(r"(\d+)").cast(pl.UInt64)
    reached = number % made.day[1] <= made.day[0]
    renamed = pl.when(reached).then(pl.col("device_id") + "-2").otherwise("device_id")
    return made.rows.with_columns(renamed.alias("device_id"))


def shifted_clock(made: Change) -> pl.DataFrame:
    """Times come nine hours late, inside their day."""
    return _moved(made, pl.lit(9 * 3_600_000_000))


def newcomers(made: Change) -> pl.DataFrame:
    """Half as many users again, who do a third of what others do, at other times and places."""
    mine = made.rows.filter(pl.col("user_id").is_in(made.users.gather_every(2).implode()))
    kept = mine.filter(made.chance.random(mine.height) < 1 / 3)
    later = pl.Series(made.chance.integers(0, DAY_US, kept.height))
    fresh = _moved(replace(made, rows=kept), later)
    named = {"user_id", "device_id", "address", "post_id"}
    own = [name for name in fresh.columns if name in named]
    if made.log == "posts":
        own.append("content_id")
    fresh = fresh.with_columns(pl.col(name) + "-n" for name in own)
    return pl.concat([made.rows, fresh]).sort(_time_of(made.rows))


def wave(made: Change) -> pl.DataFrame:
    """One user in eight joins a crew of twenty that likes what it is called to within a minute."""
    size = max(WAVE_SIZE, made.users.len() // 8)
    # The same crews every day: drawn by the world's users, not by the day.
    crew = np.random.default_rng(made.users.len()).permutation(made.users.len())[:size]
    posts = made.rows.get_column("content_id").unique().sort()
    parts = [made.rows]
    for start in range(0, size - WAVE_SIZE + 1, WAVE_SIZE):
        for _ in range(made.chance.poisson(1.5)):
            members = crew[start : start + WAVE_SIZE]
            members = members[made.chance.random(len(members)) < 0.75]
            begins = made.start_us + made.chance.integers(0, DAY_US - 60_000_000)
            times = begins + made.chance.integers(0, 60_000_000, len(members))
            post = posts[int(made.chance.integers(0, posts.len()))]
            parts.append(
                pl.DataFrame({"user_id": made.users.gather(members)})
                .with_columns(pl.lit(post).alias("content_id"), pl.Series("ts", times))
                .with_columns(pl.col("ts").cast(made.rows.schema["ts"]))
                .select(made.rows.columns)
            )
    return pl.concat(parts).sort("ts")


def backlog(made: Change) -> pl.DataFrame:
    """Reviewers fall behind: of the newest decisions one in twelve is there."""
    newest = made.rows.get_column("decided_at").dt.timestamp("us").to_numpy() >= made.start_us
    return made.rows.filter(~newest | (made.chance.random(made.rows.height) < 1 / 12))


def flood(made: Change) -> pl.DataFrame:
    """Somebody reports users by lot, and they are enforced: one in sixteen within two weeks."""
    chosen = made.users.sample(made.users.len() // 16, seed=int(made.chance.integers(0, 2**31)))
    times = made.start_us + made.chance.integers(0, 14 * DAY_US, chosen.len())
    schema = made.rows.schema
    more = pl.DataFrame({"user_id": chosen}).with_columns(
        pl.lit(value=True).alias("is_abusive"),
        pl.Series("decided_at", times).cast(schema["decided_at"]),
        pl.lit("report").alias("source"),
    )
    more = more.join(made.rows.select("user_id"), on="user_id", how="anti")
    return pl.concat([made.rows, more.select(made.rows.columns)]).sort("decided_at")


_ACTS = ("logins", "posts", "likes", "follows")
DRIFTS: dict[str, tuple[tuple[str, ...], Callable[[Change], pl.DataFrame]]] = {
    "lost rows": (("likes",), lost_rows),
    "new devices": (("logins",), new_devices),
    "shifted clock": (_ACTS, shifted_clock),
    "newcomers": (_ACTS, newcomers),
    "wave": (("likes",), wave),
    "backlog": (("labels",), backlog),
    "flood": (("labels",), flood),
}
"""Logs that each kind changes, and how it changes a day of one."""


def _time_of(rows: pl.DataFrame) -> str:
    return "created_at" if "created_at" in rows.columns else "ts"


def _moved(made: Change, by_us: pl.Expr | pl.Series) -> pl.DataFrame:
    """Times moved inside the day, those that would leave it coming round to its start."""
    time = _time_of(made.rows)
    since = (pl.col(time).dt.timestamp("us") - made.start_us + by_us) % DAY_US
    kind = made.rows.schema[time]
    return made.rows.with_columns((since + made.start_us).cast(kind).alias(time)).sort(time)


def _day(place: Path) -> date | None:
    named = [part[3:] for part in place.parts if part.startswith("dt=")]
    return date.fromisoformat(named[0]) if named else None


def _write(target: Path, rows: pl.DataFrame, like: Path) -> None:
    table = rows.to_arrow().cast(pq.read_schema(like))
    pq.write_table(table, target, compression="zstd", write_page_checksum=True)


def change_days(as_of: date, days: int = 14) -> tuple[date, date]:
    """The last days before a cutoff."""
    return as_of - timedelta(days=days), as_of

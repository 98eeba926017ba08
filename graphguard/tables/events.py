"""Lazy access to the stored events, edges, features and pairs of a run."""

from pathlib import Path

import narwhals as nw
import polars as pl

from graphguard.schema import PAIRS
from graphguard.tables.commit import read_manifest
from graphguard.tables.engine import Engine, Frame
from graphguard.tables.files import read_parquet
from graphguard.tables.workspace import Run

TIMELESS_US = 0
"""Event time of timeless rows: before every cutoff."""


def scan_events(run: Run, log: str, since_us: int, until_us: int) -> pl.LazyFrame | None:
    """Events of `log` with since_us <= time < until_us, and its timeless ones; None if none.

    Units that lie outside the range are not opened.
    """
    files = event_files(run, log, since_us, until_us)
    if not files:
        return None
    time = pl.col("time_us")
    inside = time.is_between(since_us, until_us, closed="left") | (time == TIMELESS_US)
    return pl.scan_parquet(files, hive_partitioning=False).filter(inside)


def open_events(engine: Engine, run: Run, log: str, since_us: int, until_us: int) -> Frame | None:
    """As `scan_events`, on any engine."""
    files = event_files(run, log, since_us, until_us)
    if not files:
        return None
    time = nw.col("time_us")
    inside = ((time >= since_us) & (time < until_us)) | (time == TIMELESS_US)
    return engine.scan(files).filter(inside)


def event_files(run: Run, log: str, since_us: int, until_us: int) -> list[Path]:
    """Files of the units of `log` that hold events of a span of time, or timeless ones."""
    files = []
    for folder in run.partitions("ingest", f"events/{log}").values():
        facts = read_manifest(folder)
        low, high = facts["first_us"], facts["last_us"]
        if facts["rows"] and (low == TIMELESS_US or (low < until_us and high >= since_us)):
            files.append(folder / "events.parquet")
    return files


def read_features(run: Run, entity_type: str) -> pl.DataFrame:
    """All feature rows of a run, partition by partition in order of anchor."""
    folders = run.partitions("featurize", f"features/{entity_type}").values()
    return pl.concat([read_parquet(folder / "features.parquet") for folder in folders])


def read_pairs(run: Run, partition: str) -> pl.DataFrame:
    """Linked pairs of one anchor; empty where the run has none."""
    folder = run.partitions("link", "pairs").get(partition)
    if folder is None:
        return PAIRS.empty()
    return read_parquet(folder / "pairs.parquet")

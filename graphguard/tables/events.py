"""Lazy access to the stored events, edges, features and pairs of a run."""

from pathlib import Path

import polars as pl

from graphguard.schema import PAIRS
from graphguard.tables.commit import read_manifest
from graphguard.tables.files import read_parquet
from graphguard.tables.workspace import Run

TIMELESS_US = 0
"""Event time of timeless rows: before every cutoff."""


class EventLog:
    """Stored events of one log of a run; the manifests are read once."""

    def __init__(self, run: Run, log: str) -> None:
        self.units: dict[str, tuple[int, int]] = {}
        """First and last event time of each unit that holds events, by name and fingerprint."""
        self._files: dict[str, Path] = {}
        for name, folder in run.partitions("ingest", f"events/{log}").items():
            facts = read_manifest(folder)
            if facts["rows"]:
                unit = f"{name}/{folder.name}"
                self.units[unit] = (facts["first_us"], facts["last_us"])
                self._files[unit] = folder / "events.parquet"

    def overlapping(self, since_us: int, until_us: int) -> list[str]:
        """Units that reach into the time from `since_us` up to `until_us`, sorted."""
        return sorted(
            unit for unit, (low, high) in self.units.items() if low < until_us and high >= since_us
        )

    def scan(self, since_us: int, until_us: int) -> pl.LazyFrame | None:
        """Events with since_us <= time < until_us, and timeless ones; None if there are none.

        Units that lie outside the range are not opened.
        """
        timeless = {unit for unit, (low, _) in self.units.items() if low == TIMELESS_US}
        used = sorted(timeless | set(self.overlapping(since_us, until_us)))
        if not used:
            return None
        scan = pl.scan_parquet([self._files[unit] for unit in used], hive_partitioning=False)
        if all(since_us <= self.units[one][0] and self.units[one][1] < until_us for one in used):
            return scan
        time = pl.col("time_us")
        inside = time.is_between(since_us, until_us, closed="left") | (time == TIMELESS_US)
        return scan.filter(inside)


def scan_events(run: Run, log: str, since_us: int, until_us: int) -> pl.LazyFrame | None:
    """Events of `log` with since_us <= time < until_us, and its timeless ones; None if none."""
    return EventLog(run, log).scan(since_us, until_us)


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

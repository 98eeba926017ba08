"""Lazy access to the stored events, edges, features and pairs of a run."""

from collections.abc import Sequence
from pathlib import Path

import narwhals as nw
import polars as pl

from graphguard.schema import GROUPS, PAIRS
from graphguard.tables.commit import read_manifest
from graphguard.tables.engine import Engine, Frame, PolarsEngine
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
        self._rows: dict[str, int] = {}
        for name, folder in run.partitions("ingest", f"events/{log}").items():
            facts = read_manifest(folder)
            if facts["rows"]:
                unit = f"{name}/{folder.name}"
                self.units[unit] = (facts["first_us"], facts["last_us"])
                self._files[unit] = folder / "events.parquet"
                self._rows[unit] = facts["rows"]

    def overlapping(self, since_us: int, until_us: int) -> list[str]:
        """Units that reach into the time from `since_us` up to `until_us`, sorted."""
        return sorted(
            unit for unit, (low, high) in self.units.items() if low < until_us and high >= since_us
        )

    def most(self, since_us: int, until_us: int) -> int:
        """Most events there can be in that time, timeless ones too."""
        return sum(self._rows[unit] for unit in self._used(since_us, until_us))

    def scan(self, since_us: int, until_us: int) -> pl.LazyFrame | None:
        """Events with since_us <= time < until_us, and timeless ones; None if there are none.

        Units that lie outside the range are not opened.
        """
        frame = self.open(PolarsEngine(), since_us, until_us)
        native: pl.LazyFrame | None = None if frame is None else frame.to_native()
        return native

    def read(self, since_us: int, until_us: int, columns: Sequence[str]) -> pl.DataFrame | None:
        """As `scan`, in memory, some columns alone; page checksums are verified.

        Args:
            since_us: First time.
            until_us: End.
            columns: Which to read; `time_us` is one.
        """
        parts = []
        for unit in self._used(since_us, until_us):
            part = read_parquet(self._files[unit], columns)
            low, high = self.units[unit]
            if low < since_us or high >= until_us:
                time = part.get_column("time_us")
                inside = (time >= since_us) & (time < until_us)
                part = part.filter(inside | (time == TIMELESS_US))
            parts.append(part)
        if not parts:
            return None
        return parts[0] if len(parts) == 1 else pl.concat(parts)

    def _used(self, since_us: int, until_us: int) -> list[str]:
        timeless = {unit for unit, (low, _) in self.units.items() if low == TIMELESS_US}
        return sorted(timeless | set(self.overlapping(since_us, until_us)))

    def open(self, engine: Engine, since_us: int, until_us: int) -> Frame | None:
        """As `scan`, on any engine."""
        used = self._used(since_us, until_us)
        if not used:
            return None
        frame = engine.scan([self._files[unit] for unit in used])
        if all(since_us <= self.units[one][0] and self.units[one][1] < until_us for one in used):
            return frame
        time = nw.col("time_us")
        return frame.filter(((time >= since_us) & (time < until_us)) | (time == TIMELESS_US))


def scan_events(run: Run, log: str, since_us: int, until_us: int) -> pl.LazyFrame | None:
    """Events of `log` with since_us <= time < until_us, and its timeless ones; None if none."""
    return EventLog(run, log).scan(since_us, until_us)


def open_events(engine: Engine, run: Run, log: str, since_us: int, until_us: int) -> Frame | None:
    """As `scan_events`, on any engine."""
    return EventLog(run, log).open(engine, since_us, until_us)


def read_features(run: Run, entity_type: str) -> pl.DataFrame:
    """All feature rows of a run, partition by partition in order of anchor."""
    folders = run.partitions("featurize", f"features/{entity_type}").values()
    return pl.concat([read_parquet(folder / "features.parquet") for folder in folders])


def read_groups(run: Run, partition: str) -> pl.DataFrame:
    """Groups of one anchor; empty where the run has none."""
    folder = run.partitions("featurize", "groups").get(partition)
    return GROUPS.empty() if folder is None else read_parquet(folder / "groups.parquet")


def read_pairs(run: Run, partition: str) -> pl.DataFrame:
    """Linked pairs of one anchor; empty where the run has none."""
    folder = run.partitions("link", "pairs").get(partition)
    if folder is None:
        return PAIRS.empty()
    return read_parquet(folder / "pairs.parquet")

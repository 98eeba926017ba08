"""The id dictionary: each entity's key gets a storage index once and keeps it.

Append-only Parquet segments per entity type. Indices follow the order of arrival and mean nothing
beyond storage: results never depend on them.
"""

import os
from pathlib import Path

import polars as pl

from graphguard.schema import IDS
from graphguard.tables.failpoint import failpoint
from graphguard.tables.files import read_parquet, sync_folder, write_parquet
from graphguard.tables.lease import fenced


class IdStore:
    """Keys and storage indices of one entity type; loaded whole, saved segment by segment.

    Whoever adds keys saves them before anything that holds their indices is committed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        segments = sorted(folder.glob("[0-9]*.parquet")) if folder.is_dir() else []
        parts = [read_parquet(path) for path in segments]
        self._frame = (
            pl.concat(parts)
            if parts
            else pl.DataFrame(schema={"key": pl.String, "index": pl.Int64})
        )
        self._num_segments = len(segments)
        self._unsaved: list[pl.DataFrame] = []

    def __len__(self) -> int:
        return self._frame.height

    @property
    def frame(self) -> pl.DataFrame:
        """Columns `key` and `index`, one row per entity, in order of arrival."""
        return self._frame

    def add(self, keys: pl.Series) -> None:
        """Give indices to the keys not yet known, in sorted order; `save` makes them last."""
        unique = keys.drop_nulls().unique().rename("key").to_frame()
        new = unique.join(self._frame, on="key", how="anti").sort("key")
        if not new.height:
            return
        start = self._frame.height
        indices = pl.int_range(start, start + new.height, dtype=pl.Int64, eager=True)
        new = new.with_columns(indices.alias("index"))
        self._unsaved.append(new)
        self._frame = pl.concat([self._frame, new])

    def encode(self, frame: pl.DataFrame, column: str) -> pl.DataFrame:
        """Replace the strings in `column` by storage indices; unknown keys become null."""
        used = frame.select(pl.col(column).unique().alias("key")).drop_nulls()
        known = used.join(self._frame, on="key", how="inner")
        coded = frame.join(known, left_on=column, right_on="key", how="left", maintain_order="left")
        position = frame.columns.index(column)
        values = coded.get_column("index").rename(column)
        return frame.with_columns(values).select(
            [*frame.columns[:position], column, *frame.columns[position + 1 :]]
        )

    def decode(self, frame: pl.DataFrame, column: str, into: str) -> pl.DataFrame:
        """Add the keys of the storage indices in `column` as the string column `into`."""
        names = self._frame.rename({"index": column, "key": into})
        return frame.join(names, on=column, how="left", maintain_order="left")

    def save(self) -> None:
        """Save the keys added since the last time, durably, as one segment."""
        if not self._unsaved:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        # Indices given out by a holder that was replaced would name other keys.
        with fenced(self.folder):
            self._save(pl.concat(self._unsaved))

    def _save(self, new: pl.DataFrame) -> None:
        final = self.folder / f"{self._num_segments:08d}.parquet"
        aside = self.folder / f".tmp-{final.name}"
        write_parquet(aside, new, IDS)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        failpoint("rename:ids")
        os.replace(aside, final)
        sync_folder(self.folder)
        self._num_segments += 1
        self._unsaved = []

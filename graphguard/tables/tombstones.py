"""Tombstones: who was erased, held so that no raw key can be read from it and no row comes back.

```
erasure/secret                random bytes, readable by the owner alone
erasure/tombstones.parquet    keyed hash (HMAC-SHA-256, 128 bits) of each erased key, by type
erasure/records/<id>.json     what each erasure did; `state` is `open` until it is done
```
A night asks only about keys it has never seen: a key in the id dictionary is not erased, since an
erasure takes it out before it is done, and no night runs on a half-erased workspace.
"""

import hashlib
import hmac
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from graphguard.errors import ArtefactInvalid, ErasureOpen
from graphguard.schema import REJECTS, TOMBSTONES
from graphguard.tables.failpoint import failpoint
from graphguard.tables.files import read_json, read_parquet, sync_folder, write_parquet
from graphguard.tables.ids import IdStore
from graphguard.tables.intake import FILE, Intake

FOLDER = "erasure"
ERASED = "erased"
"""Reason of a row that names an erased entity; it has no value, no time and no place in its file:
its number counts down from -1, so that two erasures and one leave the same."""


class Tombstones:
    """The erased keys of a workspace."""

    def __init__(self, root: Path) -> None:
        """Open those of the workspace at `root`; nothing is written before `add`."""
        self.folder = root / FOLDER

    def __len__(self) -> int:
        return self._frame.height

    def mark(self, entity_type: str, key: str) -> str:
        """Keyed hash of one key: 32 hexadecimal digits that mean nothing without the secret."""
        text = f"{entity_type}\0{key}".encode()
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()[:32]

    def add(self, entity_type: str, keys: Iterable[str]) -> None:
        """Keep the marks of `keys`, durably; those that are held already change nothing."""
        self._make_secret()
        marks = sorted({self.mark(entity_type, key) for key in keys})
        new = pl.DataFrame({"entity_type": [entity_type] * len(marks), "mark": marks})
        every = pl.concat([self._frame, new.cast(self._frame.schema)])
        every = every.unique().sort("entity_type", "mark")
        if every.height == self._frame.height:
            return
        aside = self.folder / ".tmp-tombstones.parquet"
        write_parquet(aside, every, TOMBSTONES)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        failpoint("rename:tombstones")
        os.replace(aside, self._path)
        sync_folder(self.folder)
        self.__dict__.pop("_frame", None)

    def among(self, entity_type: str, keys: Iterable[str]) -> list[str]:
        """Those of `keys` that were erased.

        Cost: one HMAC a key, about a second a million.
        """
        held = self._marks.get(entity_type)
        return [key for key in keys if self.mark(entity_type, key) in held] if held else []

    def copy_to(self, root: Path) -> None:
        """Give another workspace the same tombstones, so that it holds nobody this one may not."""
        if len(self):
            (root / FOLDER).mkdir(parents=True, exist_ok=True)
            for name in ("secret", "tombstones.parquet"):
                shutil.copy2(self.folder / name, root / FOLDER / name)

    @property
    def _path(self) -> Path:
        return self.folder / "tombstones.parquet"

    @cached_property
    def _frame(self) -> pl.DataFrame:
        return read_parquet(self._path) if self._path.is_file() else TOMBSTONES.empty()

    @property
    def _marks(self) -> dict[str, set[str]]:
        groups = self._frame.partition_by("entity_type", as_dict=True)
        return {str(kind): set(part.get_column("mark")) for (kind,), part in groups.items()}

    @cached_property
    def _secret(self) -> bytes:
        path = self.folder / "secret"
        if not path.is_file():
            reason = "is missing, and without it no tombstone can be matched"
            raise ArtefactInvalid(path, reason)
        return path.read_bytes()

    def _make_secret(self) -> None:
        path = self.folder / "secret"
        if path.is_file() or self._path.is_file():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        aside = self.folder / ".tmp-secret"
        aside.unlink(missing_ok=True)
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
        sync_folder(self.folder)


def refuse_half_erased(root: Path) -> None:
    """Refuse to work on a workspace that a killed erasure left half-way.

    Raises:
        ErasureOpen: There is one; it has to be finished first.
    """
    for path in sorted((root / FOLDER / "records").glob("*.json")):
        if read_json(path)["state"] == "open":
            raise ErasureOpen(path)


def without_erased(
    intake: Intake, columns: Mapping[str, str], ids: Mapping[str, IdStore]
) -> Intake:
    """Reject the accepted rows that name an erased entity, and tell no more of them.

    Args:
        intake: What became of the rows of some files; keys are strings, or codes of words.
        columns: Entity type of each entity column.
        ids: Id dictionaries by entity type, of one workspace.

    Returns:
        The same where the workspace has no tombstones.

    Cost: the distinct keys are looked up, and one HMAC for each key the dictionary does not know.
    """
    if not columns:
        return intake
    stones = Tombstones(ids[next(iter(columns.values()))].folder.parents[1])
    if not len(stones):
        return intake
    gone = pl.lit(value=False)
    for column, entity_type in columns.items():
        words = intake.words.get(column)
        held = intake.accepted.get_column(column) if words is None else words
        keys = held.drop_nulls().unique()
        strange = keys.filter(ids[entity_type].find(keys).is_null())
        erased = stones.among(entity_type, strange)
        if erased:
            named = held.is_in(erased)
            values = erased if words is None else named.arg_true().cast(pl.Int32).implode()
            gone |= pl.col(column).is_in(values).fill_null(value=False)
    marked = intake.told.with_columns(gone.alias("__gone"))
    lost = marked.filter("__gone").group_by(FILE).len().sort(FILE)
    counts: list[dict[str, Any]] = [dict(one) for one in intake.counts]
    rejects = [_without_values(intake.rejects, stones, sorted(set(columns.values())))]
    for file, number in lost.iter_rows():
        rejects.append(erased_rows(file, 0, number))
        for one in counts:
            if one["file"] == file:
                one["accepted"] -= number
                one["rejected"] += number
    kept = marked.filter(~pl.col("__gone")).drop("__gone")
    return replace(intake, accepted=kept, rejects=pl.concat(rejects), counts=counts)


def erased_rows(file: str, before: int, number: int) -> pl.DataFrame:
    """REJECTS of `number` rows of a file, where `before` of its rows were erased already."""
    rows = pl.DataFrame({"row": list(range(-before - 1, -before - number - 1, -1))})
    return rows.select(
        pl.lit(file).alias("file"),
        pl.col("row").cast(pl.Int64),
        pl.lit("").alias("column"),
        pl.lit(ERASED).alias("reason"),
        pl.lit(None, dtype=pl.String).alias("value"),
        pl.lit(None, dtype=pl.Int64).alias("time_us"),
    ).cast(REJECTS.empty().schema)


def _without_values(rejects: pl.DataFrame, stones: Tombstones, types: list[str]) -> pl.DataFrame:
    values = rejects.get_column("value").drop_nulls().unique()
    erased = [key for kind in types for key in stones.among(kind, values)]
    if not erased:
        return rejects
    value = pl.col("value")
    return rejects.with_columns(pl.when(~value.is_in(erased)).then(value).alias("value"))

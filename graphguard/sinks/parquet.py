"""The Parquet sink: a folder a table, a partition a day, one file a partition.

```
<sink>/<table>/as_of=2026-01-31/part-<content>.parquet    what readers scan; the folder is a link
<sink>/_history/<as_of>.<run_id>.<content>/<table>/       every version that stands or stood
<sink>/_commits/as_of=2026-01-31.json                     what stands, what stood before, who did it
<sink>/_pending.json                                      only while links are being moved
```
A partition is a symbolic link to an immutable version, moved by one rename: a scan of a table
lists the old file or the new, never both. A file's name holds its content's digest, never a fixed
name: Polars and pyarrow open a file once for the footer and again for the rows, and a fixed name
that is replaced in between gives them the footer of one version and the bytes of another (seen:
panics and wrong page sizes in 1 of 7 scans). With names of their own they get the old rows, the
new rows, or "file not found", after which a reader scans again.

The commit record is written last; `read` follows it, so it gets all tables from one export even
while another is under way. A writer killed between two renames leaves `_pending.json`, and the
next export first puts back what the commit record says.

The column `as_of` is not in the files, as readers of hive partitions expect: it is in the path.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import filelock
import polars as pl

from graphguard.errors import ArtefactInvalid, ColumnMissing, WorkspaceBusy, near_match
from graphguard.sinks.base import SINK_TABLES, RollbackRefused
from graphguard.sinks.difference import SinkDifference, compare
from graphguard.table_schema import TableSchema
from graphguard.tables.failpoint import failpoint
from graphguard.tables.files import (
    drop_asides,
    file_digest,
    fingerprint,
    read_json,
    read_parquet,
    replace_json,
    sync_folder,
    write_parquet,
)

Receipt = dict[str, Any]


def _now() -> datetime:
    return datetime.now(tz=UTC)


class ParquetSink:
    """A folder of enforcement tables in hive partitions by `as_of`.

    Args:
        root: The sink's folder; made at the first export.
        clock: Gives the wall time of a commit record; nothing else reads it.
    """

    def __init__(self, root: Path, clock: Callable[[], datetime] = _now) -> None:
        self.root, self._clock = root, clock

    def read(self, as_of: date) -> dict[str, pl.DataFrame]:
        """All tables of the export that stands for `as_of`, from one commit; empty if none.

        Raises:
            ArtefactInvalid: A stored file is missing or torn.
        """
        current = self._record(as_of)["current"]
        if current is None:
            return {}
        return {
            name: read_parquet(self._file(current, name)).with_columns(pl.lit(as_of).alias("as_of"))
            for name in current["tables"]
        }

    def receipt(self, as_of: date) -> Receipt | None:
        """Receipt of the export that stands for `as_of`."""
        receipt: Receipt | None = self._record(as_of)["current"]
        return receipt

    def difference(self, tables: Mapping[str, pl.DataFrame], as_of: date) -> SinkDifference:
        """What an export of `tables` would change; writes nothing and takes no lock."""
        held = self.read(as_of)
        found = {}
        for name, stored in _stored(tables, as_of).items():
            schema = SINK_TABLES[name]
            found[name] = compare(stored, held.get(name, stored.clear()), schema)
        for name in held.keys() - found.keys():
            found[name] = compare(held[name].clear(), held[name], SINK_TABLES[name])
        current = self.receipt(as_of)
        ordered = {name: found[name] for name in SINK_TABLES if name in found}
        return SinkDifference(as_of, current["run_id"] if current else None, ordered)

    def export(self, tables: Mapping[str, pl.DataFrame], as_of: date, run_id: str) -> Receipt:
        """Replace what the sink holds for `as_of` by `tables`.

        Args:
            tables: Any of `decisions`, `scores`, `rings`, `ring_members`; a table that is left
                out is taken out of the partition.
            as_of: The partition.
            run_id: The run that exports; `rollback` asks for it.

        Returns:
            `sink, as_of, run_id, version, replaces, tables (rows, sha256, file), committed_at`.
            The same rows of the same run, exported again, change nothing and return the first
            receipt.

        Raises:
            ValueError: A table is unknown, repeats a key or holds another `as_of`.
            ColumnMissing: A table lacks a column of its schema, or has one more.
            ColumnTypeWrong: A column has another type, or nulls where none may be.
            WorkspaceBusy: Another process exports to this sink.

        Cost: writes each row once; the replaced version stays under `_history/`.
        """
        stored = _stored(tables, as_of)
        with self._writing():
            record = self._record(as_of)
            current = record["current"]
            receipt = self._write(stored, as_of, run_id)
            if current is not None and receipt["version"] == current["version"]:
                self._show(as_of, current)
                return dict(current)
            receipt["replaces"] = current["version"] if current else None
            receipt["committed_at"] = self._clock().isoformat()
            below = record["below"] + ([current] if current else [])
            self._commit(as_of, {**record, "current": receipt, "below": below}, "export", run_id)
        return receipt

    def rollback(self, run_id: str) -> list[dict[str, Any]]:
        """Restore what stood before the run's export, on every day where it stands.

        Returns:
            Per day: `as_of`, `run_id` taken back, `restored` (run that stands again, or None).

        Raises:
            RollbackRefused: The run never exported here, or a later run has replaced it.
            WorkspaceBusy: Another process exports to this sink.
        """
        done = []
        if not self.root.is_dir():
            raise self._refused(run_id, [])
        with self._writing():
            records = self._records()
            days = [one for one in records if one["current"] and one["current"]["run_id"] == run_id]
            if not days:
                raise self._refused(run_id, records)
            for record in days:
                # A run that exported twice is taken back whole.
                below = list(record["below"])
                while below and below[-1]["run_id"] == run_id:
                    below.pop()
                restored = below.pop() if below else None
                as_of = date.fromisoformat(record["as_of"])
                after = {**record, "current": restored, "below": below}
                self._commit(as_of, after, "rollback", run_id)
                name = restored["run_id"] if restored else None
                done.append({"as_of": record["as_of"], "run_id": run_id, "restored": name})
        return done

    @staticmethod
    def _refused(run_id: str, records: list[dict[str, Any]]) -> RollbackRefused:
        for record in records:
            if any(receipt["run_id"] == run_id for receipt in record["below"]):
                later = record["current"]["run_id"] if record["current"] else "another run"
                reason = (
                    f"run '{later}' replaced it for as_of {record['as_of']}; "
                    f"roll '{later}' back first"
                )
                return RollbackRefused(run_id, reason, replaced=True)
        runs = {record["current"]["run_id"] for record in records if record["current"]}
        stands = ", ".join(sorted(runs)) or "none"
        near = near_match(run_id, runs)
        reason = f"this sink holds no export of it (standing: {stands}).{near}"
        return RollbackRefused(run_id, reason)

    def recover(self) -> None:
        """Put back what the commit records say after a killed writer; does nothing otherwise."""
        with self._writing():
            pass

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        path = self.root / "LOCK"
        lock = filelock.FileLock(path, timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout as error:
            holder = "another export"
            raise WorkspaceBusy(path, holder) from error
        try:
            self._repair()
            try:
                yield
            except OSError:
                # A full disk must not leave readers with half an export until tomorrow.
                self._repair()
                raise
        finally:
            lock.release()

    def _repair(self) -> None:
        drop_asides(self.root)
        pending = self.root / "_pending.json"
        if pending.is_file():
            as_of = date.fromisoformat(read_json(pending)["as_of"])
            self._show(as_of, self._record(as_of)["current"])
            failpoint("sink:repaired")
            pending.unlink()
            sync_folder(self.root)
        self._drop_orphans()

    def _drop_orphans(self) -> None:
        history = self.root / "_history"
        if not history.is_dir():
            return
        known = {
            receipt["version"]
            for record in self._records()
            for receipt in [*record["below"], record["current"]]
            if receipt
        }
        for folder in sorted(history.iterdir()):
            if folder.name not in known:
                shutil.rmtree(folder)

    def _write(
        self, stored: Mapping[str, pl.DataFrame], as_of: date, run_id: str, *, older: bool = False
    ) -> Receipt:
        """Write a version and move it into the history; readers do not see it yet.

        Args:
            stored: The tables.
            as_of: Their day.
            run_id: Their run.
            older: Whether an older program may have exported them: without columns of today, and
                with some that no longer leave the workspace, which are left out.
        """
        aside = self.root / "_staging"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        tables: dict[str, dict[str, Any]] = {}
        for name, frame in stored.items():
            path = aside / name / "rows"
            schema = _stored_schema(name)
            if older:
                schema = schema.held_by(frame.columns)
                frame = frame.select(list(schema.columns))
            rows = write_parquet(path, frame, schema)
            tables[name] = {"rows": rows, "sha256": file_digest(path)}
        content = fingerprint({name: facts["sha256"] for name, facts in tables.items()})
        receipt = {
            "sink": "parquet",
            "as_of": as_of.isoformat(),
            "run_id": run_id,
            "version": f"{as_of.isoformat()}.{run_id}.{content}",
            "tables": {
                name: {**facts, "file": f"part-{content}.parquet"} for name, facts in tables.items()
            },
        }
        for name in tables:
            _sync_file(aside / name / "rows")
            os.rename(aside / name / "rows", aside / name / f"part-{content}.parquet")
            sync_folder(aside / name)
        sync_folder(aside)
        final = self._version(receipt)
        failpoint("sink:written")
        if final.exists():
            # The same rows of the same run: what is there may be linked and is not touched.
            shutil.rmtree(aside)
        else:
            final.parent.mkdir(exist_ok=True)
            os.rename(aside, final)
            sync_folder(final.parent)
        failpoint("sink:version")
        return receipt

    def _commit(self, as_of: date, record: dict[str, Any], what: str, run_id: str) -> None:
        """Show `record`'s current version to readers, then write the record."""
        entry = {"what": what, "run_id": run_id, "at": self._clock().isoformat()}
        record = {
            **record,
            "sequence": record["sequence"] + 1,
            "log": [*record["log"], entry],
        }
        replace_json(self.root / "_pending.json", {"as_of": as_of.isoformat()})
        failpoint("sink:pending")
        self._show(as_of, record["current"])
        replace_json(self._record_path(as_of), record)
        failpoint("sink:committed")
        (self.root / "_pending.json").unlink()
        sync_folder(self.root)
        failpoint("sink:done")

    def _show(self, as_of: date, receipt: Receipt | None) -> None:
        """Make the partition `as_of` of each table that of `receipt`'s version."""
        if receipt is not None:
            self._verify(receipt)
        for name in SINK_TABLES:
            live = self.root / name / f"as_of={as_of.isoformat()}"
            if receipt is not None and name in receipt["tables"]:
                self._link(live, Path("..") / "_history" / receipt["version"] / name)
            elif live.is_symlink():
                live.unlink()
                sync_folder(live.parent)
            failpoint(f"sink:shown:{name}")

    def _verify(self, receipt: Receipt) -> None:
        for name, facts in receipt["tables"].items():
            path = self._file(receipt, name)
            if not path.is_file() or file_digest(path) != facts["sha256"]:
                reason = "is missing or has other bytes than its receipt says"
                raise ArtefactInvalid(path, reason)

    def _link(self, live: Path, target: Path) -> None:
        if live.is_symlink() and Path(os.readlink(live)) == target:
            return
        live.parent.mkdir(exist_ok=True)
        # Not beside the live link: a scan of the table's folder would follow it too.
        aside = self.root / "_link"
        aside.unlink(missing_ok=True)
        os.symlink(target, aside)
        failpoint(f"sink:rename:{live.parent.name}")
        os.replace(aside, live)
        sync_folder(live.parent)
        sync_folder(self.root)

    def _version(self, receipt: Receipt) -> Path:
        return self.root / "_history" / str(receipt["version"])

    def _file(self, receipt: Receipt, name: str) -> Path:
        return self._version(receipt) / name / str(receipt["tables"][name]["file"])

    def _record_path(self, as_of: date) -> Path:
        return self.root / "_commits" / f"as_of={as_of.isoformat()}.json"

    def _record(self, as_of: date) -> dict[str, Any]:
        path = self._record_path(as_of)
        if not path.is_file():
            day = as_of.isoformat()
            return {"as_of": day, "sequence": 0, "current": None, "below": [], "log": []}
        record: dict[str, Any] = read_json(path)
        return record

    def _records(self) -> list[dict[str, Any]]:
        return [read_json(path) for path in sorted((self.root / "_commits").glob("as_of=*.json"))]


def _stored(tables: Mapping[str, pl.DataFrame], as_of: date) -> dict[str, pl.DataFrame]:
    """The rows as they are stored: checked, sorted by key, without the partition column."""
    for name in tables:
        if name not in SINK_TABLES:
            known = ", ".join(SINK_TABLES)
            message = (
                f"a sink has no table '{name}' (known: {known}).{near_match(name, SINK_TABLES)}"
            )
            raise ValueError(message)
    stored = {}
    for name in (one for one in SINK_TABLES if one in tables):
        frame, schema = tables[name], _stored_schema(name)
        for column in schema.columns:
            if column not in frame.columns:
                raise ColumnMissing(name, column, frame.columns)
        if "as_of" in frame.columns:
            others = frame.filter(pl.col("as_of").ne_missing(pl.lit(as_of)))
            if others.height:
                found = others.item(0, "as_of")
                message = (
                    f"table '{name}' holds rows of as_of {found} in the export of "
                    f"{as_of.isoformat()}; export each day by itself"
                )
                raise ValueError(message)
            frame = frame.drop("as_of")
        repeats = frame.filter(pl.struct(list(schema.key)).is_duplicated())
        if repeats.height:
            found = " ".join(str(part) for part in repeats.select(schema.key).row(0))
            message = f"table '{name}' holds the key '{found}' more than once; keep one row a key"
            raise ValueError(message)
        more = [column for column in frame.columns if column not in schema.columns]
        stored[name] = frame.select([*schema.columns, *more]).sort(list(schema.key))
    return stored


def _stored_schema(name: str) -> TableSchema:
    schema = SINK_TABLES[name]
    columns = {key: kind for key, kind in schema.columns.items() if key != "as_of"}
    return TableSchema(schema.name, columns, schema.key, schema.nullable)


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())

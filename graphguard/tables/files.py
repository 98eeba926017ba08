"""Parquet and JSON files: written with checksums and in fixed bytes, read with checks."""

import ctypes
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from graphguard.errors import ArtefactInvalid, FileUnreadable
from graphguard.table_schema import TableSchema
from graphguard.tables.failpoint import failpoint
from graphguard.tables.footers import repeating

ROW_GROUP = 1 << 18
SYNC_FILE_RANGE_WRITE = 2
"""Of Linux: begin to write all pages that are not on disk."""
BATCH = 1 << 16
"""Rows of which few are wanted, looked at together: what is made of them fits the caches."""
MANY_ROWS = 1 << 19
"""A table of more is read by Arrow's own threads."""


def write_parquet(path: Path, table: pa.Table | pl.DataFrame, schema: TableSchema) -> int:
    """Write a table after checking it against its schema; returns the number of rows.

    The bytes depend on the content alone: no time, no host. Page checksums are written.
    """
    table = _as_stored(table, schema)
    with parquet_writer(path, table.schema) as writer:
        for start in range(0, max(table.num_rows, 1), ROW_GROUP):
            writer.write_table(table.slice(start, ROW_GROUP), row_group_size=ROW_GROUP)
            failpoint(f"write:{schema.name}")
    return int(table.num_rows)


class BegunParquet:
    """A file of which the first rows are written before the others are known.

    It holds what `write_parquet` would write of all of them.
    """

    def __init__(self, path: Path, first: pl.DataFrame, schema: TableSchema) -> None:
        """Write what fills row groups of `first`."""
        self._schema, self.rows = schema, first.height
        table = _as_stored(first, schema)
        whole = table.num_rows // ROW_GROUP * ROW_GROUP
        self._rest = table.slice(whole)
        self._open = ExitStack()
        self._writer = self._open.enter_context(parquet_writer(path, table.schema))
        for start in range(0, whole, ROW_GROUP):
            self._writer.write_table(table.slice(start, ROW_GROUP), row_group_size=ROW_GROUP)

    def finish(self, more: pl.DataFrame) -> None:
        """Write the rest, and the rows that come behind."""
        table = pa.concat_tables([self._rest, _as_stored(more, self._schema)]).combine_chunks()
        for start in range(0, max(table.num_rows, 0 if self.rows >= ROW_GROUP else 1), ROW_GROUP):
            self._writer.write_table(table.slice(start, ROW_GROUP), row_group_size=ROW_GROUP)
            failpoint(f"write:{self._schema.name}")
        self.close()

    def close(self) -> None:
        """End the file as it is; who does not finish it writes it anew."""
        self._open.close()


@contextmanager
def parquet_writer(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Open a Parquet file for batches of `schema`, with the settings all our files share.

    Integers are stored as packed differences: a fifth of the time of dictionaries, and smaller.
    """
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
    whole = [one.name for one in schema if _is_packed(one.type)]
    other = [_leaf(one) for one in schema if not _is_packed(one.type)]
    with (
        # Pages go to the file together, not one by one.
        pa.output_stream(path, compression=None, buffer_size=1 << 20) as file,
        pq.ParquetWriter(
            file,
            schema,
            compression=dict.fromkeys(whole, "none") | dict.fromkeys(other, "zstd"),
            use_dictionary=other,
            column_encoding=dict.fromkeys(whole, "DELTA_BINARY_PACKED"),
            write_page_checksum=True,
        ) as writer,
    ):
        yield writer


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Read one of our own Parquet files, verifying page checksums.

    Raises:
        ArtefactInvalid: The file is torn or altered.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            # Small files are many, and read in several threads of ours.
            table = file.read(
                columns=None if columns is None else list(columns),
                use_threads=file.metadata.num_rows > MANY_ROWS,
            )
    except (OSError, pa.ArrowException) as error:
        raise ArtefactInvalid(path, " ".join(str(error).split())) from error
    frame = pl.from_arrow(table)
    return frame if isinstance(frame, pl.DataFrame) else frame.to_frame()


def read_foreign_parquet(
    path: Path,
    columns: Sequence[str] | None,
    coded: Sequence[str] = (),
    footer: pq.FileMetaData | None = None,
) -> pa.Table:
    """Read a file that somebody else wrote, verifying page checksums where it has them.

    Args:
        path: The file.
        columns: Which to read; None for all.
        coded: String columns to read as dictionaries, without making a string of each row, where
            their values repeat.
        footer: Its footer, if it was read before.

    Raises:
        FileUnreadable: The file is no Parquet or is damaged.
    """
    footer = foreign_footer(path)[0] if footer is None else footer
    try:
        with pq.ParquetFile(
            path,
            metadata=footer,
            read_dictionary=repeating(footer, coded),
            page_checksum_verification=True,
        ) as file:
            # Files are read in several threads; those of Arrow's own would be in their way.
            chosen = None if columns is None else list(columns)
            table = file.read(columns=chosen, use_threads=False)
        # Strings are looked at when they are made; those of a dictionary are not.
        for name in coded:
            for chunk in table.column(name).chunks:
                chunk.validate(full=True)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise FileUnreadable(path, " ".join(str(error).split())[:300]) from error
    return table


def read_foreign_rows(
    path: Path, columns: Sequence[str], wanted: Callable[[pa.Table], pl.Series]
) -> tuple[pa.Table, pl.Series, int]:
    """Read some rows of a file that somebody else wrote; the others are held a batch at a time.

    Args:
        path: The file.
        columns: Which to read.
        wanted: Places of the rows of a batch that are wanted, as int64.

    Returns:
        The rows; their places in the file; and how many rows it has.

    Raises:
        FileUnreadable: The file is no Parquet or is damaged.
    """
    parts, places, read = [], [pl.Series(dtype=pl.Int64)], 0
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for batch in file.iter_batches(BATCH, columns=list(columns), use_threads=False):
                chosen = wanted(pa.Table.from_batches([batch]))
                # Asked to take a NumPy array, Arrow imports pandas where that is found.
                parts.append(batch.take(chosen.to_arrow()))
                places.append(chosen + read)
                read += batch.num_rows
            if not read:
                return file.read(columns=list(columns)), places[0], 0
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise FileUnreadable(path, " ".join(str(error).split())[:300]) from error
    return pa.Table.from_batches(parts), pl.concat(places), read


def foreign_footer(path: Path) -> tuple[pq.FileMetaData, pa.Schema]:
    """The footer of somebody else's Parquet file, and the columns it tells of.

    Raises:
        FileUnreadable: The file is no Parquet or is damaged.
    """
    try:
        footer = pq.read_metadata(path)
        return footer, footer.schema.to_arrow_schema()
    except (OSError, pa.ArrowException) as error:
        raise FileUnreadable(path, " ".join(str(error).split())[:300]) from error


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Write `value` as JSON with sorted keys; the same value gives the same bytes.

    Args:
        path: The file.
        value: What to write.
        durable: Whether to sync it; False where the caller syncs the folder.
    """
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(text.encode())
        if durable:
            file.flush()
            os.fsync(file.fileno())


def replace_json(path: Path, value: Any) -> None:
    """Write `value` aside and move it over `path`: readers see the old or the new, never a part."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    write_json(aside, value)
    failpoint(f"pointer:{path.name}")
    os.replace(aside, path)
    sync_folder(path.parent)


def drop_asides(root: Path) -> None:
    """Remove what killed calls of `replace_json` left below `root`.

    Only who alone may write there may call it.
    """
    for path in list(root.rglob(".*")):
        if re.fullmatch(r"\..+\.\d+", path.name) and path.is_file():
            path.unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    """Read a JSON file of our own."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtefactInvalid(path, f"not readable JSON ({error})") from error


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power loss."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_filesystem(folder: Path) -> None:
    """Put all that was written to the filesystem of `folder` on disk, in one call."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if call is None:
        os.sync()
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        if call(handle):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(handle)


def begin_sync(file: IO[bytes]) -> None:
    """Have the system begin to put a file on disk, without waiting for it.

    Where that cannot be asked for, the file gets there when it is synced.
    """
    file.flush()
    call = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if call is not None:
        start, whole = ctypes.c_longlong(0), ctypes.c_longlong(0)
        call(file.fileno(), start, whole, SYNC_FILE_RANGE_WRITE)


def let_go(path: Path) -> None:
    """Tell the system that a file on disk is not read soon: its memory is of use to others."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(value: Any) -> str:
    """Sixteen hexadecimal digits that name a JSON value.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _as_stored(table: pa.Table | pl.DataFrame, schema: TableSchema) -> pa.Table:
    """A table in the kinds that are stored, held against its contract."""
    if isinstance(table, pl.DataFrame):
        # Column by column: the whole would wait for Polars' threads.
        oldest = pl.CompatLevel.oldest()
        columns = table.rechunk().get_columns()
        table = pa.table({one.name: one.to_arrow(compat_level=oldest) for one in columns})
    table = _plain_kinds(table)
    schema.validate(table)
    return table


def _is_packed(kind: pa.DataType) -> bool:
    return bool(pa.types.is_int64(kind) or pa.types.is_int32(kind))


def _leaf(column: pa.Field) -> str:
    """What Parquet calls the values of a column."""
    return f"{column.name}.list.element" if pa.types.is_list(column.type) else column.name


def _plain_kinds(table: pa.Table) -> pa.Table:
    """Store strings and lists as such: Polars hands over large ones, which say nothing more."""
    schema = pa.schema(
        [pa.field(one.name, _plain_kind(one.type), one.nullable) for one in table.schema]
    )
    return table if table.schema.equals(schema) else table.cast(schema)


def _plain_kind(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    return pa.list_(_plain_kind(kind.value_type)) if pa.types.is_large_list(kind) else kind

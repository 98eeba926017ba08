"""The process that opens foreign Parquet files first: what kills it kills nothing else.

Run as `python -m graphguard.tables.prover MEBIBYTES`: one request a line on stdin, its answer on
stdout, both JSON. Its memory is capped at what it had at the start and `MEBIBYTES` more, so that a
file that wants more ends as an error here, or as the end of this process, and never as the end of
the night.

Reads hardly anything of the project, so that it starts in a fraction of a second.
"""

import json
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from graphguard.tables.footers import repeating

BATCH_ROWS = 1 << 16
VIEW_BYTES = 16
"""What a string costs beside its bytes once it is decoded."""
TAIL = 8
"""A Parquet file ends with the footer's length and `PAR1`."""


class RefusedError(Exception):
    """The file may not be read; `limit` is the setting that it exceeds, if it is one."""

    def __init__(self, reason: str, limit: str | None = None) -> None:
        super().__init__(reason)
        self.limit = limit


@dataclass(frozen=True)
class Request:
    """One file to look at.

    Attributes:
        path: The file.
        columns: Names of the columns that will be read.
        coded: Those of them that will be read as dictionaries where their values repeat.
        decode: Whether to decode them all, verifying page checksums.
        limits: Limits of FileLimits by name.
    """

    path: str
    columns: Sequence[str]
    coded: Sequence[str]
    decode: bool
    limits: dict[str, int]


def prove(request: Request, alive: Callable[[], None]) -> dict[str, Any]:
    """Look at the footer, then decode if asked; returns facts about the file.

    Raises:
        RefusedError: It exceeds a limit or is not what its footer says.
        OSError: It is damaged; so for errors of pyarrow.
    """
    _check_footer_size(Path(request.path), request.limits["max_footer_mb"])
    with _opened(request.path) as file:
        _check_shape(file, request.limits)
        wanted = _wanted(file, request.columns)
        _check_sizes(file.metadata, wanted, request.limits)
        _check_words(file.schema_arrow, request.columns)
        checked = bool(wanted) and _has_checksums(Path(request.path), file.metadata, wanted)
        held = [name for name in request.coded if name in file.schema_arrow.names]
        # A night asks the footer this too, and pyarrow ends the process that asks a damaged one.
        coded = repeating(file.metadata, held)
        if request.decode:
            # Damage may show in one way of reading and not in another: this is the night's.
            with _opened(request.path, read_dictionary=coded, metadata=file.metadata) as again:
                _decode(again, request, alive)
        return {"rows": file.metadata.num_rows, "page_checksums": checked}


def _opened(path: str, **how: Any) -> pq.ParquetFile:
    # A buffered stream holds a page at a time, where pre-buffering would hold a row group.
    return pq.ParquetFile(
        path, buffer_size=1 << 20, pre_buffer=False, page_checksum_verification=True, **how
    )


def _check_footer_size(path: Path, most_mb: int) -> None:
    """Bound the footer before it is parsed: parsing takes many times its size."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - TAIL))
        tail = file.read(TAIL)
    if size < TAIL + 4 or tail[4:] != b"PAR1":
        message = f"no Parquet: {size} bytes that do not end with PAR1"
        raise RefusedError(message)
    footer = int.from_bytes(tail[:4], "little")
    if footer > size - TAIL - 4:
        message = f"the footer claims {footer:,} bytes of a file of {size:,}"
        raise RefusedError(message)
    _limit("max_footer_mb", footer / 2**20, most_mb, "a footer of {:,.1f} MiB")


def _check_shape(file: pq.ParquetFile, limits: dict[str, int]) -> None:
    meta = file.metadata
    _limit("max_columns", meta.num_columns, limits["max_columns"], "{:,} columns")
    _limit("max_row_groups", meta.num_row_groups, limits["max_row_groups"], "{:,} row groups")
    _limit("max_rows_per_file", meta.num_rows, limits["max_rows_per_file"], "{:,} rows")
    if meta.num_rows < 0:
        message = f"the footer claims {meta.num_rows:,} rows"
        raise RefusedError(message)
    _limit(
        "max_nesting", _depth(file.schema_arrow), limits["max_nesting"], "columns nested {} deep"
    )


def _depth(schema: pa.Schema) -> int:
    """Depth of the deepest column; without recursion, which a hostile schema could exhaust."""
    deepest = 0
    waiting = [(one.type, 1) for one in schema]
    while waiting:
        kind, depth = waiting.pop()
        deepest = max(deepest, depth)
        waiting += [(kind.field(number).type, depth + 1) for number in range(kind.num_fields)]
    return deepest


def _wanted(file: pq.ParquetFile, columns: Sequence[str]) -> dict[int, pa.DataType]:
    """Leaf columns to be read, by number, with the type of the column they belong to."""
    schema = file.schema_arrow
    twice = [name for name in columns if schema.names.count(name) > 1]
    if twice:
        message = f"the column '{twice[0]}' is there twice"
        raise RefusedError(message)
    held = {name: schema.field(name).type for name in columns if name in schema.names}
    found = {}
    for number in range(file.metadata.num_columns):
        path = file.metadata.schema.column(number).path
        for name, kind in held.items():
            if path == name or path.startswith(f"{name}."):
                found[number] = kind
    return found


def _check_words(schema: pa.Schema, columns: Sequence[str]) -> None:
    """Hand the columns' names, types and notes to Polars, as the night will.

    A footer has no checksum. Where damage made a note no Unicode, Polars panics, and no `except
    Exception` catches that: this process dies of it instead, or finds it first.
    """
    fields = [schema.field(name) for name in columns if name in schema.names]
    for notes in (schema.metadata, *(one.metadata for one in fields)):
        for word in (part for pair in (notes or {}).items() for part in pair):
            word.decode("utf-8")
    whole = pa.schema(fields, schema.metadata)
    pl.from_arrow(pa.table([pa.nulls(0, one.type) for one in fields], schema=whole))


def _check_sizes(
    meta: pq.FileMetaData, wanted: dict[int, pa.DataType], limits: dict[str, int]
) -> None:
    """Rows times width, and the declared bytes of long values, before anything is decoded.

    A footer's own sizes say little: a thousand million equal values take a few megabytes there.
    """
    width = sum(_width(kind) for kind in wanted.values())
    declared = 0
    for number in range(meta.num_row_groups if wanted else 0):
        group = meta.row_group(number)
        for column in wanted:
            chunk = group.column(column)
            size = max(chunk.total_uncompressed_size, chunk.total_compressed_size)
            declared += max(size, 0)
            mean_kb = size / max(chunk.num_values, 1) / 1024
            what = "values of {:,.0f} KiB on average"
            # A dictionary of a few bytes may stand beside no value at all.
            if size > limits["max_value_kb"] * 1024:
                _limit("max_value_kb", mean_kb, limits["max_value_kb"], what)
    decoded = (meta.num_rows * width + declared) / 2**30
    _limit("max_file_gb", decoded, limits["max_file_gb"], "{:,.1f} GiB once decoded")


def _width(kind: pa.DataType) -> int:
    if pa.types.is_dictionary(kind):
        return _width(kind.value_type)
    try:
        return max(1, int(kind.bit_width) // 8)
    except ValueError:
        return VIEW_BYTES


def _decode(file: pq.ParquetFile, request: Request, alive: Callable[[], None]) -> None:
    rows, size, words = 0, 0, 0
    most_kb = request.limits["max_value_kb"]
    columns = [name for name in request.columns if name in file.schema_arrow.names]
    for batch in file.iter_batches(BATCH_ROWS, columns=columns, use_threads=False):
        batch.validate(full=True)
        rows += batch.num_rows
        # Each batch of a row group comes with the group's whole dictionary.
        held = sum(column.dictionary.nbytes for column in batch.columns if _is_coded(column))
        size += batch.nbytes - min(held, words)
        words = held
        for column in batch.columns:
            _limit("max_value_kb", _longest(column) / 1024, most_kb, "a value of {:,.0f} KiB")
        _limit("max_file_gb", size / 2**30, request.limits["max_file_gb"], "{:,.1f} GiB decoded")
        alive()
    if columns and rows != file.metadata.num_rows:
        message = f"the footer claims {file.metadata.num_rows:,} rows, {rows:,} are there"
        raise RefusedError(message)


def _is_coded(column: pa.Array) -> bool:
    return bool(pa.types.is_dictionary(column.type))


def _longest(column: pa.Array) -> int:
    """Bytes of the longest string; 0 for other types."""
    values = column.dictionary if _is_coded(column) else column
    kind = values.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return 0
    return int(pc.max(pc.binary_length(values)).as_py() or 0)


def _has_checksums(path: Path, meta: pq.FileMetaData, wanted: dict[int, pa.DataType]) -> bool:
    """Whether the first page of each column to be read carries a checksum."""
    if not meta.num_row_groups:
        return True
    group = meta.row_group(0)
    with path.open("rb") as file:
        for column in wanted:
            chunk = group.column(column)
            start = chunk.data_page_offset
            if chunk.has_dictionary_page and chunk.dictionary_page_offset:
                start = min(start, chunk.dictionary_page_offset)
            file.seek(max(0, start))
            if not page_has_checksum(file.read(64)):
                return False
    return True


def page_has_checksum(header: bytes) -> bool:
    """Whether a page header (Thrift, compact protocol) has its fourth field, the CRC.

    >>> page_has_checksum(bytes.fromhex("1500 1520 1520 158a01 2c"))
    True
    >>> page_has_checksum(bytes.fromhex("1500 1520 1520 2c"))
    False
    """
    place = 0
    # Type, uncompressed and compressed size: three 32-bit fields that every page has.
    for _ in range(3):
        if header[place : place + 1] != b"\x15":
            return False
        place += 1
        while place < len(header) and header[place] & 0x80:
            place += 1
        place += 1
    return header[place : place + 1] == b"\x15"


def _limit(name: str, found: float, most: int, what: str) -> None:
    if found > most:
        message = f"{what.format(found)}, at most {most:,}"
        raise RefusedError(message, name)


def answer(line: str, say: Callable[[dict[str, Any]], None]) -> None:
    """Look at the file that a request names, and say what was found."""
    request = Request(**json.loads(line))
    try:
        say({"done": prove(request, lambda: say({}))})
    except RefusedError as error:
        say({"refused": str(error), "limit": error.limit})
    except MemoryError:
        say({"refused": "more memory than it may have", "limit": "reader_memory_mb"})
    except (
        *(OSError, ValueError, TypeError, OverflowError, KeyError),
        pl.exceptions.PolarsError,
    ) as error:
        # pyarrow's own errors are all one of these.
        say({"refused": " ".join(str(error).split())[:300], "limit": None})


def cap_memory(megabytes: int) -> None:
    """Allow this process `megabytes` (2**20 bytes) of addresses beyond what it has; no core."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + (megabytes << 20)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Answer requests until stdin ends."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    cap_memory(int(sys.argv[1]))

    def say(value: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()

    say({"ready": True})
    for line in sys.stdin:
        answer(line, say)


if __name__ == "__main__":
    main()

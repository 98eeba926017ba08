"""What a source's rows must hold, and whether a file can hold it."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from graphguard.errors import ColumnMissing, ColumnTypeWrong
from graphguard.tables.column_kinds import is_category, is_key, is_number, is_string, is_time, plain
from graphguard.tables.files import foreign_footer


@dataclass(frozen=True)
class RowContract:
    """What a source's rows must hold."""

    source: str
    keys: tuple[str, ...]
    """Entity columns: strings or integers, never null or empty."""
    optional_keys: tuple[str, ...] = ()
    """Entity columns that may be null, such as the link of a post without one."""
    time: str | None = None
    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    text: str | None = None
    """Column of free text; it may be an entity column as well."""
    times: tuple[str, ...] = ()
    """Further nullable time columns, kept in microseconds."""
    unique: str | None = None
    """Column that names a row; later repeats are rejected."""
    earliest_us: int = 0
    cutoff_us: int = 2**62
    null_time_allowed: bool = False
    coded: bool = False
    """Whether entity columns come as codes into `Intake.words`: most keys repeat, and a string of
    each row would cost more than all else."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns to read, without repeats."""
        named = [
            *self.keys,
            *self.optional_keys,
            self.time,
            *self.numeric,
            *self.categorical,
            *self.times,
            self.text,
            self.unique,
        ]
        return tuple(dict.fromkeys(name for name in named if name is not None))

    @property
    def as_dictionaries(self) -> tuple[str, ...]:
        """Columns that are read as dictionaries where their values repeat."""
        return (*self.keys, *self.optional_keys) if self.coded else ()


def check_columns(path: Path, contract: RowContract) -> pq.FileMetaData:
    """Compare a file's footer with the contract, and return it.

    Raises:
        ColumnMissing: A column is not there.
        ColumnTypeWrong: A column cannot serve as what it is named for.
    """
    footer, schema = foreign_footer(path)
    place = f"{contract.source} ({path})"
    for name in contract.columns:
        if name not in schema.names:
            raise ColumnMissing(place, name, schema.names)
    for names, wanted, test in (
        ((*contract.keys, *contract.optional_keys), "string or integer", is_key),
        ((contract.time,) if contract.time else (), "timestamp, date or integer", is_time),
        (contract.times, "timestamp, date or integer", is_time),
        (contract.numeric, "number", is_number),
        (contract.categorical, "string, integer or boolean", is_category),
        ((contract.text,) if contract.text else (), "string", is_string),
    ):
        for name in names:
            found = plain(schema.field(name).type)
            if not test(found):
                raise ColumnTypeWrong(place, name, str(found), wanted)
    return footer


def check_times(path: Path, footer: pq.FileMetaData, contract: RowContract) -> None:
    """Refuse a file whose integer times are all too small to be microseconds.

    Its footer says how large they are; where it does not, only the rows can tell.

    Args:
        path: The file, to be named.
        footer: As `check_columns` returns it.
        contract: What the source's rows must hold.

    Raises:
        ColumnTypeWrong: The column counts something else, as seconds.
    """
    schema = footer.schema.to_arrow_schema()
    for name in (contract.time, *contract.times):
        if name is None or not pa.types.is_integer(schema.field(name).type):
            continue
        groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
        chunks = [
            column.statistics
            for group in groups
            for place in range(group.num_columns)
            if (column := group.column(place)).path_in_schema == name
        ]
        if chunks and all(chunk is not None and chunk.has_min_max for chunk in chunks):
            largest = max(int(chunk.max) for chunk in chunks)
            if largest < contract.earliest_us:
                place, found = f"{contract.source} ({path})", f"integer (up to {largest:,})"
                wanted = "a timestamp or microseconds since 1970"
                raise ColumnTypeWrong(place, name, found, wanted)

"""Ingest on an engine: files are judged one unit a call, then keys become indices by joins.

Reads foreign Parquet files; writes nothing. The rows of a unit are judged by the same
`tables/intake.read_rows` on every engine: no engine's own reader touches a foreign file, since none
but pyarrow verifies page checksums. What spans units, the ids, is relational.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import narwhals as nw
import polars as pl
import pyarrow as pa

from graphguard.schema import EVENT_TEXT, INTAKE, REJECTS
from graphguard.tables.engine import Bucketed, Engine, Frame
from graphguard.tables.intake import FILE, ROW, TIME, fixed_point, read_rows
from graphguard.tables.row_contract import RowContract

ACCEPTED, REJECTED, COUNTED = range(3)
"""Kinds of rows that the kernel returns."""
KIND = "__kind"
REJECT, COUNT = "__reject_", "__count_"


@dataclass(frozen=True)
class UnitFiles:
    """Files that are judged together: repeats of a key are looked for among them."""

    files: tuple[Path, ...]
    day_end_us: int | None = None
    """End of the day the files are about, if they are about one."""


@dataclass(frozen=True)
class Admission:
    """What became of the rows of a log, in tables of the engine.

    Attributes:
        accepted: `time_us`, then the contract's columns: keys, categories and EVENT_TEXT as
            strings, numbers in fixed point.
        rejects: REJECTS.
        counts: INTAKE.
    """

    accepted: Frame
    rejects: Frame
    counts: Frame


def admit(
    engine: Engine, units: Sequence[UnitFiles], contract: RowContract, root: Path
) -> Admission:
    """Read units, one a call of the kernel, and sort out the bad rows.

    Args:
        engine: Where the kernel runs; files must be reachable from there.
        units: Files by unit, at least one unit.
        contract: What the rows must hold.
        root: Folder that file names in tables are relative to.

    Raises:
        ColumnMissing, ColumnTypeWrong, FileUnreadable: As `read_rows`; from a cluster they come
            wrapped in its own error, which tells their message.
    """
    table = pl.DataFrame(
        {
            "unit": range(len(units)),
            "files": [json.dumps([str(path) for path in unit.files]) for unit in units],
            "day_end_us": [unit.day_end_us for unit in units],
        },
        schema={"unit": pl.Int64, "files": pl.String, "day_end_us": pl.Int64},
    )
    # Codes of one unit mean nothing in another.
    contract = replace(contract, coded=False)
    kernel = partial(_judged, contract=contract, root=root)
    how = Bucketed("unit", len(units), _row_schema(contract))
    # Held: counts, rejects and accepted rows must be of one reading of the files.
    rows = engine.hold(engine.map_buckets(engine.table(table), kernel, how))
    names = _contract_columns(contract)
    accepted = _of_kind(rows, ACCEPTED).select(nw.col(TIME).alias("time_us"), *names)
    return Admission(
        accepted,
        _of_kind(rows, REJECTED).select(*_named(REJECTS.columns, REJECT)),
        _of_kind(rows, COUNTED).select(*_named(INTAKE.columns, COUNT)),
    )


def new_ids(keys: Frame, known: Frame, start: int) -> Frame:
    """Give indices to the keys not yet known, in sorted order.

    Args:
        keys: Column `key`, string; nulls and repeats are left out.
        known: IDS so far.
        start: The first index to give, the number of rows of `known`.

    Returns:
        IDS of the new keys alone.

    Cost: a sort of the new keys; on a cluster by one task, which spills what it cannot hold.
    """
    unique = keys.select("key").drop_nulls().unique()
    new = unique.join(known.select("key"), on="key", how="anti")
    numbered = new.with_row_index("__place", order_by="key")
    return numbered.select("key", (nw.col("__place").cast(nw.Int64) + start).alias("index"))


def encoded(frame: Frame, column: str, ids: Frame) -> Frame:
    """Replace the strings in `column` by storage indices; unknown keys and nulls become null.

    The column moves to the end; rows come in no order.
    """
    names = ids.select(nw.col("key").alias(column), nw.col("index").alias("__index"))
    coded = frame.join(names, on=column, how="left").drop(column)
    return coded.rename({"__index": column})


def _judged(units: pa.Table, contract: RowContract, root: Path) -> pa.Table:
    """The kernel: units to their rows of every kind."""
    schema = _row_schema(contract)
    empty = pl.DataFrame(pl.from_arrow(schema.empty_table()))
    parts = [empty]
    for unit in units.to_pylist():
        files = [Path(name) for name in json.loads(unit["files"])]
        intake = read_rows(files, contract, root, unit["day_end_us"])
        accepted = intake.told.with_columns(fixed_point(name) for name in contract.numeric)
        counts = pl.DataFrame(intake.counts, schema=INTAKE.empty().schema)
        for kind, frame in (
            (ACCEPTED, accepted.select(name for name in empty.columns if name in accepted.columns)),
            (REJECTED, intake.rejects.rename(lambda name: REJECT + name)),
            (COUNTED, counts.rename(lambda name: COUNT + name)),
        ):
            marked = frame.with_columns(pl.lit(kind, dtype=pl.Int64).alias(KIND))
            parts.append(pl.concat([empty, marked], how="diagonal"))
    return pl.concat(parts).to_arrow().cast(schema)


def _row_schema(contract: RowContract) -> pa.Schema:
    """Columns of the rows of all kinds; those of another kind are null."""
    columns = {KIND: pa.int64(), FILE: pa.string(), ROW: pa.int64(), TIME: pa.int64()}
    columns |= _contract_columns(contract)
    columns |= {REJECT + name: kind for name, kind in REJECTS.columns.items()}
    columns |= {COUNT + name: kind for name, kind in INTAKE.columns.items()}
    return pa.schema(list(columns.items()))


def _contract_columns(contract: RowContract) -> dict[str, pa.DataType]:
    words = (*contract.keys, *contract.optional_keys, *contract.categorical)
    text = (EVENT_TEXT,) if contract.text else ()
    columns = dict.fromkeys((*words, *text), pa.string())
    return columns | dict.fromkeys((*contract.numeric, *contract.times), pa.int64())


def _of_kind(rows: Frame, kind: int) -> Frame:
    return rows.filter(nw.col(KIND) == kind)


def _named(columns: dict[str, pa.DataType], prefix: str) -> list[nw.Expr]:
    return [nw.col(prefix + name).alias(name) for name in columns]

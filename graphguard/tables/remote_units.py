"""Units of logs read where an engine runs, one unit a call, and brought here to be encoded.

Reads foreign Parquet files, writes nothing. The kernel is `tables/units.read_unit`, the reader of a
night on one machine: checksums, types, rejects and repeats are its own. Ids are given here, since
one dictionary, and the tombstones beside it, decide about all units.
"""

from collections.abc import Sequence
from datetime import date
from functools import partial

import polars as pl
import pyarrow as pa

from graphguard.config.sections import Config
from graphguard.schema import EVENT_TEXT, INTAKE, REJECTS
from graphguard.tables.engine import Bucketed, Engine
from graphguard.tables.intake import FILE, ROW, TIME, Intake
from graphguard.tables.row_contract import RowContract
from graphguard.tables.sources import SourceUnit
from graphguard.tables.units import UnitRows, log_contract, read_unit

ACCEPTED, REJECTED, COUNTED, WORDS = range(4)
"""Kinds of rows that the kernel returns."""
KIND, UNIT, PLACE = "__kind", "__unit", "__place"
REJECT, COUNT = "__reject_", "__count_"
COLUMN, WORD = "__column", "__word"


def read_units(
    engine: Engine, config: Config, units: Sequence[SourceUnit], as_of: date
) -> list[UnitRows]:
    """Read units on the engine, as `read_unit` reads each.

    Args:
        engine: Where the kernel runs; the files must be reachable from there.
        config: What to read of them.
        units: Units of any logs.
        as_of: The run's cutoff.

    Returns:
        One for each of `units`, in their order.

    Raises:
        ColumnMissing, ColumnTypeWrong, FileUnreadable: As `read_unit`.
    """
    found: dict[SourceUnit, UnitRows] = {}
    for source in dict.fromkeys(unit.source for unit in units):
        mine = [unit for unit in units if unit.source == source]
        found |= dict(zip(mine, _read_log(engine, config, mine, as_of), strict=True))
    return [found[unit] for unit in units]


def _read_log(
    engine: Engine, config: Config, units: list[SourceUnit], as_of: date
) -> list[UnitRows]:
    """Units of one log."""
    contract = log_contract(config, units[0].source)
    kernel = partial(_rows_of_units, config=config, units=units, as_of=as_of)
    how = Bucketed("unit", len(units), _row_schema(contract))
    asked = engine.table(pl.DataFrame({"unit": range(len(units))}, schema={"unit": pl.Int64}))
    try:
        rows = engine.collect(engine.map_buckets(asked, kernel, how))
    except Exception:
        # A cluster tells an error of the kernel in words of its own. Read here, the file at fault
        # says what is wrong with it, under the right exit code.
        for unit in units:
            read_unit(config, unit, as_of)
        raise
    by_unit = rows.partition_by(UNIT, as_dict=True)
    # A unit has a count of each of its files, so none is absent.
    return [
        UnitRows(unit, contract, _intake(by_unit[number,], contract), config.limits.lookback)
        for number, unit in enumerate(units)
    ]


def _intake(rows: pl.DataFrame, contract: RowContract) -> Intake:
    """What became of one unit's rows, in the order in which it was read."""
    parts = {
        kind: rows.filter(pl.col(KIND) == kind).sort(PLACE)
        for kind in (ACCEPTED, REJECTED, COUNTED, WORDS)
    }
    coded = (*contract.keys, *contract.optional_keys)
    told = parts[WORDS].partition_by(COLUMN, as_dict=True)
    none = pl.Series(dtype=pl.String)
    return Intake(
        parts[ACCEPTED]
        .select(_accepted_columns(contract).keys())
        .with_columns(pl.col(name).cast(pl.Int32) for name in coded),
        parts[REJECTED].select(pl.col(REJECT + name).alias(name) for name in REJECTS.columns),
        parts[COUNTED]
        .select(pl.col(COUNT + name).alias(name) for name in INTAKE.columns)
        .rows(named=True),
        {
            name: (told[name,].get_column(WORD) if (name,) in told else none).alias(name)
            for name in coded
        },
    )


def _rows_of_units(
    asked: pa.Table, config: Config, units: Sequence[SourceUnit], as_of: date
) -> pa.Table:
    """The kernel: numbers of units to their rows of every kind."""
    contract = log_contract(config, units[0].source)
    schema = _row_schema(contract)
    empty = pl.DataFrame(pl.from_arrow(schema.empty_table()))
    parts = [empty]
    for number in asked["unit"].to_pylist():
        intake = read_unit(config, units[number], as_of).intake
        words = [
            pl.DataFrame({WORD: values}).with_columns(pl.lit(name).alias(COLUMN))
            for name, values in intake.words.items()
        ]
        counts = pl.DataFrame(intake.counts, schema=INTAKE.empty().schema)
        for kind, frame in (
            (ACCEPTED, intake.told.select(_accepted_columns(contract).keys())),
            (REJECTED, intake.rejects.rename(lambda name: REJECT + name)),
            (COUNTED, counts.rename(lambda name: COUNT + name)),
            *((WORDS, one) for one in words),
        ):
            marked = frame.with_columns(
                pl.int_range(pl.len()).alias(PLACE),
                pl.lit(kind, dtype=pl.Int64).alias(KIND),
                pl.lit(number, dtype=pl.Int64).alias(UNIT),
            )
            parts.append(pl.concat([empty, marked], how="diagonal_relaxed"))
    return pl.concat(parts).to_arrow().cast(schema)


def _row_schema(contract: RowContract) -> pa.Schema:
    """Columns of the rows of all kinds; those of another kind are null."""
    columns = dict.fromkeys((KIND, UNIT, PLACE), pa.int64())
    columns |= _accepted_columns(contract)
    columns |= {REJECT + name: kind for name, kind in REJECTS.columns.items()}
    columns |= {COUNT + name: kind for name, kind in INTAKE.columns.items()}
    columns |= {COLUMN: pa.string(), WORD: pa.string()}
    return pa.schema(list(columns.items()))


def _accepted_columns(contract: RowContract) -> dict[str, pa.DataType]:
    """Columns of accepted rows that storing them needs."""
    columns = {FILE: pa.string(), ROW: pa.int64(), TIME: pa.int64()}
    columns |= dict.fromkeys((*contract.keys, *contract.optional_keys), pa.int64())
    columns |= dict.fromkeys(contract.numeric, pa.float64())
    text = (EVENT_TEXT,) if contract.text else ()
    return columns | dict.fromkeys((*contract.categorical, *text), pa.string())

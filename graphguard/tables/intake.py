"""Read foreign rows and account for each: accepted + rejected + not_yet = read.

A wrong column or type stops the run before any row is read; a bad row goes to `rejects` with its
reason. Rows at or after the cutoff are counted and looked at no further.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from graphguard.config.values import DAY_US
from graphguard.schema import EVENT_TEXT, FIXED_POINT, REJECTS
from graphguard.tables.dictionaries import codes_of
from graphguard.tables.files import read_foreign_parquet, read_foreign_rows
from graphguard.tables.repeats import repeated_places
from graphguard.tables.row_contract import RowContract, check_columns
from graphguard.tables.set_columns import micros, with_set, within, without

SKEW_US = 5 * 60 * 1_000_000
"""A time this much after the end of its file's own day is from the future."""

ROW = "__row"
TIME = "__time"
UNIQUE = "__unique"
FILE = "__file"


@dataclass
class Intake:
    """What became of the rows of some files."""

    accepted: pl.DataFrame
    """Columns as in the contract, but time, text and the row's name in `__time` and its like;
    `__file` is the file, where there are several."""
    rejects: pl.DataFrame
    """REJECTS, without those in `beyond`."""
    counts: list[dict[str, object]] = field(default_factory=list)
    """INTAKE rows as dictionaries."""
    words: dict[str, pl.Series] = field(default_factory=dict)
    """Of each coded column: the string that a code stands for; rejected rows' too."""

    @property
    def told(self) -> pl.DataFrame:
        """The accepted rows, each with its `__file`."""
        if FILE in self.accepted.columns:
            return self.accepted
        return self.accepted.with_columns(pl.lit(self.counts[0]["file"]).alias(FILE))


def read_rows(
    files: Sequence[Path],
    contract: RowContract,
    root: Path,
    day_end_us: int | None = None,
    since_us: int | None = None,
) -> Intake:
    """Read all rows of `files` and sort out the bad ones.

    Args:
        files: Parquet files of one source.
        contract: What the rows must hold.
        root: Folder that file names in tables are relative to.
        day_end_us: End of the day the files are about, if they are about one.
        since_us: Rows before it, and those without a time, were judged by an earlier night: they
            are counted as read and looked at no further. None where none was.
    """
    accepted, rejects, counts = [], [], []
    words: dict[str, pl.Series] = {}
    for path in files:
        footer = check_columns(path, contract)
        name = file_name(path, root)
        if since_us is None:
            table = read_foreign_parquet(path, contract.columns, contract.as_dictionaries, footer)
            read = table.num_rows
            places = pl.Series(np.arange(read))
        else:
            since = partial(_since, time=contract.time, since_us=since_us)
            table, places, read = read_foreign_rows(path, contract.columns, since)
        frame, own = _typed(table, places, contract)
        seen = _before(frame, contract.cutoff_us)
        good, bad = _split(seen, _faults(seen, contract, day_end_us, own), own, name)
        held = {column: len(values) for column, values in words.items()}
        rejects.append(bad)
        counts.append(
            {
                "source": contract.source,
                "file": name,
                "read": read,
                "accepted": good.height,
                "rejected": bad.height,
                "not_yet": frame.height - seen.height,
                "identical": _identical(good),
            }
        )
        # As they came, they may be of another kind in the next file.
        accepted.append(
            with_set(
                without(good, _untyped(contract)),
                *(good.get_column(column) + number for column, number in held.items() if number),
                *([_repeated(name, good.height)] if len(files) > 1 else []),
            )
        )
        words = {
            column: pl.concat([words[column], values]) if column in words else values
            for column, values in own.items()
        }
    together = Intake(pl.concat(accepted), pl.concat(rejects), counts, words)
    return _without_repeats(together, contract)


def _before(frame: pl.DataFrame, cutoff_us: int) -> pl.DataFrame:
    """Rows before the cutoff, and those without a time."""
    latest = frame.get_column(TIME).max()
    if latest is None or int(str(latest)) < cutoff_us:
        return frame
    return frame.filter(pl.col(TIME).is_null() | (pl.col(TIME) < cutoff_us))


def _since(table: pa.Table, time: str | None, since_us: int) -> pl.Series:
    """Places of the rows at or after `since_us`."""
    if time is None:
        return pl.Series(dtype=pl.Int64)
    frame = pl.DataFrame(pl.from_arrow(table.select([time])))
    late = micros(frame.get_column(time)) >= since_us
    return late.arg_true().cast(pl.Int64)


def _untyped(contract: RowContract) -> set[str]:
    """Columns of which only a copy in our types is kept."""
    typed = {
        *contract.keys,
        *contract.optional_keys,
        *contract.categorical,
        *contract.times,
        *contract.numeric,
    }
    copied = (contract.time, contract.text, contract.unique)
    return {name for name in copied if name is not None and name not in typed}


def fixed_point(column: str) -> pl.Expr:
    """A number column as a fixed-point integer, null where it was null."""
    return (pl.col(column).cast(pl.Float64) * FIXED_POINT).round().cast(pl.Int64)


def _typed(
    table: pa.Table, places: pl.Series, contract: RowContract
) -> tuple[pl.DataFrame, dict[str, pl.Series]]:
    """Columns in our types, and each row's place; and what codes of coded columns stand for."""
    coded: dict[str, pl.Series] = {}
    codes = []
    for name in contract.as_dictionaries:
        column, coded[name] = codes_of(table, name)
        codes.append(column)
    kept = [name for name in table.column_names if name not in coded]
    plainly = [pl.Series(name, pl.from_arrow(table.column(name))) for name in kept]
    frame = pl.DataFrame([places.alias(ROW), *plainly, *codes])
    keys = () if contract.coded else (*contract.keys, *contract.optional_keys)
    own = [(contract.text, EVENT_TEXT), (contract.unique, UNIQUE)]
    time = (
        pl.zeros(frame.height, pl.Int64, eager=True)
        if contract.time is None
        else micros(frame.get_column(contract.time))
    )
    named = [(name, alias) for name, alias in own if name is not None]
    return with_set(
        frame,
        time.alias(TIME),
        *(frame.get_column(name).cast(pl.String) for name in (*keys, *contract.categorical)),
        *(micros(frame.get_column(name)) for name in contract.times),
        *(frame.get_column(name).cast(pl.Float64) for name in contract.numeric),
        # A column may be an entity as well as text, or as well as the row's name.
        *(
            coded[name].gather(frame.get_column(name)).alias(alias)
            if name in coded
            else frame.get_column(name).cast(pl.String).alias(alias)
            for name, alias in named
        ),
    ), coded


def _repeated(file: str, rows: int) -> pl.Series:
    return pl.Series(FILE, [file]).new_from_index(0, rows)


Fault = tuple[str, str, pl.Expr]
"""Column, reason, and whether a row has it."""


def _faults(
    frame: pl.DataFrame, contract: RowContract, day_end_us: int | None, words: dict[str, pl.Series]
) -> list[Fault]:
    """What is wrong with some row, as far as nulls and extremes tell; of several the first counts.

    Most files have no faults, and no expression need be run on them.
    """
    faults: list[Fault] = []
    for name in contract.keys:
        value = pl.col(name)
        held = words.get(name, frame.get_column(name))
        blank = held == ""
        if blank.any() or frame.get_column(name).null_count():
            empty = value == ""
            if name in words:
                empty = value.is_in(blank.arg_true().cast(pl.Int32).implode())
            faults.append((name, "null key", value.is_null() | empty))
    if contract.time:
        times, time, name = frame.get_column(TIME), pl.col(TIME), contract.time
        if times.null_count() and not contract.null_time_allowed:
            faults.append((name, "unreadable time", time.is_null()))
        if not within(times, contract.earliest_us, 2**63):
            faults.append((name, "impossible time", time < contract.earliest_us))
        if day_end_us is not None and not within(times, -(2**63), day_end_us + SKEW_US - 1):
            faults.append((name, "time in the future", time >= day_end_us + SKEW_US))
    for name in contract.numeric:
        wild = ~pl.col(name).is_finite() | (pl.col(name).abs() >= 2**42)
        faults.append((name, "number out of range", wild))
    return faults


def _split(
    frame: pl.DataFrame, faults: list[Fault], words: dict[str, pl.Series], file: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Good rows, and REJECTS of the others."""
    if not faults:
        return frame, REJECTS.empty()
    faulty = pl.any_horizontal(fault.fill_null(value=False) for _, _, fault in faults)
    wrong = frame.select(faulty).to_series()
    if not wrong.any():
        return frame, REJECTS.empty()
    bad = frame.filter(wrong).with_columns(
        values.gather(frame.filter(wrong).get_column(name)) for name, values in words.items()
    )
    marked = frame.filter(wrong).select(
        pl.coalesce(pl.when(fault).then(pl.lit(name)) for name, _, fault in faults).alias("column"),
        pl.coalesce(pl.when(fault).then(pl.lit(why)) for _, why, fault in faults).alias("reason"),
    )
    columns = dict.fromkeys(name for name, _, _ in faults)
    value = pl.coalesce(
        pl.when(pl.col("column") == name).then(_shown(name, bad.schema[name])) for name in columns
    )
    rejects = pl.concat([bad, marked], how="horizontal").select(
        pl.lit(file).alias("file"),
        pl.col(ROW).alias("row"),
        "column",
        "reason",
        value.alias("value"),
        pl.col(TIME).alias("time_us"),
    )
    return frame.filter(~wrong), rejects


def _identical(frame: pl.DataFrame) -> int:
    """Rows equal to an earlier one: looked for only where times are equal, which few are."""
    places = _of_equal_times(frame.get_column(TIME))
    if not len(places):
        return 0
    same = frame.drop(ROW)[places]
    return same.height - same.n_unique()


def _of_equal_times(time: pl.Series) -> NDArray[Any]:
    """Places of the times that occur more than once."""
    if time.null_count():
        return time.is_duplicated().arg_true().to_numpy()
    values = time.to_numpy()
    if not time.is_sorted():
        return repeated_places(values)
    same = values[1:] == values[:-1]
    return np.flatnonzero(np.r_[False, same] | np.r_[same, False])[: len(values)]


def _shown(column: str, kind: pl.DataType) -> pl.Expr:
    """A value as text; a time beyond the calendar, which cannot be formatted, as its integer."""
    value = pl.col(column)
    if not isinstance(kind, pl.Datetime):
        return value.cast(pl.String, strict=False)
    day = (
        value.to_physical() // {"ms": 86_400_000, "us": DAY_US, "ns": DAY_US * 1000}[kind.time_unit]
    )
    formatted = pl.when(day.is_between(-700_000, 2_900_000)).then(value).cast(pl.String)
    return formatted.fill_null(value.to_physical().cast(pl.String))


def _without_repeats(intake: Intake, contract: RowContract) -> Intake:
    """Reject all but the first row of each key, in order of file and row."""
    if contract.unique is None:
        return intake
    key = UNIQUE
    names = intake.accepted.get_column(key)
    if not names.null_count() and names.n_unique() == len(names):
        return intake
    repeat = ~pl.col(key).is_first_distinct() & pl.col(key).is_not_null()
    fault = (
        pl.when(repeat)
        .then(pl.lit("repeated key"))
        .when(pl.col(key).is_null())
        .then(pl.lit("null key"))
    )
    marked = intake.told.with_columns(fault.alias("reason"))
    bad = marked.filter(pl.col("reason").is_not_null())
    if not bad.height:
        return intake
    rejects = bad.select(
        pl.col(FILE).alias("file"),
        pl.col(ROW).alias("row"),
        pl.lit(contract.unique).alias("column"),
        "reason",
        pl.col(key).alias("value"),
        pl.col(TIME).alias("time_us"),
    )
    lost = dict(bad.group_by(FILE).len().iter_rows())
    for one in intake.counts:
        number = lost.get(one["file"], 0)
        one["accepted"] = int(str(one["accepted"])) - number
        one["rejected"] = int(str(one["rejected"])) + number
    good = marked.filter(pl.col("reason").is_null()).drop("reason")
    return Intake(good, pl.concat([intake.rejects, rejects]), intake.counts, intake.words)


def file_name(path: Path, root: Path) -> str:
    """What tables call a file: its path below `root`, or all of it."""
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return path.as_posix()

"""Mirror a run's inputs: as they are, or with the rows from a cutoff on changed.

All mirrors have the same relative paths, so the same config reads them and only the rows differ.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from graphguard.config.sections import Config
from graphguard.config.values import DAY_US, day_us
from graphguard.tables.files import parquet_writer, read_foreign_parquet
from graphguard.tables.sources import find_units


@dataclass(frozen=True)
class Source:
    """One log, entity table or the labels: its files, and the columns that a rewrite touches."""

    name: str
    pattern: str
    time: str | None
    keys: tuple[str, ...]
    people: tuple[str, ...]
    """Of these, the columns that hold the training target."""


Change = Callable[[pl.DataFrame, Source, tuple[int, int]], pl.DataFrame]
"""What becomes of the later rows of a file: rows, source, (number of source, number of file)."""


@dataclass
class Mirrored:
    """What a mirror holds."""

    config: Config
    rows: int = 0
    later_rows: int = 0
    """Rows at or after the cutoff, before the rewrite."""
    uncovered: tuple[str, ...] = ()
    """Sources without a time, which no rewrite can reach."""


def mirror(config: Config, as_of: date, folder: Path, change: Change | None = None) -> Mirrored:
    """Write the inputs of `config` below `folder`, rows at or after the cutoff changed if asked."""
    found = Mirrored(_config_of(config, folder))
    uncovered = []
    for number, source in enumerate(sources(config)):
        if source.time is None:
            uncovered.append(source.name)
        for unit in find_units(source.name, source.pattern, config.root):
            for place, path in enumerate(unit.files):
                target = folder / _place(source, unit.name, place)
                target.parent.mkdir(parents=True, exist_ok=True)
                later = _later_rows(path, source.time, as_of)
                frame_rows = len(later)
                found.rows += frame_rows
                found.later_rows += int(later.sum())
                if change is not None and later.any():
                    frame, schema = _read(path)
                    changed = change(frame.filter(later), source, (number, place))
                    _write(target, pl.concat([frame.filter(~later), changed]), schema)
                else:
                    target.symlink_to(path.resolve())
    found.uncovered = tuple(uncovered)
    return found


def sources(config: Config) -> list[Source]:
    """Everything a run reads."""
    target = config.training.target
    logs = []
    for name, log in sorted(config.logs.items()):
        columns = config.entity_columns(name)
        people = tuple(column for column, kind in columns.items() if kind == target)
        time = None if log.timeless else log.time
        logs.append(Source(name, log.path, time, tuple(columns), people))
    tables = [
        Source(name, table.path, table.time, (table.key,), (table.key,) if name == target else ())
        for name, table in sorted(config.entities.items())
    ]
    judged = config.labels
    people = (judged.key,) if judged.entity == target else ()
    labels = Source("labels", judged.path, judged.known_at, (judged.key,), people)
    return [*logs, *tables, labels]


def _config_of(config: Config, folder: Path) -> Config:
    """The config with its sources at their places in the mirror; no manifest lists these files."""
    paths = {source.name: _pattern(source) for source in sources(config)}
    logs = {
        name: log.model_copy(update={"path": paths[name], "manifest": None})
        for name, log in config.logs.items()
    }
    entities = {
        name: table.model_copy(update={"path": paths[name], "manifest": None})
        for name, table in config.entities.items()
    }
    labels = config.labels.model_copy(update={"path": paths["labels"], "manifest": None})
    changes = {
        "logs": logs,
        "entities": entities,
        "labels": labels,
        "root": folder,
        "workspace": Path("workspace"),
        "export": (),
    }
    return config.model_copy(update=changes)


def _pattern(source: Source) -> str:
    part = "dt={date}" if "{date}" in source.pattern else "all"
    return f"inputs/{source.name}/{part}/*.parquet"


def _place(source: Source, unit: str, number: int) -> str:
    return f"inputs/{source.name}/{unit}/{number:05d}.parquet"


def _later_rows(path: Path, time: str | None, as_of: date) -> np.ndarray:
    if time is None:
        return np.zeros(pl.scan_parquet(path).select(pl.len()).collect().item(), dtype=np.bool_)
    column = pl.DataFrame(pl.from_arrow(read_foreign_parquet(path, [time]))).to_series()
    return (_micros(column).fill_null(-1) >= day_us(as_of)).to_numpy().astype(np.bool_)


def _micros(column: pl.Series) -> pl.Series:
    if column.dtype == pl.Date:
        return column.cast(pl.Int64) * DAY_US
    if isinstance(column.dtype, pl.Datetime):
        return column.dt.timestamp("us")
    return column.cast(pl.Int64)


def rewritten(changed: pl.DataFrame, source: Source, seed: tuple[int, int]) -> pl.DataFrame:
    """Give every row another key, other values and another time, still not before the cutoff.

    A third of the rows is dropped, and users never seen before are added.
    """
    rng = np.random.Generator(np.random.PCG64([*seed, changed.height]))
    schema = changed.schema
    changed = changed.filter(rng.random(changed.height) > 1 / 3)
    order = rng.permutation(changed.height)
    columns = []
    for name in changed.columns:
        column = changed.get_column(name)
        if name == source.time:
            columns.append(_moved(column, rng))
        elif name in source.keys and column.dtype == pl.String:
            stranger = pl.Series(rng.random(column.len()) < 0.5)
            fresh = pl.Series([f"stranger-{n}" for n in rng.integers(0, 10**9, column.len())])
            columns.append(fresh.zip_with(stranger, column.gather(order)).alias(name))
        elif column.dtype == pl.Boolean:
            columns.append(~column)
        else:
            columns.append(column.gather(order))
    return pl.DataFrame(columns, schema=schema)


def _read(path: Path) -> tuple[pl.DataFrame, pa.Schema]:
    table = read_foreign_parquet(path, None)
    return pl.DataFrame(pl.from_arrow(table)), table.schema


def _write(target: Path, rows: pl.DataFrame, schema: pa.Schema) -> None:
    with parquet_writer(target, schema) as writer:
        writer.write_table(rows.to_arrow().cast(schema))


def _moved(column: pl.Series, rng: np.random.Generator) -> pl.Series:
    """Later still, by up to a day; integers count as microseconds."""
    shift = pl.Series(rng.integers(0, DAY_US, column.len()))
    if column.dtype == pl.Date:
        return (column.cast(pl.Int32) + 1).cast(pl.Date).alias(column.name)
    if isinstance(column.dtype, pl.Datetime):
        moved = column.dt.timestamp("us") + shift
        zone = column.dtype.time_zone
        timed = moved.cast(pl.Datetime("us"))
        timed = timed.dt.replace_time_zone(zone) if zone else timed
        return timed.cast(column.dtype).alias(column.name)
    return (column.cast(pl.Int64) + shift).cast(column.dtype).alias(column.name)

"""Mirror a run's inputs: as they are, or with every row from the cutoff on rewritten.

Both mirrors have the same relative paths, so the same config reads them and only the rows differ.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

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


@dataclass
class Mirrored:
    """What a mirror holds."""

    config: Config
    rows: int = 0
    later_rows: int = 0
    """Rows at or after the cutoff, before the rewrite."""
    uncovered: tuple[str, ...] = ()
    """Sources without a time, which no rewrite can reach."""


def mirror(config: Config, as_of: date, folder: Path, *, rewrite: bool) -> Mirrored:
    """Write the inputs of `config` below `folder`, later rows rewritten if asked.

    A rewrite gives every row at or after the cutoff another key, other values and another time
    (still not before the cutoff), drops a third of them and adds users never seen before.
    """
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
                if rewrite and later.any():
                    _rewrite(path, target, source, later, seed=(number, place))
                else:
                    target.symlink_to(path.resolve())
    found.uncovered = tuple(uncovered)
    return found


def sources(config: Config) -> list[Source]:
    """Everything a run reads."""
    logs = [
        Source(
            name, log.path, None if log.timeless else log.time, tuple(config.entity_columns(name))
        )
        for name, log in sorted(config.logs.items())
    ]
    tables = [
        Source(name, table.path, table.time, (table.key,))
        for name, table in sorted(config.entities.items())
    ]
    labels = Source("labels", config.labels.path, config.labels.known_at, (config.labels.key,))
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


def _rewrite(
    path: Path, target: Path, source: Source, later: np.ndarray, seed: tuple[int, int]
) -> None:
    table = read_foreign_parquet(path, None)
    frame = pl.DataFrame(pl.from_arrow(table))
    rng = np.random.Generator(np.random.PCG64([*seed, frame.height]))
    kept, changed = frame.filter(~later), frame.filter(later)
    changed = changed.filter(rng.random(changed.height) > 1 / 3)
    order = rng.permutation(changed.height)
    columns = []
    for name in frame.columns:
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
    rewritten = pl.concat([kept, pl.DataFrame(columns, schema=frame.schema)])
    with parquet_writer(target, table.schema) as writer:
        writer.write_table(rewritten.to_arrow().cast(table.schema))


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

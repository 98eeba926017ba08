"""How a log's newest day differs from the two weeks before it: numbers, nulls, categories, times.

A platform that changes a unit, drops a value or renames a category sends files that are valid, and
wrong. Such a change is red where it would move scores, and a warning where it may be meant.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from graphguard.config.sections import Config
from graphguard.config.values import DAY_US, day_us
from graphguard.schema import EVENT_TEXT, FIXED_POINT
from graphguard.tables.commit import read_manifest
from graphguard.tables.workspace import Workspace

DAYS_BEFORE = 14
FEWEST_DAYS = 3
"""Days before that are needed to say what is usual."""
FEWEST_ROWS = 20
"""Rows of the newest day that are needed to say it differs."""
NULL_SHIFT = 0.5
"""A share of nulls that grows by so much is worth a warning."""
NEW_CATEGORIES = 0.5
"""So is such a share of rows whose category no day before had."""


@dataclass
class DayFindings:
    """What is odd about the newest day."""

    gates: list[str] = field(default_factory=list)
    """Nothing may be exported."""
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Days:
    """One log's days before the newest, and the newest: a row of sums each."""

    log: str
    before: list[dict[str, Any]]
    newest: dict[str, Any]


def compare_newest_day(
    config: Config, workspace: Workspace, partitions: Mapping[str, Mapping[str, str]], as_of: date
) -> DayFindings:
    """Hold the day before `as_of` against the 14 days before it, log by log.

    Args:
        config: Names the columns; `limits.max_number_jump` and `limits.min_day_ratio` judge.
        workspace: Holds the stored units.
        partitions: Fingerprint of each unit, by table `events/<log>` and unit.
        as_of: The cutoff.
    """
    found = DayFindings()
    for log, settings in config.logs.items():
        table = f"events/{log}"
        units = [workspace.partition(table, *one) for one in partitions.get(table, {}).items()]
        words = [*settings.categorical, *([EVENT_TEXT] if settings.text else [])]
        watched = [*settings.numeric, *words]
        # The volume of a dated log is judged by its units.
        if settings.timeless or (settings.dated and not watched):
            continue
        files = _recent(units, as_of)
        if not files:
            continue
        inside = pl.col("time_us").is_between(*_span(as_of), closed="left")
        events = pl.scan_parquet(files, hive_partitioning=False).filter(inside)
        days = _by_day(config, log, events, (as_of, _whole(files, words)))
        if days is None:
            continue
        if not settings.dated:
            found.gates += _volume(days, config.limits.min_day_ratio)
        if days.newest["rows"] >= FEWEST_ROWS:
            found.gates += _jumps(days, settings.numeric, config.limits.max_number_jump)
            found.warnings += _nulls(days, watched)
            found.warnings += _one_time(days)
            for column in settings.categorical:
                found.warnings += _categories(log, column, events, as_of)
    return found


def _span(as_of: date) -> tuple[int, int]:
    return day_us(as_of) - (DAYS_BEFORE + 1) * DAY_US, day_us(as_of)


def _recent(units: Sequence[Path], as_of: date) -> list[Path]:
    since, until = _span(as_of)
    files = []
    for folder in units:
        facts = read_manifest(folder)
        if facts["rows"] and facts["first_us"] < until and facts["last_us"] >= since:
            files.append(folder / "events.parquet")
    return files


def _whole(files: Sequence[Path], columns: Sequence[str]) -> set[str]:
    """Columns of which every file's footer says that nothing is null: nobody need read them."""
    left = set(columns)
    for path in files if left else ():
        footer = pq.read_metadata(path)
        for number in range(footer.num_columns):
            name = footer.schema.column(number).path
            parts = (footer.row_group(at).column(number) for at in range(footer.num_row_groups))
            told = (part.statistics for part in parts) if name in left else ()
            if any(one is None or not one.has_null_count or one.null_count for one in told):
                left.discard(name)
    return left


def _by_day(
    config: Config, log: str, events: pl.LazyFrame, known: tuple[date, set[str]]
) -> _Days | None:
    """Sums of each day; None where too few days came before to know what is usual.

    Args:
        config: Names the columns.
        log: The log.
        events: Its recent events.
        known: The cutoff, and columns without nulls.
    """
    as_of, whole = known
    settings = config.logs[log]
    words = [*settings.categorical, *([EVENT_TEXT] if settings.text else [])]
    table = (
        events.group_by((pl.col("time_us") // DAY_US).alias("__day"))
        .agg(
            pl.len().alias("rows"),
            (pl.col("time_us").min() == pl.col("time_us").max()).alias("one_time"),
            *(pl.col(name).median().alias(f"median {name}") for name in settings.numeric),
            *(
                (pl.lit(0) if name in whole else pl.col(name).null_count()).alias(f"nulls {name}")
                for name in (*settings.numeric, *words)
            ),
        )
        .sort("__day")
        .collect()
    )
    newest_day = day_us(as_of) // DAY_US - 1
    rows = table.rows(named=True)
    before = [row for row in rows if row["__day"] < newest_day]
    if len(before) < FEWEST_DAYS:
        return None
    newest = [row for row in rows if row["__day"] == newest_day]
    return _Days(log, before, newest[0] if newest else {"rows": 0})


def _volume(days: _Days, least: float) -> Iterator[str]:
    usual = median(row["rows"] for row in days.before)
    if days.newest["rows"] < least * usual:
        yield (
            f"log '{days.log}' has {days.newest['rows']} rows on its newest day, "
            f"usual are {usual:.0f}"
        )


def _jumps(days: _Days, columns: Sequence[str], most: float) -> Iterator[str]:
    for column in columns:
        name = f"median {column}"
        medians = [row[name] for row in days.before if row[name]]
        now = days.newest[name]
        if len(medians) < FEWEST_DAYS or not now:
            continue
        usual = median(medians)
        if usual and not 1 / most < now / usual < most:
            yield (
                f"log '{days.log}': the median of '{column}' is {now / FIXED_POINT:g} on the "
                f"newest day, usual is {usual / FIXED_POINT:g}; has its unit changed?"
            )


def _nulls(days: _Days, columns: Sequence[str]) -> Iterator[str]:
    for column in columns:
        name = f"nulls {column}"
        usual = median(row[name] / row["rows"] for row in days.before)
        now = days.newest[name] / days.newest["rows"]
        if now - usual >= NULL_SHIFT:
            shown = "text" if column == EVENT_TEXT else column
            yield (
                f"log '{days.log}': '{shown}' is null in {now:.0%} of the newest day's rows, "
                f"usually in {usual:.0%}"
            )


def _one_time(days: _Days) -> Iterator[str]:
    if days.newest["one_time"] and not any(row["one_time"] for row in days.before):
        yield (
            f"log '{days.log}': all {days.newest['rows']} events of the newest day have one and "
            f"the same time; has the time become a date?"
        )


def _categories(log: str, column: str, events: pl.LazyFrame, as_of: date) -> Iterator[str]:
    start = day_us(as_of) - DAY_US
    value = pl.col(column)
    known = events.filter(pl.col("time_us") < start).select(value.unique()).collect()
    newest = events.filter(pl.col("time_us") >= start).filter(value.is_not_null())
    counts = newest.group_by(value).len().sort("len", column, descending=[True, False]).collect()
    held = known.get_column(column).drop_nulls()
    if not len(held) or not counts.height:
        return
    new = counts.filter(~value.is_in(held.implode()))
    share = int(new.get_column("len").sum()) / int(counts.get_column("len").sum())
    if share >= NEW_CATEGORIES:
        yield (
            f"log '{log}': {share:.0%} of the newest day's rows have a '{column}' that no day "
            f"before had, first '{new.get_column(column)[0]}'; has it been renamed?"
        )

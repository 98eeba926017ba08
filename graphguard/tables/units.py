"""Store one unit of a log: validated, encoded once, sorted by time, in an immutable partition."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from graphguard.config.sections import Config
from graphguard.config.values import DAY_US, day_us
from graphguard.schema import EVENT_TEXT, EVENTS, INTAKE, REJECTS
from graphguard.tables.files import fingerprint, read_parquet, write_parquet
from graphguard.tables.ids import IdStore
from graphguard.tables.intake import SKEW_US, TIME, RowContract, fixed_point, read_rows
from graphguard.tables.late import set_aside_late
from graphguard.tables.sources import DigestCache, SourceUnit
from graphguard.tables.tombstones import without_erased

FORMAT = 1
"""Raised when stored units of an older program may no longer be used."""


def log_contract(config: Config, log: str) -> RowContract:
    """What the rows of `log` must hold, by the config."""
    settings = config.logs[log]
    columns = config.entity_columns(log)
    edges = [edge for edge in config.graph.edges if edge.log == log]
    ends = {name for edge in edges for name in (edge.source, edge.target)}
    return RowContract(
        source=log,
        keys=tuple(name for name in columns if name in ends),
        optional_keys=tuple(name for name in columns if name not in ends),
        time=None if settings.timeless else settings.time,
        numeric=settings.numeric,
        categorical=settings.categorical,
        text=settings.text,
        unique=settings.key,
        earliest_us=day_us(config.limits.earliest),
    )


def unit_fingerprint(config: Config, unit: SourceUnit, digests: DigestCache, as_of: date) -> str:
    """Name of all that goes into a unit's stored events.

    A daily unit that ended before the cutoff holds the same events for every later night; any
    other unit depends on the cutoff.
    """
    log = config.logs[unit.source]
    facts: dict[str, Any] = {
        "format": FORMAT,
        "files": [(path.name, digests.digest(path)) for path in unit.files],
        "log": log.model_dump(exclude={"path", "allow_missing"}),
        "entities": config.entity_columns(unit.source),
        "required": log_contract(config, unit.source).keys,
        "earliest": config.limits.earliest,
        "lookback": config.limits.lookback.us if unit.day is not None else None,
        "cutoff": None if is_closed(unit, as_of) else as_of,
    }
    return fingerprint(facts)


def is_closed(unit: SourceUnit, as_of: date) -> bool:
    """Whether the unit's day, and the clock skew allowed after it, ended before the cutoff."""
    return unit.day is not None and day_us(unit.day) + DAY_US + SKEW_US <= day_us(as_of)


def write_unit(
    folder: Path, config: Config, unit: SourceUnit, ids: dict[str, IdStore], as_of: date
) -> dict[str, Any]:
    """Write events, rejects, intake and, where there are any, late rows of one unit.

    Args:
        folder: Scratch folder of the partition; gets events.parquet and the others.
        config: The run's config.
        unit: Files to read.
        ids: Id dictionaries by entity type; new keys are added, and saved by the caller.
        as_of: The cutoff.

    Returns:
        Facts for the manifest: rows, late (rows set aside), first_us, last_us.
    """
    cutoff = 2**62 if is_closed(unit, as_of) else day_us(as_of)
    contract = replace(log_contract(config, unit.source), cutoff_us=cutoff)
    end = None if unit.day is None else day_us(unit.day) + DAY_US
    intake = read_rows(unit.files, contract, config.root, end)
    intake = without_erased(intake, config.entity_columns(unit.source), ids)
    intake, late = set_aside_late(intake, unit, contract.time, config.limits.lookback)
    events = _event_table(intake.accepted, config, contract, ids)
    write_parquet(folder / "events.parquet", events, EVENTS)
    if late.height:
        write_parquet(folder / "late.parquet", _event_table(late, config, contract, ids), EVENTS)
    write_parquet(folder / "rejects.parquet", intake.rejects, REJECTS)
    counts = pl.DataFrame(intake.counts, schema=INTAKE.empty().schema)
    write_parquet(folder / "intake.parquet", counts, INTAKE)
    times = events.get_column("time_us")
    return {
        "rows": events.height,
        "late": late.height,
        "first_us": int(times[0]) if events.height else 0,
        "last_us": int(times[-1]) if events.height else 0,
    }


def _event_table(
    rows: pl.DataFrame, config: Config, contract: RowContract, ids: dict[str, IdStore]
) -> pl.DataFrame:
    """EVENTS of accepted rows, encoded and in order of time."""
    events = rows.sort(TIME, maintain_order=True)
    events = _encoded(events, config.entity_columns(contract.source), ids)
    words = [EVENT_TEXT] if contract.text else []
    names = [
        *contract.keys,
        *contract.optional_keys,
        *contract.numeric,
        *contract.categorical,
        *words,
    ]
    events = events.with_columns(fixed_point(name) for name in contract.numeric)
    return events.select(pl.col(TIME).alias("time_us"), *names)


def unit_intake(folders: Sequence[Path], as_of: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    """INTAKE and REJECTS of stored units, as a run with this cutoff counts them.

    A row far in the future of an old file was rejected when its unit was stored; for a run whose
    cutoff lies before the row's time it is one not yet seen.
    """
    counts = pl.concat(
        [INTAKE.empty(), *(read_parquet(path / "intake.parquet") for path in folders)]
    )
    rejects = [REJECTS.empty(), *(read_parquet(path / "rejects.parquet") for path in folders)]
    every = pl.concat(rejects)
    not_yet = pl.col("time_us").fill_null(-1) >= day_us(as_of)
    moved = every.filter(not_yet).group_by("file").len().rename({"len": "moved"})
    counts = counts.join(moved, on="file", how="left", maintain_order="left")
    shift = pl.col("moved").fill_null(0).cast(pl.Int64)
    counts = counts.with_columns(pl.col("rejected") - shift, pl.col("not_yet") + shift)
    return counts.drop("moved"), every.filter(~not_yet)


def _encoded(
    events: pl.DataFrame, columns: dict[str, str], ids: dict[str, IdStore]
) -> pl.DataFrame:
    for entity_type in sorted(set(columns.values())):
        used = [events.get_column(name) for name, kind in columns.items() if kind == entity_type]
        ids[entity_type].add(pl.concat([one.rename("key") for one in used]))
    for name, entity_type in columns.items():
        events = ids[entity_type].encode(events, name)
    return events

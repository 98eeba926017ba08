"""Store one unit of a log: validated, encoded once, sorted by time, in an immutable partition."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.config.sections import Config
from graphguard.config.values import DAY_US, Duration, day_us
from graphguard.schema import EVENT_TEXT, EVENTS, INTAKE, REJECTS
from graphguard.tables.acted import Words, acted_file, write_acted
from graphguard.tables.files import fingerprint, read_parquet, write_parquet
from graphguard.tables.ids import Asked, IdStore, IdStores
from graphguard.tables.intake import SKEW_US, TIME, Intake, fixed_point, read_rows
from graphguard.tables.late import set_aside_late
from graphguard.tables.row_contract import RowContract
from graphguard.tables.sources import DigestCache, SourceUnit
from graphguard.tables.threads import threads
from graphguard.tables.tombstones import without_erased

FORMAT = 2
"""Raised when stored units of an older program may no longer be used."""
LOOKED_UP_TOGETHER = 1 << 16
"""Keys that one thread looks up: some milliseconds of work."""


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
        coded=True,
    )


def unit_fingerprint(
    config: Config, unit: SourceUnit, digests: DigestCache, as_of: date | None
) -> str:
    """Name of all that goes into a unit's stored events.

    Args:
        config: What to read of its files.
        unit: The unit.
        digests: Digests of files.
        as_of: The cutoff that rows of the unit were left out for; None where none was.
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
        "cutoff": as_of,
    }
    return fingerprint(facts)


def is_closed(unit: SourceUnit, as_of: date) -> bool:
    """Whether the unit's day, and the clock skew allowed after it, ended before the cutoff."""
    return unit.day is not None and day_us(unit.day) + DAY_US + SKEW_US <= day_us(as_of)


def holds_for(facts: dict[str, Any], as_of: date) -> bool:
    """Whether a unit stored without a cutoff is what a night with this cutoff would store.

    A day's file may hold rows of the first minutes of the next; a night that ends between them and
    the rest must not have seen them.
    """
    return bool(facts["latest_us"] < day_us(as_of))


@dataclass
class UnitRows:
    """One unit on its way into the store."""

    unit: SourceUnit
    contract: RowContract
    intake: Intake
    """Accepted rows by time; entity columns are codes."""
    lookback: Duration
    """How much older than the unit's day a row may be."""
    indices: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    """Of each entity column, by code: the storage index, -1 of one that does not occur;
    `encode_units` finds them."""

    @property
    def whole(self) -> bool:
        """Whether no row was left out for the cutoff."""
        return not any(one["not_yet"] for one in self.intake.counts)


Column = tuple[UnitRows, str, NDArray[np.int64] | None]
"""A unit's entity column, and which of its codes occur: None for all, as nearly always."""


def read_unit(config: Config, unit: SourceUnit, as_of: date) -> UnitRows:
    """Read a unit's files, check every row, and put the good ones in order of time."""
    # Of a day that is over, a row from the cutoff on is one from the future on every night alike.
    cutoff = 2**62 if is_closed(unit, as_of) else day_us(as_of)
    contract = replace(log_contract(config, unit.source), cutoff_us=cutoff)
    end = None if unit.day is None else day_us(unit.day) + DAY_US
    intake = read_rows(unit.files, contract, config.root, end)
    if not intake.accepted.get_column(TIME).is_sorted():
        intake.accepted = intake.accepted.sort(TIME, maintain_order=True)
    return UnitRows(unit, contract, intake, config.limits.lookback)


def encode_units(config: Config, rows: Sequence[UnitRows], ids: IdStores) -> None:
    """Find the storage index of every code of entity columns, for many units at once.

    Rows that name an erased entity are rejected before that.

    Args:
        config: Names the entity columns.
        rows: Units as read; their words are given up for indices, in place.
        ids: Id dictionaries by entity type; new keys are added, and saved by the caller.
    """
    parts: dict[str, list[Column]] = {}
    for one in rows:
        kinds = config.entity_columns(one.unit.source)
        one.intake = without_erased(one.intake, kinds, ids)
        for name, entity_type in kinds.items():
            # Keys that stand in rejected rows alone get no index.
            used = _used(one.intake.accepted.get_column(name), len(one.intake.words[name]))
            parts.setdefault(entity_type, []).append((one, name, used))
    # The next units are read meanwhile: with as many threads here all would wait for each other.
    with threads(beside=1) as pool:
        # The longest work first.
        most = sorted(parts, key=lambda kind: -sum(_number(*column) for column in parts[kind]))
        asked = pool.each(lambda kind: _asked(ids[kind], parts[kind]), most)
        places = [
            (one, start) for one in asked for start in range(0, len(one.keys), LOOKED_UP_TOGETHER)
        ]
        pool.each(lambda part: part[0].look_up(part[1], part[1] + LOOKED_UP_TOGETHER), places)
        pool.each(lambda part: _index(part[0], parts[part[1]]), zip(asked, most, strict=True))
    for one in rows:
        one.intake.words = {}


def _asked(store: IdStore, columns: Sequence[Column]) -> Asked:
    """Some columns' words that occur; all are of one type."""
    return Asked(
        store, pl.concat(_taken(one.intake.words[name], used) for one, name, used in columns)
    )


def _index(asked: Asked, columns: Sequence[Column]) -> None:
    """Give each column the storage indices of its words."""
    codes = asked.codes().to_numpy()
    start = 0
    for one, name, used in columns:
        number = _number(one, name, used)
        index = codes[start : start + number]
        start += number
        if used is not None:
            every = np.full(len(one.intake.words[name]), -1, dtype=np.int64)
            every[used] = index
            index = every
        one.indices[name] = index


def _number(one: UnitRows, name: str, used: NDArray[np.int64] | None) -> int:
    """How many words of a column occur."""
    return len(one.intake.words[name]) if used is None else len(used)


def write_unit(
    folder: Path,
    rows: UnitRows,
    actors: tuple[str, Sequence[str]] | None = None,
    tell: Callable[[Words], None] | None = None,
) -> dict[str, Any]:
    """Write events.parquet of an encoded unit; late.parquet and rejects.parquet if need be.

    Args:
        folder: Where to.
        rows: The unit.
        actors: Entity type of which is kept who acted, and the columns that name it.
        tell: Is told who acted.

    Returns:
        Facts for the manifest: rows, late (rows set aside), first_us, last_us; latest_us, of
        rejected rows too; `intake`, what became of each file; and `reach`, the end of the storage
        indices in each entity column.
    """
    contract = rows.contract
    intake, late = set_aside_late(rows.intake, rows.unit, contract.time, rows.lookback)
    events = _event_table(intake.accepted, rows)
    write_parquet(folder / "events.parquet", events, EVENTS)
    if actors is not None:
        words = write_acted(acted_file(folder, actors[0]), events, actors[1])
        if tell is not None:
            tell(words)
    if late.height:
        write_parquet(folder / "late.parquet", _event_table(late, rows), EVENTS)
    if intake.rejects.height:
        write_parquet(folder / "rejects.parquet", intake.rejects, REJECTS)
    times = events.get_column("time_us")
    last = int(times[-1]) if events.height else 0
    rejected = intake.rejects.get_column("time_us").max()
    return {
        "rows": events.height,
        "late": late.height,
        "intake": intake.counts,
        "first_us": int(times[0]) if events.height else 0,
        "last_us": last,
        "latest_us": last if rejected is None else max(last, int(str(rejected))),
        "reach": {name: int(index.max(initial=-1)) + 1 for name, index in rows.indices.items()},
    }


def _event_table(accepted: pl.DataFrame, rows: UnitRows) -> pl.DataFrame:
    """EVENTS of some accepted rows of an encoded unit."""
    contract = rows.contract
    words = [EVENT_TEXT] if contract.text else []
    names = [
        *contract.keys,
        *contract.optional_keys,
        *contract.numeric,
        *contract.categorical,
        *words,
    ]
    encoded = [_index_of(accepted.get_column(name), index) for name, index in rows.indices.items()]
    if contract.numeric:
        accepted = accepted.with_columns(fixed_point(name) for name in contract.numeric)
    held = {one.name: one for one in (*accepted.get_columns(), *encoded)}
    return pl.DataFrame([held[TIME].rename("time_us"), *(held[name] for name in names)])


def _index_of(codes: pl.Series, index: NDArray[np.int64]) -> pl.Series:
    """Storage index of each code, null for null."""
    if not codes.null_count():
        return pl.Series(codes.name, index.take(codes.to_numpy()))
    known = codes.fill_null(0).to_numpy()
    found = index.take(known) if len(index) else np.zeros(len(codes), np.int64)
    return pl.Series(codes.name, found).zip_with(
        codes.is_not_null(), pl.Series([None], dtype=pl.Int64)
    )


def unit_intake(
    units: Mapping[Path, Mapping[str, Any]], as_of: date
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """INTAKE and REJECTS of stored units (manifests by folder) as a run with this cutoff sees them.

    A row far in the future of an old file was rejected when its unit was stored; for a run whose
    cutoff lies before the row's time it is one not yet seen.
    """
    rows = [one for manifest in units.values() for one in manifest["intake"]]
    counts = pl.DataFrame(rows, schema=INTAKE.empty().schema)
    faulty = [
        folder / "rejects.parquet"
        for folder, manifest in units.items()
        if "rejects.parquet" in manifest["files"]
    ]
    rejects = [REJECTS.empty(), *map(read_parquet, faulty)]
    every = pl.concat(rejects)
    not_yet = pl.col("time_us").fill_null(-1) >= day_us(as_of)
    moved = every.filter(not_yet).group_by("file").len().rename({"len": "moved"})
    counts = counts.join(moved, on="file", how="left", maintain_order="left")
    shift = pl.col("moved").fill_null(0).cast(pl.Int64)
    counts = counts.with_columns(pl.col("rejected") - shift, pl.col("not_yet") + shift)
    return counts.drop("moved"), every.filter(~not_yet)


def _used(codes: pl.Series, number: int) -> NDArray[np.int64] | None:
    """Which of `number` codes occur; None if all do."""
    seen = np.zeros(number, dtype=np.bool_)
    seen[(codes.drop_nulls() if codes.null_count() else codes).to_numpy()] = True
    return None if seen.all() else np.flatnonzero(seen)


def _taken(words: pl.Series, used: NDArray[np.int64] | None) -> pl.Series:
    """The words that occur."""
    return (words if used is None else words[used]).rename("key")

"""Ingest: logs, entity tables and labels become ids, events, entities, labels and rejects."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from statistics import median

import polars as pl

from graphguard.config.anchors import calendar_anchors, check_history
from graphguard.config.values import day_us, us_day
from graphguard.errors import IdsMissing, InputMissing, NothingToDo, TooManyRejects
from graphguard.jobs.context import Facts, Job
from graphguard.jobs.known_tonight import Actors, KnownTonight, actors
from graphguard.schema import DELIVERIES, INTAKE, LABELS, REJECTS
from graphguard.tables.commit import CommitBatch, is_committed, read_manifest
from graphguard.tables.days import compare_newest_day
from graphguard.tables.deliveries import take_deliveries
from graphguard.tables.engine import PolarsEngine
from graphguard.tables.files import write_parquet
from graphguard.tables.ids import IdStores
from graphguard.tables.late import LATE
from graphguard.tables.remote_units import read_units
from graphguard.tables.sources import DigestCache, SourceUnit, find_units
from graphguard.tables.threads import Started, Threads, threads
from graphguard.tables.tombstones import ERASED
from graphguard.tables.units import (
    UnitRows,
    encode_units,
    holds_for,
    is_closed,
    read_unit,
    unit_fingerprint,
    unit_intake,
    write_unit,
)

GROUP_BYTES = 16 << 20
"""Files read together: some millions of rows, for one pass over the ids."""
CLUSTER_GROUP_BYTES = 512 << 20
"""The same on a cluster, whose machines each read some of them; their rows must fit the driver."""


def run(job: Job, out: Path) -> Facts:
    """Store the missing days of every log, and the entities and labels as of the cutoff."""
    ids = IdStores(job.workspace.ids)
    with threads() as pool:
        # Ids are read while files are looked at, and days compared while users are read.
        pool.start(ids.__getitem__, _entity_types(job))
        return _ingested(job, out, ids, pool)


def _ingested(job: Job, out: Path, ids: IdStores, pool: Threads) -> Facts:
    delivered = take_deliveries(job.config, wanted_units(job), job.workspace.root / "cache")
    known = KnownTonight(job, out, ids, pool)
    partitions, missing = _stored_units(job, delivered.units)
    _check_ids(job, partitions, ids)
    known.mark_stored(partitions)
    new = _store_missing(job, missing, ids, known)
    partitions = {
        table: dict(sorted({**marks, **new[table]}.items())) for table, marks in partitions.items()
    }
    folders = [
        job.workspace.partition(table, name, mark)
        for table, names in partitions.items()
        for name, mark in names.items()
    ]
    manifests = {folder: read_manifest(folder) for folder in folders}
    _check_first_day(job, manifests.values())
    counts, rejects = unit_intake(manifests, job.as_of)
    compare = partial(compare_newest_day, job.config, job.workspace, as_of=job.as_of)
    compared = pool.start(compare, [partitions])
    labels, entities, carried = known.end()
    [newest] = compared.results()
    others = [labels, *entities]
    counts = pl.concat([counts, *(one.counts for one in others)]).sort("source", "file")
    rejects = pl.concat([rejects, *(one.rejects for one in others)]).sort("file", "row")
    warnings = [
        *delivered.warnings,
        *newest.warnings,
        *(text for one in others for text in one.warnings),
    ]
    for text in warnings:
        job.reporter.note(text)
    write_parquet(out / "deliveries.parquet", delivered.table, DELIVERIES)
    write_parquet(out / "labels.parquet", labels.table, LABELS)
    write_parquet(out / "intake.parquet", counts, INTAKE)
    write_parquet(out / "rejects.parquet", rejects, REJECTS)
    _check_rejects(job, counts, rejects)
    return {
        "partitions": partitions,
        "entities": carried,
        "rows": int(counts.get_column("accepted").sum()),
        "late": sum(one.get("late", 0) for one in manifests.values()),
        "gates": [*delivered.gates, *newest.gates, *_volume_gates(job, partitions)],
        "warnings": warnings,
    }


def _entity_types(job: Job) -> list[str]:
    """Types that the logs' columns name, in the order in which keys are looked up."""
    named = {kind for log in job.config.logs for kind in job.config.entity_columns(log).values()}
    return sorted(named)


def wanted_units(job: Job) -> dict[str, list[SourceUnit]]:
    """Units of every log that the run needs.

    Raises:
        InputMissing: A log has no file, or a day within the span is absent.
        NothingToDo: The newest day is absent, and the config allows that.
        TooLittleHistory: The logs begin after the first day that training needs.
    """
    found = {
        name: find_units(name, log.path, job.config.root) for name, log in job.config.logs.items()
    }
    first_day = first_needed_day(job)
    dated = [units[0].day for units in found.values() if units[0].day is not None]
    starts = [day for day in dated if day is not None]
    if first_day is not None and starts and len(starts) == len(found):
        _check_span(job, min(starts))
    wanted = {}
    for name, units in found.items():
        inside = [unit for unit in units if _inside(unit, first_day, job.as_of)]
        if job.config.logs[name].dated:
            _check_days(job, name, inside, max(filter(None, (first_day, units[0].day))))
        wanted[name] = inside
    return wanted


def first_needed_day(job: Job) -> date | None:
    """First day of the earliest anchor's window; None where every event counts."""
    if not job.config.training.calendar:
        return None
    return calendar_anchors(job.config, job.as_of).first_day


def _inside(unit: SourceUnit, first_day: date | None, as_of: date) -> bool:
    if unit.day is None:
        return True
    return unit.day < as_of and (first_day is None or unit.day >= first_day)


def _check_span(job: Job, first_log_day: date) -> None:
    if job.config.training.calendar:
        anchors = calendar_anchors(job.config, job.as_of)
        check_history(anchors, first_log_day, job.as_of)


def _check_first_day(job: Job, units: Iterable[Facts]) -> None:
    """The same check for logs without daily files, whose first day is known once they are read."""
    firsts = [facts["first_us"] for facts in units if facts["rows"]]
    timed = [first for first in firsts if first > 0]
    if timed:
        _check_span(job, us_day(min(timed)))


def _check_days(job: Job, log: str, units: list[SourceUnit], start: date) -> None:
    held = {unit.day for unit in units}
    newest = job.as_of - timedelta(days=1)
    span = (job.as_of - start).days
    absent = [day for day in (start + timedelta(days=n) for n in range(span)) if day not in held]
    if not absent:
        return
    settings = job.config.logs[log]
    pattern = settings.path.replace("{date}", absent[-1].isoformat())
    if not settings.allow_missing:
        remedy = f"deliver the day, or set logs.{log}.allow_missing"
        raise InputMissing(log, pattern, remedy)
    if newest in absent:
        message = f"log '{log}' has no files for {newest} and may lack them; nothing to do"
        raise NothingToDo(message)


def _stored_units(
    job: Job, units: dict[str, list[SourceUnit]]
) -> tuple[dict[str, dict[str, str]], dict[SourceUnit, tuple[str, str]]]:
    """Fingerprints of the stored units by table; and of the others, oldest first, both of each."""
    digests = DigestCache(job.workspace.root / "cache" / "digests.json")
    every = sorted(
        (unit for group in units.values() for unit in group),
        key=lambda unit: (unit.day or date.min, unit.source),
    )
    partitions: dict[str, dict[str, str]] = {f"events/{name}": {} for name in units}
    missing: dict[SourceUnit, tuple[str, str]] = {}
    for unit in every:
        whole, cut = (
            unit_fingerprint(job.config, unit, digests, as_of) for as_of in (None, job.as_of)
        )
        mark = _stored(job, unit, whole, cut)
        if mark is None:
            missing[unit] = (whole, cut)
        else:
            partitions[f"events/{unit.source}"][unit.name] = mark
    digests.save()
    return partitions, missing


def _check_ids(job: Job, partitions: dict[str, dict[str, str]], ids: IdStores) -> None:
    """Refuse dictionaries that lack what stored units name: new keys would get those indices."""
    for log in job.config.logs:
        kinds = job.config.entity_columns(log)
        for name, mark in partitions[f"events/{log}"].items():
            folder = job.workspace.partition(f"events/{log}", name, mark)
            # Units of an older program do not say how far they reach.
            for column, reach in read_manifest(folder).get("reach", {}).items():
                store = ids[kinds[column]]
                if reach > store.end:
                    raise IdsMissing(store.folder, store.end, folder, reach)


def _folder(job: Job, unit: SourceUnit, mark: str) -> Path:
    return job.workspace.partition(f"events/{unit.source}", unit.name, mark)


def _stored(job: Job, unit: SourceUnit, whole: str, cut: str) -> str | None:
    """Fingerprint under which the unit is stored as this night needs it."""
    folder = _folder(job, unit, whole)
    if is_committed(folder):
        if is_closed(unit, job.as_of) or holds_for(read_manifest(folder), job.as_of):
            return whole
    return cut if is_committed(_folder(job, unit, cut)) else None


def _store_missing(
    job: Job,
    missing: dict[SourceUnit, tuple[str, str]],
    ids: IdStores,
    known: KnownTonight,
) -> dict[str, dict[str, str]]:
    """Read, encode and write units a group at a time: one pass over the ids for many units.

    Args:
        job: The night.
        missing: Both fingerprints of each unit.
        ids: Id dictionaries; they are saved.
        known: Told of each unit that is written, and when all are encoded, and written.

    Returns:
        The fingerprint of each, by table. A unit of which no row was left out for the cutoff is
        what every later night would store.
    """
    marks: dict[str, dict[str, str]] = {f"events/{name}": {} for name in job.config.logs}
    done = 0
    with CommitBatch(ids.save) as batch, threads() as pool:
        write = partial(_write, batch, actors(job), known)
        written: Started[None] = pool.start(write, [])
        for rows in _read_groups(job, list(missing), pool):
            encode_units(job.config, rows, ids)
            written.results()
            own = [missing[one.unit][0 if one.whole else 1] for one in rows]
            for one, mark in zip(rows, own, strict=True):
                marks[f"events/{one.unit.source}"][one.unit.name] = mark
            folders = [_folder(job, one.unit, mark) for one, mark in zip(rows, own, strict=True)]
            written = pool.start(write, zip(folders, rows, strict=True))
            done += len(rows)
            what = f"{rows[-1].unit.source} {rows[-1].unit.name}"
            job.reporter.step(done, len(missing), what)
        # Entities are encoded while the last units are written, labels while these are synced.
        known.encode()
        written.results()
        known.tell()
    return marks


def _read_groups(job: Job, units: list[SourceUnit], pool: Threads) -> Iterator[list[UnitRows]]:
    """Units as read, a group at a time; the next group is read while one is encoded."""
    if not isinstance(job.engine, PolarsEngine):
        for group in _groups(units, CLUSTER_GROUP_BYTES):
            yield read_units(job.engine, job.config, group, job.as_of)
        return
    read = partial(read_unit, job.config, as_of=job.as_of)
    ahead: Started[UnitRows] | None = None
    for group in _groups(units, GROUP_BYTES):
        ready, ahead = ahead, pool.start(read, group)
        if ready is not None:
            yield ready.results()
    if ahead is not None:
        yield ahead.results()


def _groups(units: Sequence[SourceUnit], size: int) -> Iterator[list[SourceUnit]]:
    """Units in order, together as long as their files are not too large; one at least."""
    group: list[SourceUnit] = []
    held = 0
    for unit in units:
        own = sum(path.stat().st_size for path in unit.files)
        if group and held + own > size:
            yield group
            group, held = [], 0
        group.append(unit)
        held += own
    if group:
        yield group


def _write(
    batch: CommitBatch, actors: Actors, known: KnownTonight, item: tuple[Path, UnitRows]
) -> None:
    folder, rows = item
    facts: Facts = {}
    with batch.committing(folder, facts) as scratch:
        facts.update(write_unit(scratch, rows, actors.get(rows.unit.source), known.take))


def _check_rejects(job: Job, counts: pl.DataFrame, rejects: pl.DataFrame) -> None:
    limit = job.config.limits.max_reject_ratio
    totals = counts.group_by("source").agg(pl.col("read", "rejected").sum(), pl.col("file"))
    for source, read, rejected, files in totals.sort("source").iter_rows():
        mine = rejects.filter(pl.col("file").is_in(files))
        # Rows of erased users, and rows that came too late, are no fault of the log.
        excused = mine.filter(pl.col("reason").is_in([ERASED, LATE])).height
        if rejected - excused > limit * read:
            reasons = dict(
                mine.group_by(pl.format("{} in '{}'", "reason", "column"))
                .len()
                .sort("reason")
                .iter_rows()
            )
            raise TooManyRejects(source, rejected, read, reasons)


def _volume_gates(job: Job, partitions: dict[str, dict[str, str]]) -> list[str]:
    """Red gates: logs whose newest day is far smaller than the two weeks before it."""
    gates = []
    for table, names in partitions.items():
        days = [name for name in sorted(names) if name.startswith("dt=")]
        sizes = [
            read_manifest(job.workspace.partition(table, name, names[name]))["rows"]
            for name in days[-15:]
        ]
        if len(sizes) < 2 or days[-1] != f"dt={us_day(day_us(job.as_of) - 1)}":
            continue
        usual = median(sizes[:-1])
        if sizes[-1] < job.config.limits.min_day_ratio * usual:
            gates.append(
                f"log '{table.removeprefix('events/')}' has {sizes[-1]} rows on its newest day, "
                f"usual are {usual:.0f}"
            )
    return gates

"""Ingest: logs, entity tables and labels become ids, events, entities, labels and rejects."""

from datetime import date, timedelta
from pathlib import Path
from statistics import median

import polars as pl

from graphguard.config.anchors import calendar_anchors, check_history
from graphguard.config.values import day_us, us_day
from graphguard.errors import InputMissing, NothingToDo, TooManyRejects
from graphguard.jobs.context import Facts, Job
from graphguard.schema import DELIVERIES, ENTITIES, INTAKE, LABELS, REJECTS
from graphguard.tables.commit import CommitBatch, is_committed, read_manifest
from graphguard.tables.days import compare_newest_day
from graphguard.tables.deliveries import take_deliveries
from graphguard.tables.files import write_parquet
from graphguard.tables.ids import IdStore
from graphguard.tables.people import Known, read_entities, read_labels
from graphguard.tables.sources import DigestCache, SourceUnit, find_units
from graphguard.tables.units import unit_fingerprint, unit_intake, write_unit


def run(job: Job, out: Path) -> Facts:
    """Store the missing days of every log, and the entities and labels as of the cutoff."""
    delivered = take_deliveries(job.config, wanted_units(job), job.workspace.root / "cache")
    partitions = _store_units(job, delivered.units)
    folders = [
        job.workspace.partition(table, name, mark)
        for table, names in partitions.items()
        for name, mark in names.items()
    ]
    _check_first_day(job, folders)
    counts, rejects = unit_intake(folders, job.as_of)
    labels = _labels(job, partitions)
    known = [labels, *_entities(job, out)]
    counts = pl.concat([counts, *(one.counts for one in known)]).sort("source", "file")
    rejects = pl.concat([rejects, *(one.rejects for one in known)]).sort("file", "row")
    newest = compare_newest_day(job.config, job.workspace, partitions, job.as_of)
    warnings = [
        *delivered.warnings,
        *newest.warnings,
        *(text for one in known for text in one.warnings),
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
        "rows": int(counts.get_column("accepted").sum()),
        "gates": [*delivered.gates, *newest.gates, *_volume_gates(job, partitions)],
        "warnings": warnings,
    }


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
    if job.config.training.event is not None:
        return None
    return calendar_anchors(job.config, job.as_of).first_day


def _inside(unit: SourceUnit, first_day: date | None, as_of: date) -> bool:
    if unit.day is None:
        return True
    return unit.day < as_of and (first_day is None or unit.day >= first_day)


def _check_span(job: Job, first_log_day: date) -> None:
    if job.config.training.event is None:
        anchors = calendar_anchors(job.config, job.as_of)
        check_history(anchors, first_log_day, job.as_of)


def _check_first_day(job: Job, folders: list[Path]) -> None:
    """The same check for logs without daily files, whose first day is known once they are read."""
    firsts = [facts["first_us"] for facts in map(read_manifest, folders) if facts["rows"]]
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


def _store_units(job: Job, units: dict[str, list[SourceUnit]]) -> dict[str, dict[str, str]]:
    """Write the units that are not stored yet, oldest first; returns partitions by table."""
    digests = DigestCache(job.workspace.root / "cache" / "digests.json")
    every = sorted(
        (unit for group in units.values() for unit in group),
        key=lambda unit: (unit.day or date.min, unit.source),
    )
    ids: dict[str, IdStore] = {}
    partitions: dict[str, dict[str, str]] = {f"events/{name}": {} for name in units}

    def save_ids() -> None:
        for store in ids.values():
            store.save()

    with CommitBatch(save_ids) as batch:
        for number, unit in enumerate(every, 1):
            mark = unit_fingerprint(job.config, unit, digests, job.as_of)
            folder = job.workspace.partition(f"events/{unit.source}", unit.name, mark)
            if not is_committed(folder):
                for entity_type in job.config.entity_columns(unit.source).values():
                    if entity_type not in ids:
                        ids[entity_type] = job.workspace.ids(entity_type)
                facts: Facts = {}
                with batch.committing(folder, facts) as scratch:
                    facts.update(write_unit(scratch, job.config, unit, ids, job.as_of))
            partitions[f"events/{unit.source}"][unit.name] = mark
            job.reporter.step(number, len(every), f"{unit.source} {unit.name}")
    digests.save()
    return partitions


def _labels(job: Job, partitions: dict[str, dict[str, str]]) -> Known:
    entity_type = job.config.labels.entity
    seen = []
    for log in job.config.logs:
        kinds = job.config.entity_columns(log)
        folders = [
            job.workspace.partition(f"events/{log}", name, mark)
            for name, mark in partitions[f"events/{log}"].items()
        ]
        files = [one / "events.parquet" for one in folders if read_manifest(one)["rows"]]
        for column in [name for name, kind in kinds.items() if kind == entity_type and files]:
            scan = pl.scan_parquet(files, hive_partitioning=False)
            seen.append(scan.select(pl.col(column).alias("entity").unique()))
    known = (
        pl.concat(seen).unique().drop_nulls().collect() if seen else pl.DataFrame({"entity": []})
    )
    ids = job.workspace.ids(entity_type)
    return read_labels(job.config, job.as_of, ids, known.get_column("entity"))


def _entities(job: Job, out: Path) -> list[Known]:
    known = []
    for entity_type in sorted(job.config.entities):
        ids = job.workspace.ids(entity_type)
        entities = read_entities(job.config, entity_type, job.as_of, ids)
        write_parquet(out / "entities" / f"{entity_type}.parquet", entities.table, ENTITIES)
        known.append(entities)
    return known


def _check_rejects(job: Job, counts: pl.DataFrame, rejects: pl.DataFrame) -> None:
    limit = job.config.limits.max_reject_ratio
    totals = counts.group_by("source").agg(pl.col("read", "rejected").sum(), pl.col("file"))
    for source, read, rejected, files in totals.sort("source").iter_rows():
        if rejected > limit * read:
            mine = rejects.filter(pl.col("file").is_in(files))
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

"""Entity tables and labels as of the cutoff, encoded, with every row accounted for."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.config.sections import Config
from graphguard.config.values import day_us
from graphguard.schema import INTAKE
from graphguard.tables.files import fingerprint
from graphguard.tables.ids import IdStore
from graphguard.tables.intake import FILE, ROW, TIME, Intake, fixed_point, read_rows
from graphguard.tables.known import Known, KnownBefore, added
from graphguard.tables.row_contract import RowContract
from graphguard.tables.sources import find_units
from graphguard.tables.tombstones import without_erased

FORMAT = 1
"""Raised when entity tables of an older program may no longer be carried on."""


def entity_contract(config: Config, entity_type: str) -> RowContract:
    """What the rows of an entity table must hold."""
    settings = config.entities[entity_type]
    return RowContract(
        source=entity_type,
        keys=(settings.key,),
        time=settings.time,
        numeric=settings.numeric,
        categorical=settings.categorical,
        times=(settings.born,) if settings.born else (),
        earliest_us=-(2**62),
    )


def label_contract(config: Config) -> RowContract:
    """What the rows of the label files must hold."""
    settings = config.labels
    return RowContract(
        source="labels",
        keys=(settings.key,),
        time=settings.known_at,
        numeric=(settings.value,),
        categorical=(settings.source,) if settings.source else (),
        earliest_us=day_us(config.limits.earliest),
        null_time_allowed=True,
    )


def entity_rules(config: Config, entity_type: str, files: Sequence[tuple[str, str]]) -> str:
    """Fingerprint of all but the cutoff that decides what an entity table holds.

    Args:
        config: Names the columns.
        entity_type: The type.
        files: Name and SHA-256 of each of its files, in order.
    """
    facts = {
        "format": FORMAT,
        "files": list(files),
        "settings": config.entities[entity_type].model_dump(exclude={"path", "manifest"}),
        "earliest": config.limits.earliest,
    }
    return fingerprint(facts)


def entity_rows(
    config: Config, entity_type: str, as_of: date, before: KnownBefore | None = None
) -> Intake:
    """What becomes of the rows of an entity's files at a cutoff, before anybody asks who is who.

    Args:
        config: Names the files and their columns.
        entity_type: The type.
        as_of: The cutoff.
        before: What an earlier cutoff made of the same files, where that is known; then only rows
            between the two are looked at.
    """
    contract = replace(entity_contract(config, entity_type), cutoff_us=day_us(as_of))
    pattern = config.entities[entity_type].path
    files = find_units(entity_type, pattern, config.root, section="entities")[0].files
    since_us = None if before is None else before.until_us
    return read_rows(files, contract, config.root, since_us=since_us)


def read_entities(
    config: Config,
    entity_type: str,
    as_of: date,
    ids: IdStore,
    rows: Intake,
    before: KnownBefore | None = None,
) -> Known:
    """All versions of the entities' rows that were true before the cutoff (ENTITIES).

    Args:
        config: Names the files and their columns.
        entity_type: The type.
        as_of: The cutoff.
        ids: Ids of the type; keys that no log knows are added and saved.
        rows: Of `entity_rows`: all, or those since what was known before.
        before: What an earlier cutoff made of the same files, where that is known.

    Raises:
        ArtefactInvalid: What was known before does not fit the files.
    """
    settings = config.entities[entity_type]
    intake = without_erased(rows, {settings.key: entity_type}, {entity_type: ids})
    accepted = intake.accepted
    codes = ids.codes(accepted.get_column(settings.key))
    ids.save()
    born = pl.col(settings.born) if settings.born else pl.lit(None, dtype=pl.Int64)
    late_birth = born >= day_us(as_of)
    table = accepted.select(
        codes.alias("entity"),
        pl.col(settings.key).alias("__key"),
        pl.col(TIME).alias("time_us"),
        # A birth at or after the cutoff is not known yet.
        pl.when(~late_birth).then(born).alias("born_us"),
        *(fixed_point(name) for name in settings.numeric),
        *settings.categorical,
    )
    known = Known(
        _in_order(table).drop("__key"),
        _counts(intake.counts),
        intake.rejects,
        early=int((accepted.get_column(TIME) < day_us(config.limits.earliest)).sum()),
        unborn=int(accepted.select(late_birth.sum()).item()),
    )
    if before is not None:
        known = added(before, known)
    taken = int(known.counts.get_column("accepted").sum())
    if settings.time and known.early > taken / 2:
        warning = (
            f"entities.{entity_type}: {known.early} of {taken} rows have a '{settings.time}' "
            f"before {config.limits.earliest}; has its unit changed?"
        )
        known = replace(known, warnings=[warning])
    return known


def _in_order(table: pl.DataFrame) -> pl.DataFrame:
    """Versions by time, those of one time by key; of several of one key the last in the files."""
    table = table.sort("time_us", maintain_order=True)
    same = _as_the_next(table.get_column("time_us"))
    if not same.any():
        return table
    tied = np.flatnonzero(np.r_[False, same] | np.r_[same, False])
    place = np.arange(table.height)
    keys = table[tied].select("time_us", "__key", pl.Series("at", tied))
    place[tied] = keys.sort("time_us", "__key", "at").get_column("at").to_numpy()
    table = table[place]
    repeated = same & _as_the_next(table.get_column("entity"))
    return table.filter(pl.Series(~np.r_[repeated, False])) if repeated.any() else table


def _as_the_next(values: pl.Series) -> NDArray[np.bool_]:
    each = values.to_numpy()
    return np.asarray(each[1:] == each[:-1])


def label_rows(config: Config, as_of: date) -> Intake:
    """What becomes of the rows of the label files at a cutoff, before anybody asks who is who."""
    contract = replace(label_contract(config), cutoff_us=day_us(as_of))
    found = find_units("labels", config.labels.path, config.root, section="labels")
    files = found[0].files
    return read_rows(files, contract, config.root)


def labels_of(config: Config, intake: Intake, ids: IdStore, seen: NDArray[np.bool_]) -> Known:
    """Decisions known before the cutoff about users with an event in the run's span (LABELS).

    Args:
        config: Names the columns of the label files.
        intake: Their rows, of `label_rows`.
        ids: Ids of the labelled entity type; they may hold more than the run's span.
        seen: Whether the user of each storage index has an event in the span, shape [n]. Those from
            n on are in no log, and in no entity table.
    """
    settings = config.labels
    intake = without_erased(intake, {settings.key: settings.entity}, {settings.entity: ids})
    # A row without a time or a decision says nothing about anybody.
    rows = intake.told.filter(pl.col(TIME).is_not_null() & pl.col(settings.value).is_not_null())
    coded = ids.encode(rows, settings.key)
    index = coded.get_column(settings.key).fill_null(len(seen)).to_numpy()
    known = index < len(seen)
    source = pl.col(settings.source).fill_null("") if settings.source else pl.lit("")
    trains = source.is_in(list(settings.train_on)) if settings.train_on else pl.lit(value=True)
    # What the ids hold beyond the span depends on the nights before, and a result may not.
    acted = known.copy()
    acted[known] = seen[index[known]]
    table = coded.filter(pl.Series(acted)).select(
        pl.col(settings.key).alias("entity"),
        pl.col(TIME).alias("known_at_us"),
        (pl.col(settings.value) != 0).alias("bad"),
        source.alias("source"),
        trains.alias("trains"),
    )
    table = table.unique(["entity", "known_at_us", "source"], keep="last", maintain_order=True)
    keys = ids.keys_of(table.get_column("entity")).alias("__key")
    named = table.with_columns(keys).sort("__key", "known_at_us", "source")
    return _with_strangers(
        Known(named.drop("__key"), _counts(intake.counts), intake.rejects),
        rows.filter(pl.Series(~known)),
        settings.key,
    )


def bad_spans(labels: pl.DataFrame) -> pl.DataFrame:
    """Who was held to be bad, from when to when.

    Args:
        labels: LABELS.

    Returns:
        Columns `entity`, `known_at_us` and `until_us` (cleared again; 2**62 if never): one row a
        span that begins with an enforcement, in order of entity and time.
    """
    order = ["known_at_us", "source"]
    before = pl.col("bad").shift(1).over("entity", order_by=order)
    # Every decision is at first taken against a user in good standing.
    turns = labels.filter(pl.col("bad") != before.fill_null(value=False))
    until = pl.col("known_at_us").shift(-1).over("entity", order_by=order)
    spans = turns.with_columns(until.fill_null(2**62).alias("until_us")).filter("bad")
    return spans.select("entity", "known_at_us", "until_us").sort("entity", "known_at_us")


def _with_strangers(known: Known, strangers: pl.DataFrame, key: str) -> Known:
    if not strangers.height:
        return known
    rejects = strangers.select(
        pl.col(FILE).alias("file"),
        pl.col(ROW).alias("row"),
        pl.lit(key).alias("column"),
        pl.lit("unknown user").alias("reason"),
        pl.col(key).alias("value"),
        pl.col(TIME).alias("time_us"),
    )
    first = rejects.row(0, named=True)
    warning = (
        f"labels that name a user whom no log and no entity table knows: {rejects.height}, first "
        f"{first['file']} row {first['row']}: {key} = {first['value']!r}; they train nothing. "
        f"Check labels.key"
    )
    # They stay among the accepted: a label older than the logs is no fault of the file.
    return Known(known.table, known.counts, known.rejects, [*known.warnings, warning])


def _counts(rows: list[dict[str, object]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=INTAKE.empty().schema)

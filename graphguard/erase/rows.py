"""A stored table without the doomed: their rows go, and other rows no longer name them."""

import json
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import polars as pl

from graphguard.erase.columns import EntityColumns
from graphguard.erase.doomed import Doomed
from graphguard.erase.swap import Rewrite, Write
from graphguard.schema import EVENTS, REJECTS, TABLES
from graphguard.table_schema import TableSchema
from graphguard.tables.acted import FOLDER as ACTED
from graphguard.tables.acted import write_acted
from graphguard.tables.commit import read_manifest
from graphguard.tables.files import read_parquet, write_parquet
from graphguard.tables.late import LATE
from graphguard.tables.tombstones import ERASED, erased_rows

LISTS = ("reasons", "ties")
"""Columns with a JSON list, of which the elements that name a doomed entity go."""


def without_doomed(
    frame: pl.DataFrame, place: PurePath, columns: EntityColumns, doomed: Doomed
) -> pl.DataFrame:
    """The rows of a table that name no doomed entity, with texts that name none.

    Args:
        frame: The table.
        place: Its path, relative to the workspace.
        columns: Which columns name entities.
        doomed: Who is to be erased.

    Returns:
        The same object where nothing changes.
    """
    indices, keys = columns.indices(place), columns.keys(place)
    gone = frame.select(doomed.rows(frame, indices, keys).alias("gone")).to_series()
    if gone.len() and gone.any():
        frame = frame.filter(~gone)
    for name, kind in frame.schema.items():
        if kind == pl.String and name not in keys:
            frame = _without_mentions(frame, name, doomed)
    return frame


def table_write(frame: pl.DataFrame, name: str) -> Write:
    """Writes a table as it was written first: same schema, same settings, checksums.

    One that an older program wrote keeps to the columns that it has.
    """
    schema = TABLES.get(name, TableSchema(name, {}, (), open=True))

    def write(path: Path) -> None:
        write_parquet(path, frame, schema.held_by(frame.columns))

    return write


def table_change(
    path: Path, place: PurePath, columns: EntityColumns, doomed: Doomed
) -> tuple[pl.DataFrame, int] | None:
    """The table at `path` without the doomed and how many rows went; None if it stays."""
    before = read_parquet(path)
    after = without_doomed(before, place, columns, doomed)
    return None if after is before else (after, before.height - after.height)


def unit_change(
    folder: Path, place: PurePath, columns: EntityColumns, doomed: Doomed
) -> tuple[Rewrite | None, pl.DataFrame]:
    """What becomes of a stored unit of events, and the events that stay.

    Its rows move from accepted to rejected, as if the unit were read with the tombstones. Which of
    several files a row came from is not stored: the first files in order bear them.
    """
    events = read_parquet(folder / "events.parquet")
    change = Rewrite()
    kept = without_doomed(events, place / "events.parquet", columns, doomed)
    held = folder / "rejects.parquet"
    rejects = read_parquet(held) if held.is_file() else REJECTS.empty()
    after = without_doomed(_without_values(rejects, doomed), place / "rejects.parquet",
                           columns, doomed)  # fmt: skip
    late = _late_change(folder, place, columns, doomed)
    if late is not None:
        change.writes["late.parquet"] = table_write(late[0], EVENTS.name)
        after = _without_late(after, late[1])
    change.rows = events.height - kept.height
    if change.rows:
        counts, more = _counted(read_manifest(folder)["intake"], after, change.rows)
        after = pl.concat([after, *more])
        change.facts["intake"] = counts
    if after is not rejects:
        change.writes["rejects.parquet"] = table_write(after, "rejects")
    if kept is not events:
        change.writes["events.parquet"] = table_write(kept, EVENTS.name)
        change.writes |= _acted_writes(folder, place, columns, kept)
        times = kept.get_column("time_us")
        last = int(times[-1]) if kept.height else 0
        rejected = after.get_column("time_us").max()
        change.facts |= {
            "rows": kept.height,
            "first_us": int(times[0]) if kept.height else 0,
            "last_us": last,
            "latest_us": last if rejected is None else max(last, int(str(rejected))),
        }
    if late is not None:
        change.facts["late"] = late[0].height
        change.rows += sum(late[1].values())
    return (change if change.writes else None), kept


def _acted_writes(
    folder: Path, place: PurePath, columns: EntityColumns, kept: pl.DataFrame
) -> dict[str, Write]:
    """Who acts in the events that stay."""
    writes: dict[str, Write] = {}
    for path in sorted((folder / ACTED).glob("*.parquet")):
        mine = [name for name, kind in columns.indices(place).items() if kind == path.stem]
        named = [name for name in mine if name in kept.columns]
        writes[f"{ACTED}/{path.name}"] = partial(write_acted, events=kept, columns=named)
    return writes


def _late_change(
    folder: Path, place: PurePath, columns: EntityColumns, doomed: Doomed
) -> tuple[pl.DataFrame, dict[int, int]] | None:
    """The late rows that stay, and how many of each time go; None where all stay."""
    path = folder / "late.parquet"
    if not path.is_file():
        return None
    late = read_parquet(path)
    kept = without_doomed(late, place / path.name, columns, doomed)
    if kept is late:
        return None
    before, after = (dict(one.group_by("time_us").len().iter_rows()) for one in (late, kept))
    return kept, {time: number - after.get(time, 0) for time, number in before.items()}


def _without_late(rejects: pl.DataFrame, gone: dict[int, int]) -> pl.DataFrame:
    """REJECTS in which late rows of these times, so many of each, are told as erased."""
    number = pl.int_range(pl.len()).over("time_us", "reason")
    lost = pl.col("time_us").replace_strict(gone, default=0, return_dtype=pl.Int64)
    mine = (pl.col("reason") == LATE) & (number < lost)
    erased = rejects.filter(pl.col("reason") == ERASED)
    before = dict(erased.group_by("file").len().iter_rows())
    moved = rejects.filter(mine).group_by("file").len().sort("file")
    more = [erased_rows(file, before.get(file, 0), rows) for file, rows in moved.iter_rows()]
    return pl.concat([rejects.filter(~mine), *more])


def rejects_change(
    path: Path, place: PurePath, columns: EntityColumns, doomed: Doomed
) -> tuple[pl.DataFrame, int] | None:
    """As `table_change`, for REJECTS: a doomed value goes, its row stays."""
    before = read_parquet(path)
    after = without_doomed(_without_values(before, doomed), place, columns, doomed)
    return None if after is before else (after, 0)


def _counted(
    intake: list[dict[str, Any]], rejects: pl.DataFrame, rows: int
) -> tuple[list[dict[str, Any]], list[pl.DataFrame]]:
    """Move rows from accepted to rejected, with one reject each."""
    erased = rejects.filter(pl.col("reason") == ERASED)
    before = dict(erased.group_by("file").len().iter_rows())
    found = sorted((dict(one) for one in intake), key=lambda one: str(one["file"]))
    more = []
    for one in found:
        moved = min(rows, one["accepted"])
        if moved:
            more.append(erased_rows(one["file"], before.get(one["file"], 0), moved))
            one["accepted"] -= moved
            one["rejected"] += moved
            one["identical"] = min(one["identical"], one["accepted"])
            rows -= moved
    return found, more


def _without_values(rejects: pl.DataFrame, doomed: Doomed) -> pl.DataFrame:
    """REJECTS whose values are no doomed key of any length."""
    keys = sorted({key for keys in doomed.keys.values() for key in keys})
    value = pl.col("value")
    named = value.is_in(pl.Series(keys, dtype=pl.String).implode()).fill_null(value=False)
    if not rejects.select(named.any()).item():
        return rejects
    return rejects.with_columns(pl.when(~named).then(value).alias("value"))


def _without_mentions(frame: pl.DataFrame, column: str, doomed: Doomed) -> pl.DataFrame:
    texts = frame.get_column(column)
    if column == "ties":
        ties = [_without_ties(text, doomed) for text in texts]
        changed = pl.Series(column, ties, dtype=pl.String)
        return frame if changed.equals(texts) else frame.with_columns(changed)
    found = doomed.mentions.blanked(texts)
    if not found:
        return frame
    new: dict[int, str | None] = dict(found)
    if column == "value":
        new = dict.fromkeys(found)
    elif column in LISTS:
        new = {place: _without_elements(texts[place], doomed) for place in found}
    values = pl.Series(list(new.values()), dtype=pl.String)
    return frame.with_columns(texts.scatter(list(new), values))


def _without_elements(text: str, doomed: Doomed) -> str:
    kept = [
        one
        for one in json.loads(text)
        if not doomed.mentions.within(json.dumps(one, ensure_ascii=False))
    ]
    return json.dumps(kept, ensure_ascii=False)


def _without_ties(text: str | None, doomed: Doomed) -> str | None:
    if text is None:
        return None
    ties = json.loads(text)
    none: frozenset[str] = frozenset()
    kept = [tie for tie in ties if tie["key"] not in doomed.keys.get(tie["type"], none)]
    return text if len(kept) == len(ties) else json.dumps(kept, ensure_ascii=False)

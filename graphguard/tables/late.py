"""Late rows: a file of one day may hold rows of the days before, up to the look-back.

A row inside the look-back is stored with its file and belongs to its own day: the daily edges of
that day, and what is made of them, are made anew. An older row would change history that nights
were judged on, so it is set aside in the unit's late table, counted, and told in the report.
"""

from dataclasses import replace

import polars as pl

from graphguard.config.values import Duration, day_us
from graphguard.schema import REJECTS
from graphguard.tables.intake import FILE, ROW, TIME, Intake
from graphguard.tables.sources import SourceUnit

LATE = "older than the look-back"
"""Reason of a row that was set aside; unlike other rejects it is no fault of the log."""


def set_aside_late(
    intake: Intake, unit: SourceUnit, time: str | None, lookback: Duration
) -> tuple[Intake, pl.DataFrame]:
    """Take the rows that are older than the look-back out of the accepted ones.

    Args:
        intake: What became of the unit's rows.
        unit: The unit; one without a day has no late rows.
        time: Name of the time column; None for a timeless log.
        lookback: How much older than the start of its file's day a row may be.

    Returns:
        The intake, with one reject for each row set aside, and these rows as they were accepted.
    """
    rows = intake.accepted
    if unit.day is None or time is None:
        return intake, rows.clear()
    since_us = day_us(unit.day) - lookback.us
    earliest = rows.get_column(TIME).min()
    if earliest is None or int(str(earliest)) >= since_us:
        return intake, rows.clear()
    old = pl.col(TIME) < since_us
    late = intake.told.filter(old)
    rejects = late.select(
        pl.col(FILE).alias("file"),
        pl.col(ROW).alias("row"),
        pl.lit(time).alias("column"),
        pl.lit(LATE).alias("reason"),
        pl.from_epoch(TIME, time_unit="us").dt.to_string("iso").alias("value"),
        pl.col(TIME).alias("time_us"),
    ).cast(REJECTS.empty().schema)
    moved = dict(late.group_by(FILE).len().iter_rows())
    counts = [dict(one) for one in intake.counts]
    for one in counts:
        number = moved.get(one["file"], 0)
        one["accepted"] = int(str(one["accepted"])) - number
        one["rejected"] = int(str(one["rejected"])) + number
    kept, every = rows.filter(~old), pl.concat([intake.rejects, rejects])
    return replace(intake, accepted=kept, rejects=every, counts=counts), late

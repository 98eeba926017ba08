"""Decisions of earlier nights that still stand.

A night's `decisions` hold only what that night decided; a decision stands until its `expires_at`.
Cool-down and hysteresis look back further than one night, so the decisions of all nights since
are put together here.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import polars as pl

KEY = ("entity_type", "entity_id", "action")
STANDING_COLUMNS = (*KEY, "decided_at", "expires_at")


def day_start(as_of: date) -> datetime:
    """The UTC midnight at which `as_of` starts."""
    return datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC)


def standing_decisions(nights: Iterable[pl.DataFrame], as_of: date) -> pl.DataFrame:
    """Newest unexpired decision of each user and action.

    Args:
        nights: DECISIONS of earlier nights, in any order.
        as_of: The day decided now; decisions of this day or later do not count, so that the
            re-run of an old night sees what it saw the first time.

    Returns:
        `entity_type, entity_id, action, decided_at, expires_at`, one row per user and action.
    """
    now = day_start(as_of)
    parts = [
        night.select(STANDING_COLUMNS).filter(
            pl.col("decided_at") < now, pl.col("expires_at") > now
        )
        for night in nights
    ]
    if not parts:
        instant = pl.Datetime("us", "UTC")
        return pl.DataFrame(
            schema={**dict.fromkeys(KEY, pl.String), "decided_at": instant, "expires_at": instant}
        )
    rows = pl.concat(parts).sort([*KEY, "decided_at", "expires_at"])
    return rows.unique(KEY, keep="last", maintain_order=True)


def with_standing(
    pool: pl.DataFrame, standing: pl.DataFrame, action: str, as_of: date, cool_down_us: int
) -> pl.DataFrame:
    """Mark the users of `pool` for whom `action` stands.

    Returns:
        `pool` with `stands` (an earlier decision is unexpired) and `cooling` (it is also younger
        than the cool-down; at exactly the cool-down it is over). Row order is kept.
    """
    edge = day_start(as_of) - timedelta(microseconds=cool_down_us)
    marks = standing.filter(pl.col("action") == action).select(
        "entity_type",
        "entity_id",
        pl.lit(True).alias("stands"),
        (pl.col("decided_at") > edge).alias("cooling"),
    )
    joined = pool.join(marks, on=["entity_type", "entity_id"], how="left", maintain_order="left")
    return joined.with_columns(pl.col("stands", "cooling").fill_null(False))

"""Rows to make features for: which users, at which anchors, with which labels."""

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.tables.engine import Frame


def calendar_rows(acts: pl.DataFrame, anchor_us: int, window_us: int) -> pl.DataFrame:
    """One row per user that acted in [anchor - window, anchor).

    Args:
        acts: Columns `entity` and `time_us` (any act within the day of an edge will do).
        anchor_us: The anchor, a UTC midnight.
        window_us: Length of the window.

    Returns:
        Columns `entity` and `anchor_us`, in order of entity.
    """
    inside = pl.col("time_us").is_between(anchor_us - window_us, anchor_us, closed="left")
    users = acts.filter(inside).select(pl.col("entity").unique().sort())
    return users.with_columns(pl.lit(anchor_us, dtype=pl.Int64).alias("anchor_us"))


def latest_acts(acts: Frame, anchor_us: int, window_us: int) -> Frame:
    """The last of each user's acts in the window: all that `calendar_rows` needs, on any engine."""
    time = nw.col("time_us")
    inside = acts.filter((time >= anchor_us - window_us) & (time < anchor_us))
    return inside.group_by("entity").agg(time.max())


def event_rows(acts: pl.LazyFrame, k: int, *, fewer: bool = False) -> pl.DataFrame:
    """One row per user with k events or more, cut right after the k-th.

    Args:
        acts: Columns `entity` and `time_us`, one row an event.
        k: Which event, from 1.
        fewer: Whether users with fewer events have a row too, cut right after their last.

    Returns:
        Columns `entity` and `anchor_us` (time of the k-th event + 1), in order of entity.
    """
    kth = pl.col("time_us").bottom_k(k).max().alias("anchor_us") + 1
    counted = acts.group_by("entity").agg(kth, pl.len().alias("events"))
    rows = counted.filter(pl.col("events") >= (1 if fewer else k)).select("entity", "anchor_us")
    return rows.sort("entity").collect()


def static_rows(entities: NDArray[np.int64], anchor_us: int) -> pl.DataFrame:
    """One row per entity, whatever it did and when.

    Args:
        entities: Storage indices, shape [n], no repeats.
        anchor_us: The cutoff.

    Returns:
        Columns `entity` and `anchor_us`, in order of entity.
    """
    rows = pl.DataFrame({"entity": np.sort(entities)})
    return rows.with_columns(pl.lit(anchor_us, dtype=pl.Int64).alias("anchor_us"))


def held_bad(rows: pl.DataFrame, spans: pl.DataFrame) -> NDArray[np.bool_]:
    """Whether each row's user was held to be bad at the row's anchor.

    Args:
        rows: Columns `entity` and `anchor_us`.
        spans: Columns `entity`, `known_at_us`, `until_us`.

    Returns:
        Shape [rows], bool: a span has known_at < anchor <= until.
    """
    numbered = rows.select("entity", "anchor_us").with_row_index("row")
    met = numbered.join(spans, on="entity").filter(
        (pl.col("known_at_us") < pl.col("anchor_us")) & (pl.col("anchor_us") <= pl.col("until_us"))
    )
    bad = np.zeros(rows.height, dtype=np.bool_)
    bad[met.get_column("row").to_numpy()] = True
    return bad


def label_rows(
    rows: pl.DataFrame, spans: pl.DataFrame, horizon_us: int, as_of_us: int
) -> NDArray[np.bool_]:
    """Whether each row's user is enforced in [anchor, anchor + horizon).

    An enforcement that was taken back before the cutoff does not count.

    Args:
        rows: Columns `entity` and `anchor_us`.
        spans: Spans made from labels that may train.
        horizon_us: Length of the horizon.
        as_of_us: The cutoff.
    """
    numbered = rows.select("entity", "anchor_us").with_row_index("row")
    anchor, known = pl.col("anchor_us"), pl.col("known_at_us")
    met = numbered.join(spans.filter(pl.col("until_us") >= as_of_us), on="entity").filter(
        (known >= anchor) & (known < anchor + horizon_us)
    )
    positive = np.zeros(rows.height, dtype=np.bool_)
    positive[met.get_column("row").to_numpy()] = True
    return positive

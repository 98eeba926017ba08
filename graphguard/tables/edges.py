"""Daily edges: one row per source, target and UTC day, from one log's events of that day."""

from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl

from graphguard.config.sections import EdgeConfig, LogConfig
from graphguard.config.values import DAY_US

EPOCH = date(1970, 1, 1)
PAIR = 1 << 31
"""Storage indices lie below it: two billion entities of a type."""


def edge_table(edge: EdgeConfig) -> str:
    """Name of an edge type's table in the workspace.

    >>> edge_table(EdgeConfig(name=("user", "likes", "content"), log="l", source="s", target="t"))
    'edges/user__likes__content'
    """
    return "edges/" + "__".join(edge.name)


def daily_edges(
    events: pl.LazyFrame, edge: EdgeConfig, log: LogConfig, day: date | None = None
) -> pl.DataFrame:
    """Sum one log's events to edges per day (DAILY_EDGES), by day, then by time of the first event.

    Sums are of integers and fixed point, so the order of events changes nothing.

    Args:
        events: Of one log, with storage indices.
        edge: Which columns are source and target.
        log: Which columns are summed up.
        day: The day of all of them; None where there are several.
    """
    numbers: Sequence[str] = log.numeric
    when = (pl.lit(EPOCH) + pl.duration(days=pl.col("time_us") // DAY_US)).cast(pl.Date)
    # One integer names a pair: grouping by one column takes half the time of grouping by two.
    keys = ("pair",) if day is not None else ("day", "pair")
    summed = (
        events.select(
            (pl.col(edge.source) * PAIR + pl.col(edge.target)).alias("pair"),
            *([] if day is not None else [when.alias("day")]),
            "time_us",
            *(name for name in numbers if name not in ("pair", "day", "time_us")),
        )
        .group_by(keys)
        .agg(
            pl.len().cast(pl.Int64).alias("count"),
            pl.col("time_us").min().alias("first_us"),
            pl.col("time_us").max().alias("last_us"),
            *(pl.col(name).sum().alias(f"{name}_sum") for name in numbers),
            *(pl.col(name).min().alias(f"{name}_min") for name in numbers),
            *(pl.col(name).max().alias(f"{name}_max") for name in numbers),
        )
        .with_columns([pl.lit(day).alias("day")] if day is not None else [])
        .sort("first_us")
        .collect()
    )
    return _ties_in_order(summed).select(
        (pl.col("pair") // PAIR).alias("source"),
        (pl.col("pair") % PAIR).alias("target"),
        "day",
        pl.exclude("pair", "day"),
    )


def _ties_in_order(edges: pl.DataFrame) -> pl.DataFrame:
    """Edges sorted by time, those of one time by pair: sorting all by both takes twice as long."""
    time_us = edges.get_column("first_us").to_numpy()
    same = time_us[1:] == time_us[:-1]
    if not same.any():
        return edges
    tied = np.flatnonzero(np.r_[False, same] | np.r_[same, False])
    pair = edges.get_column("pair").to_numpy()
    place = np.arange(len(time_us))
    place[tied] = tied[np.lexsort((pair[tied], time_us[tied]))]
    return edges[place]

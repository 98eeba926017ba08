"""Daily edges: one row per source, target and UTC day, from one log's events of that day."""

from collections.abc import Sequence
from datetime import date

import polars as pl

from graphguard.config.sections import EdgeConfig, LogConfig
from graphguard.config.values import DAY_US


def edge_table(edge: EdgeConfig) -> str:
    """Name of an edge type's table in the workspace.

    >>> edge_table(EdgeConfig(name=("user", "likes", "content"), log="l", source="s", target="t"))
    'edges/user__likes__content'
    """
    return "edges/" + "__".join(edge.name)


def daily_edges(events: pl.LazyFrame, edge: EdgeConfig, log: LogConfig) -> pl.DataFrame:
    """Sum one log's events to edges per day (DAILY_EDGES), sorted by day, source, target.

    Sums are of integers and fixed point, so the order of events changes nothing.
    """
    numbers: Sequence[str] = log.numeric
    first_day = pl.lit(date(1970, 1, 1))
    return (
        events.select(
            pl.col(edge.source).alias("source"),
            pl.col(edge.target).alias("target"),
            (first_day + pl.duration(days=pl.col("time_us") // DAY_US)).cast(pl.Date).alias("day"),
            "time_us",
            *(name for name in numbers if name not in ("source", "target", "day", "time_us")),
        )
        .group_by("day", "source", "target")
        .agg(
            pl.len().cast(pl.Int64).alias("count"),
            pl.col("time_us").min().alias("first_us"),
            pl.col("time_us").max().alias("last_us"),
            *(pl.col(name).sum().alias(f"{name}_sum") for name in numbers),
            *(pl.col(name).min().alias(f"{name}_min") for name in numbers),
            *(pl.col(name).max().alias(f"{name}_max") for name in numbers),
        )
        .sort("day", "source", "target")
        .select("source", "target", "day", pl.exclude("source", "target", "day"))
        .collect()
    )

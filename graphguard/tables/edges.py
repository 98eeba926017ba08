"""Daily edges: one row per source, target and UTC day, from one log's events of that day."""

from datetime import date

import narwhals as nw
import numpy as np
import polars as pl

from graphguard.config.sections import EdgeConfig, LogConfig
from graphguard.config.values import DAY_US
from graphguard.tables.engine import Engine, Frame, PolarsEngine

PAIR = 1 << 31
"""Storage indices lie below it: two billion entities of a type."""
EPOCH = date(1970, 1, 1)


def edge_table(edge: EdgeConfig) -> str:
    """Name of an edge type's table in the workspace.

    >>> edge_table(EdgeConfig(name=("user", "likes", "content"), log="l", source="s", target="t"))
    'edges/user__likes__content'
    """
    return "edges/" + "__".join(edge.name)


def daily_edges(
    events: pl.LazyFrame | Frame,
    edge: EdgeConfig,
    log: LogConfig,
    day: date | None = None,
    engine: Engine | None = None,
) -> pl.DataFrame:
    """Sum one log's events to edges per day (DAILY_EDGES), in order of their first event.

    Sums are of integers and fixed point, so the order of events changes nothing.

    Args:
        events: EVENTS of the log, of Polars or of `engine`.
        edge: The edge type.
        log: The log, for its numeric columns.
        day: The day of all events; None where there are several.
        engine: Runs the step; Polars if it is not given.
    """
    frame: Frame = nw.from_native(events)
    sums = (engine or PolarsEngine()).collect(edge_sums(frame, edge, log, several=day is None))
    if day is not None:
        sums = sums.with_columns(pl.lit((day - EPOCH).days, dtype=pl.Int64).alias("day"))
    return _in_order(sums).select(
        (pl.col("pair") // PAIR).alias("source"),
        (pl.col("pair") % PAIR).alias("target"),
        pl.col("day").cast(pl.Int32).cast(pl.Date),
        pl.exclude("pair", "day"),
    )


def edge_sums(events: Frame, edge: EdgeConfig, log: LogConfig, *, several: bool) -> Frame:
    """The relational step of `daily_edges`.

    Args:
        events: EVENTS of the log.
        edge: The edge type.
        log: The log, for its numeric columns.
        several: Whether the events are of more than one day.

    Returns:
        Columns `pair` (source * PAIR + target), `day` (days since 1970) if there are several,
        `count`, `first_us`, `last_us` and `<numeric>_sum`, `_min`, `_max`, in any order. One
        integer names a pair: grouping by one column takes half the time of grouping by two.
    """
    numbers = log.numeric
    named = events.select(
        (nw.col(edge.source) * PAIR + nw.col(edge.target)).alias("pair"),
        *([(nw.col("time_us") // DAY_US).alias("day")] if several else []),
        "time_us",
        # A numeric column may have the name of one of ours.
        *(nw.col(name).alias(f"__{name}") for name in numbers),
    )
    return named.group_by("pair", *(["day"] if several else [])).agg(
        nw.len().cast(nw.Int64).alias("count"),
        nw.col("time_us").min().alias("first_us"),
        nw.col("time_us").max().alias("last_us"),
        *(nw.col(f"__{name}").sum().alias(f"{name}_sum") for name in numbers),
        *(nw.col(f"__{name}").min().alias(f"{name}_min") for name in numbers),
        *(nw.col(f"__{name}").max().alias(f"{name}_max") for name in numbers),
    )


def _in_order(edges: pl.DataFrame) -> pl.DataFrame:
    """Edges by time, those of one time by pair: sorting all by both would take twice as long."""
    edges = edges.sort("first_us")
    time_us = edges.get_column("first_us").to_numpy()
    same = time_us[1:] == time_us[:-1]
    if not same.any():
        return edges
    tied = np.flatnonzero(np.r_[False, same] | np.r_[same, False])
    pair = edges.get_column("pair").to_numpy()
    place = np.arange(len(time_us))
    place[tied] = tied[np.lexsort((pair[tied], time_us[tied]))]
    return edges[place]

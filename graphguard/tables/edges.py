"""Daily edges: one row per source, target and UTC day, from one log's events of that day."""

from collections.abc import Sequence
from datetime import date

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.config.sections import EdgeConfig, LogConfig
from graphguard.config.values import DAY_US
from graphguard.tables.engine import Engine, Frame, PolarsEngine
from graphguard.tables.repeats import repeated_places

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


def edges_of_day(events: pl.DataFrame, edge: EdgeConfig, log: LogConfig, day: date) -> pl.DataFrame:
    """As `daily_edges`, of one day's events in memory.

    Most pairs meet once a day: such an event is its own sum, and only the others are grouped.

    Args:
        events: EVENTS of the log, with `event_columns`.
        edge: The edge type.
        log: The log, for its numeric columns.
        day: The day of all events.

    Cost: O(events), and sorts of those of one pair and of those of one time.
    """
    time_us = events.get_column("time_us").to_numpy()
    if not (time_us[1:] >= time_us[:-1]).all():
        events = events[np.argsort(time_us, kind="stable")]
        time_us = events.get_column("time_us").to_numpy()
    ends = [events.get_column(name).to_numpy() for name in (edge.source, edge.target)]
    pair = ends[0] * np.int64(PAIR) + ends[1]
    places = repeated_places(pair)
    own = pair[places]
    starts = np.flatnonzero(np.r_[True, own[1:] != own[:-1]][: len(own)])
    after = np.r_[starts[1:], len(own)][: len(starts)]
    first, last = places[starts], places[after - 1]
    lone = np.ones(len(pair), dtype=np.bool_)
    lone[places] = False
    lone[first] = True
    kept = _by_time_and_pair(np.flatnonzero(lone), time_us, pair)
    count, last_us = np.ones(len(pair), dtype=np.int64), time_us.copy()
    count[first], last_us[first] = after - starts, time_us[last]
    return pl.DataFrame(
        {
            "source": ends[0].take(kept),
            "target": ends[1].take(kept),
            "day": pl.Series(np.full(len(kept), (day - EPOCH).days, np.int32)).cast(pl.Date),
            "count": count.take(kept),
            "first_us": time_us.take(kept),
            "last_us": last_us.take(kept),
            **_number_sums(events, log.numeric, (places, starts), kept),
        }
    )


def event_columns(edge: EdgeConfig, log: LogConfig) -> list[str]:
    """Columns of EVENTS that edges are made of."""
    return ["time_us", *dict.fromkeys((edge.source, edge.target, *log.numeric))]


def _number_sums(
    events: pl.DataFrame,
    columns: Sequence[str],
    groups: tuple[NDArray[np.int64], NDArray[np.int64]],
    kept: NDArray[np.int64],
) -> dict[str, pl.Series]:
    """Sum, smallest and largest of each number column, of each kept event's pair.

    Args:
        events: EVENTS.
        columns: Number columns.
        groups: Places of events of one pair, group by group, and where each group begins.
        kept: Places of the events that stand for their pair.
    """
    places, starts = groups
    number = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(places)]))
    sums: dict[str, pl.Series] = {}
    for what in ("sum", "min", "max"):
        for name in columns:
            each = events.get_column(name)
            grouped = pl.DataFrame({"group": number, "value": each.gather(places)})
            value = pl.col("value")
            whole = {"sum": value.sum(), "min": value.min(), "max": value.max()}[what]
            found = grouped.group_by("group").agg(whole).sort("group").get_column("value")
            alone = each.fill_null(0) if what == "sum" else each
            sums[f"{name}_{what}"] = alone.scatter(places[starts], found).gather(kept)
    return sums


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
    pair = edges.get_column("pair").to_numpy()
    place = np.arange(len(time_us))
    ordered = _by_time_and_pair(place, time_us, pair)
    return edges if ordered is place else edges[ordered]


def _by_time_and_pair(
    places: NDArray[np.int64], time_us: NDArray[np.int64], pair: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Places in order of time, with those of one time in order of the pair."""
    times = time_us.take(places)
    same = times[1:] == times[:-1]
    if not same.any():
        return places
    tied = np.flatnonzero(np.r_[False, same] | np.r_[same, False])
    some = places[tied]
    ordered = places.copy()
    ordered[tied] = some[np.lexsort((pair[some], times[tied]))]
    return ordered

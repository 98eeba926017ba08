"""Daily edges: one row per source, target and UTC day, from one log's events of that day."""

import narwhals as nw
import polars as pl

from graphguard.config.sections import EdgeConfig, LogConfig
from graphguard.config.values import DAY_US
from graphguard.tables.engine import Engine, Frame, PolarsEngine
from graphguard.tables.whole import quotient

DAYS_PACKED = 1 << 17
"""Days since 1970 that one packed key has room for: until the year 2328."""
KEY = ("day", "source", "target")


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
    sizes: tuple[int, int] | None = None,
    engine: Engine | None = None,
) -> pl.DataFrame:
    """Sum one log's events to edges per day (DAILY_EDGES), sorted by day, source, target.

    Sums are of integers and fixed point, so the order of events changes nothing.

    Args:
        events: EVENTS of the log, of Polars or of `engine`.
        edge: The edge type.
        log: The log, for its numeric columns.
        sizes: Numbers above every storage index of the sources and of the targets, such as the
            lengths of their `ids`. With them an edge and its day are one integer, and grouping and
            sorting take half the time.
        engine: Runs the step; Polars if it is not given.
    """
    frame: Frame = nw.from_native(events)
    sums = edge_sums(frame, edge, log, sizes)
    table = (engine or PolarsEngine()).collect(sums)
    day = pl.col("day").cast(pl.Int32).cast(pl.Date)
    return table.select("source", "target", day, pl.exclude("source", "target", "day"))


def edge_sums(
    events: Frame, edge: EdgeConfig, log: LogConfig, sizes: tuple[int, int] | None = None
) -> Frame:
    """The relational step of `daily_edges`.

    Returns:
        Columns `source`, `target`, `day` (days since 1970, int64), `count`, `first_us`, `last_us`
        and `<numeric>_sum`, `_min`, `_max`; sorted by day, source, target.
    """
    numbers = log.numeric
    named = events.select(
        nw.col(edge.source).alias("source"),
        nw.col(edge.target).alias("target"),
        (nw.col("time_us") // DAY_US).alias("day"),
        "time_us",
        # A numeric column may have the name of one of ours.
        *(nw.col(name).alias(f"__{name}") for name in numbers),
    )
    aggregates = (
        nw.len().cast(nw.Int64).alias("count"),
        nw.col("time_us").min().alias("first_us"),
        nw.col("time_us").max().alias("last_us"),
        *(nw.col(f"__{name}").sum().alias(f"{name}_sum") for name in numbers),
        *(nw.col(f"__{name}").min().alias(f"{name}_min") for name in numbers),
        *(nw.col(f"__{name}").max().alias(f"{name}_max") for name in numbers),
    )
    if sizes is None or not packable(sizes):
        return named.group_by("day", "source", "target").agg(*aggregates).sort(KEY)
    num_sources, num_targets = sizes
    day_and_source = nw.col("day") * num_sources + nw.col("source")
    packed = named.with_columns((day_and_source * num_targets + nw.col("target")).alias("edge"))
    grouped = packed.drop("source", "target", "day").group_by("edge").agg(*aggregates).sort("edge")
    halved = grouped.with_columns(
        (nw.col("edge") % num_targets).alias("target"),
        quotient(nw.col("edge"), num_targets).alias("day_and_source"),
    )
    whole = halved.with_columns(
        (nw.col("day_and_source") % num_sources).alias("source"),
        quotient(nw.col("day_and_source"), num_sources).alias("day"),
    )
    return whole.drop("edge", "day_and_source")


def packable(sizes: tuple[int, int]) -> bool:
    """Whether a source, a target and a day fit one integer.

    >>> packable((10_000_000, 5_000_000)), packable((100_000_000, 5_000_000))
    (True, False)
    """
    return min(sizes) > 0 and sizes[0] * sizes[1] * DAYS_PACKED < 2**63

"""What a user's neighbours are like, as joins and group-bys: for graphs that outgrow one machine.

Reads daily edges and the rows' values, writes nothing. The aggregates are those of
`graph/propagate.py` for rows that share one anchor, with every sum over whole numbers: weights and
means of objects are in fixed point, so each engine gives the same numbers. A second hop takes the
first one's means as its values.
"""

from collections.abc import Sequence

import narwhals as nw

from graphguard.schema import FIXED_POINT
from graphguard.tables.engine import Engine, Frame
from graphguard.tables.whole import WIDE, quotient

WEIGHT = 1 << 30
"""Weights are summed as round(weight * WEIGHT)."""


def neighbour_table(
    engine: Engine, edges: Frame, rows: Frame, values: Sequence[str], span_us: tuple[int, int]
) -> Frame:
    """Aggregate each user's neighbours through one relation.

    A user's neighbours are the others that touched an object the user touched too. An object gives
    the mean of its others' values, each counted once a day; objects are weighted by
    1 / log(2 + touches by others).

    Args:
        engine: The engine that made the frames.
        edges: Daily edges of the relation: `user`, `object`, `time_us`.
        rows: One row per user: `user`, `bad` (1 where known before the anchor, else 0) and the
            columns `values` in fixed point, int64 below 2^44 in size, null where there is none.
        values: Columns to average.
        span_us: Edges with span_us[0] <= time < span_us[1] count.

    Returns:
        One row per user with an edge in the span: `user`, `mean_<value>` and `bad_share` (float64,
        null where no neighbour has one), `bad_touches`, `other_touches`, `fewest_others` (int64).

    Cost: one shuffle of the touches by object and one by user.
    """
    since, until = span_us
    inside = edges.filter((nw.col("time_us") >= since) & (nw.col("time_us") < until))
    touches = inside.group_by("user", "object").agg(nw.len().cast(nw.Int64).alias("days"))
    known = touches.join(rows, on="user", how="inner")
    own = known.select(
        "user",
        "object",
        "days",
        (nw.col("bad") * nw.col("days")).alias("bad"),
        *((nw.col(name).fill_null(0) * nw.col("days")).alias(f"sum_{name}") for name in values),
        *(_days_with(name).alias(f"seen_{name}") for name in values),
    )
    # Read twice, for the objects and for what is left of them without the user's own part.
    mine = engine.hold(own)
    parts = ["days", "bad", *(f"{part}_{name}" for name in values for part in ("sum", "seen"))]
    sums = (nw.col(part).sum().alias(f"all_{part}") for part in parts)
    totals = mine.group_by("object").agg(*sums)
    others = mine.join(totals, on="object", how="inner").select(
        "user", *((nw.col(f"all_{part}") - nw.col(part)).alias(part) for part in parts)
    )
    return _by_user(others, values)


def _days_with(name: str) -> nw.Expr:
    return nw.when(nw.col(name).is_null()).then(nw.lit(0)).otherwise(nw.col("days")).cast(nw.Int64)


def _by_user(others: Frame, values: Sequence[str]) -> Frame:
    """Weighted means over a user's objects, from the touches of others on each."""
    there = nw.col("days") > 0
    weight = (1.0 / (nw.col("days").cast(nw.Float64) + 2.0).log()) * float(WEIGHT)
    weighed = others.with_columns(
        weight=nw.when(there).then(weight).otherwise(nw.lit(0.0)).round().cast(nw.Int64)
    )
    shares = {"bad_share": _ratio(nw.col("bad") * FIXED_POINT, nw.col("days"))}
    shares |= {
        f"mean_{name}": _ratio(nw.col(f"sum_{name}"), nw.col(f"seen_{name}")) for name in values
    }
    parted = weighed.with_columns(fewest=nw.when(there).then(nw.col("days")), **shares)
    summed = parted.group_by("user").agg(
        nw.col("bad").sum().alias("bad_touches"),
        nw.col("days").sum().alias("other_touches"),
        nw.col("fewest").min().alias("fewest_others"),
        *(_weighted(name).alias(f"sum_{name}") for name in shares),
        *(_weight_of(name).alias(f"weight_{name}") for name in shares),
    )
    means = {name: _mean(f"sum_{name}", f"weight_{name}") for name in shares}
    counts = ("bad_touches", "other_touches", "fewest_others")
    return summed.select("user", *counts, **means)


def _ratio(part: nw.Expr, whole: nw.Expr) -> nw.Expr:
    """Floor of part / whole, null where there is no whole."""
    some = whole > 0
    # The other branch is computed as well: it must not divide by zero.
    divisor = nw.when(some).then(whole).otherwise(nw.lit(1)).cast(nw.Int64)
    return nw.when(some).then(quotient(part, divisor))


def _weighted(name: str) -> nw.Expr:
    return (nw.col("weight").cast(WIDE) * nw.col(name).cast(WIDE)).sum()


def _weight_of(name: str) -> nw.Expr:
    return nw.when(~nw.col(name).is_null()).then(nw.col("weight")).sum()


def _mean(total: str, weight: str) -> nw.Expr:
    some = nw.col(weight) > 0
    mean = nw.col(total).cast(nw.Float64) / nw.col(weight).cast(nw.Float64) / float(FIXED_POINT)
    return nw.when(some).then(mean)

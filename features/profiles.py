"""What the entity tables and the linked pairs say about each row.

Reads ENTITIES (versions known before the row's anchor) and PAIRS; writes nothing.
"""

import narwhals as nw
import numpy as np
import polars as pl

from graphguard.features.exact import fixed
from graphguard.features.network import EVIDENCE_CAP
from graphguard.features.rows import HOUR_US, RowWindows

Frame = nw.LazyFrame[pl.LazyFrame]


def birth_rows(entities: pl.DataFrame, windows: RowWindows) -> Frame:
    """Births of the rows' entities: `row`, `born_age_us`, `births_before`.

    A birth counts from the time at which the first version that tells it became true, if later.
    """
    first = entities.drop_nulls("born_us").sort("entity", "time_us").unique("entity", keep="first")
    born = first.with_columns(pl.max_horizontal("born_us", "time_us").alias("known_us"))
    known = np.sort(born.get_column("known_us").to_numpy())
    own = born.get_column("known_us").to_numpy()
    row = windows.rows_of(born.get_column("entity").to_numpy())
    before = np.searchsorted(known, own) - np.searchsorted(known, own - HOUR_US)
    anchor = _anchors(windows, row)
    frame = pl.DataFrame(
        {
            "row": row,
            "born_age_us": anchor - born.get_column("born_us").to_numpy(),
            "births_before": before,
        }
    )
    return _lazy(frame.filter(pl.Series((row >= 0) & (own < anchor))))


def attribute_rows(entities: pl.DataFrame, column: str, windows: RowWindows) -> Frame:
    """A number of the entities' newest version before the anchor: `row`, `value`."""
    newest = _newest(entities, column, windows)
    return _lazy(newest.select("row", pl.col(column).alias("value")))


def attribute_category_rows(entities: pl.DataFrame, column: str, windows: RowWindows) -> Frame:
    """How rare the category of the newest version is: `row`, `rarity` (bits, fixed point).

    Rarity is -log2 of its share among all versions known before the row's anchor.
    """
    newest = _newest(entities, column, windows)
    versions = entities.select("time_us", column).drop_nulls().sort("time_us")
    order = pl.int_range(1, pl.len() + 1)
    alike = versions.with_columns(order.over(column).alias("alike"))
    everyone = versions.select("time_us", order.alias("everyone"))
    # Strictly before the anchor: the newest version that counts is the one at anchor - 1.
    asked = newest.with_columns((pl.col("anchor_us") - 1).alias("time_us")).sort("time_us")
    counted = asked.join_asof(
        alike, on="time_us", by=column, check_sortedness=False, coalesce=True
    ).join_asof(everyone, on="time_us", check_sortedness=False, coalesce=True)
    share = nw.col("alike").cast(nw.Float64) / nw.col("everyone")
    return _lazy(counted).select("row", rarity=fixed(-share.log(2)))


def pair_rows(pairs: pl.DataFrame, channel: str | None, windows: RowWindows) -> Frame:
    """Pairs seen from both their users.

    Args:
        pairs: PAIRS of one anchor.
        channel: The channel to keep; None for one row per pair of users, whatever the channel.
        windows: The rows.

    Returns:
        `row`, `log10_q`, `evidence` (-log10 p, capped, fixed point), `weight`, `firsts` (objects
        on which the row's user acted first), `ordered_weight` (objects acted on in an order).
    """
    if channel is not None:
        pairs = pairs.filter(pl.col("channel") == channel)
    else:
        pairs = pairs.unique(["user_a", "user_b"], keep="any")
    weight, first = pl.col("weight"), pl.col("a_first")
    # Links by sharing have no order: their window is 0.
    ordered = pl.when(pl.col("window_us") > 0).then(weight)
    shown = {"log10_q": pl.col("log10_q"), "log10_p": pl.col("log10_p"), "weight": weight}
    sides = [
        pairs.select(
            pl.col(user).alias("entity"),
            firsts.alias("firsts"),
            ordered.alias("ordered_weight"),
            **shown,
        )
        for user, firsts in (("user_a", first), ("user_b", weight - first))
    ]
    both = pl.concat(sides)
    row = pl.Series("row", windows.rows_of(both.get_column("entity").to_numpy()))
    evidence = (-nw.col("log10_p")).clip(0.0, EVIDENCE_CAP)
    kept = both.with_columns(row).filter(pl.col("row") >= 0)
    return _lazy(kept).with_columns(evidence=fixed(evidence))


def _newest(entities: pl.DataFrame, column: str, windows: RowWindows) -> pl.DataFrame:
    """Newest version before each row's anchor: `row`, `anchor_us` and `column`, nulls left out."""
    row = windows.rows_of(entities.get_column("entity").to_numpy())
    seen = entities.select("time_us", column).with_columns(
        pl.Series("row", row), pl.Series("anchor_us", _anchors(windows, row))
    )
    seen = seen.filter((pl.col("row") >= 0) & (pl.col("time_us") < pl.col("anchor_us")))
    newest = seen.sort("row", "time_us").unique("row", keep="last", maintain_order=True)
    return newest.drop("time_us").drop_nulls(column)


def _anchors(windows: RowWindows, row: np.ndarray) -> np.ndarray:
    if not windows.anchor_us.size:
        return np.zeros(row.shape, dtype=np.int64)
    return np.asarray(windows.anchor_us[np.maximum(row, 0)])


def _lazy(frame: pl.DataFrame) -> Frame:
    lazy: Frame = nw.from_native(frame.lazy())
    return lazy

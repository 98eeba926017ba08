"""Steps on columns that run in the thread that asks.

Polars hands expressions to threads of its own: with two units at work, each of some ten such calls
a unit waited for milliseconds, for hardly any work.
"""

from collections.abc import Collection

import polars as pl

from graphguard.config.values import DAY_US


def with_set(frame: pl.DataFrame, *columns: pl.Series) -> pl.DataFrame:
    """A frame with some columns put in the place of those of their names, or behind."""
    held = {one.name: one for one in (*frame.get_columns(), *columns)}
    return pl.DataFrame(list(held.values()))


def without(frame: pl.DataFrame, names: Collection[str]) -> pl.DataFrame:
    """A frame with some columns left out."""
    return pl.DataFrame([one for one in frame.get_columns() if one.name not in names])


def micros(value: pl.Series) -> pl.Series:
    """Microseconds since 1970 UTC of times; those without a zone are taken as UTC."""
    if value.dtype == pl.Date:
        return value.cast(pl.Int64) * DAY_US
    if isinstance(value.dtype, pl.Datetime):
        factor = {"ms": 1000, "us": 1, "ns": 1}[value.dtype.time_unit]
        nanos = value.dtype.time_unit == "ns"
        whole = value.dt.timestamp("us") if nanos else value.cast(pl.Int64)
        # A value near the end of the 64-bit range would overflow to a believable time.
        limit = (2**62) // factor
        if not within(whole, -limit, limit):
            whole = whole.set(~whole.is_between(-limit, limit), None)
        return whole if factor == 1 else whole * factor
    return value.cast(pl.Int64)


def within(values: pl.Series, lowest: int, highest: int) -> bool:
    """Whether all integers but the nulls are between two."""
    low, high = values.min(), values.max()
    return low is None or (int(str(low)) >= lowest and int(str(high)) <= highest)

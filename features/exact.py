"""Aggregates that come out bit for bit the same in any order of rows and on any number of threads.

Reads and writes nothing. Everything that is summed is an integer: counts, microseconds, or a real
number in fixed point (2^-20). Real arithmetic happens only on one row's finished sums.
"""

import narwhals as nw

from graphguard.schema import FIXED_POINT
from graphguard.tables.whole import WIDE


def fixed(value: nw.Expr) -> nw.Expr:
    """A real number in fixed point, int64."""
    return (value * FIXED_POINT).round().cast(nw.Int64)


def real(value: nw.Expr) -> nw.Expr:
    """A fixed-point number, or a sum of such, as float64."""
    return value.cast(nw.Float64) / FIXED_POINT


def total(flag: nw.Expr) -> nw.Expr:
    """How many rows have the flag; nulls do not count."""
    return flag.cast(nw.Int64).sum()


def share(flag: nw.Expr) -> nw.Expr:
    """Share of the rows that have the flag, among those where it is not null."""
    return total(flag).cast(nw.Float64) / flag.count()


def mean(value: nw.Expr) -> nw.Expr:
    """Mean of an integer column; sums exactly."""
    return value.sum().cast(nw.Float64) / value.count()


def mean_fixed(value: nw.Expr) -> nw.Expr:
    """Mean of a fixed-point column."""
    return mean(value) / FIXED_POINT


def spread_fixed(value: nw.Expr) -> nw.Expr:
    """Standard deviation of a fixed-point column (population), from exact integer moments.

    Exact for two million events a row and values up to 2^62.
    """
    fine = value % FIXED_POINT
    # A multiple of 2^20 below 2^63 has few enough digits to be divided as a real number.
    whole = ((value - fine) / FIXED_POINT).cast(nw.Int64)
    wide, narrow = whole.cast(WIDE), fine.cast(WIDE)
    count = value.count()
    moments = (
        _moment(wide, wide, count) * float(FIXED_POINT**2)
        + _moment(wide, narrow, count) * float(2 * FIXED_POINT)
        + _moment(narrow, narrow, count)
    )
    variance = nw.when(moments > 0).then(moments).otherwise(nw.lit(0.0))
    return variance.sqrt() / count / FIXED_POINT


def _moment(one: nw.Expr, other: nw.Expr, count: nw.Expr) -> nw.Expr:
    """Number of rows times sum of products, less product of sums: no cancellation of reals."""
    exact = count.cast(WIDE) * (one * other).sum() - one.sum() * other.sum()
    return exact.cast(nw.Float64)


def entropy_bits(tally: nw.Expr) -> nw.Expr:
    """Entropy in bits of a row's values, from how often each value occurs in the row.

    Args:
        tally: Of each event, how many events of its row have its value; null counts for nothing.
    """
    known = tally.count().cast(nw.Int64)
    whole = known * fixed(known.cast(nw.Float64).log(2))
    return real(whole - fixed(tally.cast(nw.Float64).log(2)).sum()) / known


def log1p(value: nw.Expr) -> nw.Expr:
    """Natural logarithm of 1 + value, in fixed point, to be summed."""
    return fixed((value.cast(nw.Float64) + 1.0).log())

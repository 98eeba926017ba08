"""Aggregates that come out bit for bit the same in any order of rows and on any number of threads.

Reads and writes nothing. Everything that is summed is an integer: counts, microseconds, or a real
number in fixed point (2^-20). Real arithmetic happens only on one row's finished sums.
"""

import narwhals as nw

from graphguard.schema import FIXED_POINT


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
    """Standard deviation of a fixed-point column (population), from exact integer moments."""
    wide = value.cast(nw.Int128)
    count = value.count()
    # n * sum(v^2) - (sum v)^2 is exact: no cancellation of large real numbers.
    moment = count.cast(nw.Int128) * (wide * wide).sum() - wide.sum() * wide.sum()
    return moment.cast(nw.Float64).sqrt() / count / FIXED_POINT


def entropy_bits(tally: nw.Expr) -> nw.Expr:
    """Entropy in bits of a row's values, from how often each value occurs in the row.

    Args:
        tally: Of each event, how many events of its row have its value; null counts for nothing.
    """
    known = tally.count().cast(nw.Float64)
    return known.log(2) - real(fixed(tally.cast(nw.Float64).log(2)).sum()) / known


def log1p(value: nw.Expr) -> nw.Expr:
    """Natural logarithm of 1 + value, in fixed point, to be summed."""
    return fixed((value.cast(nw.Float64) + 1.0).log())

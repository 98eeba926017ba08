"""Arithmetic on whole numbers that every engine does alike, to the last digit.

Reads and writes nothing. Engines differ in how they divide integers, and sums of real numbers
depend on the order of rows; sums of whole numbers do not.
"""

import narwhals as nw

WIDE = nw.Decimal(38, 0)
"""Whole numbers beyond 64 bits, as every engine has them."""


def quotient(value: nw.Expr, divisor: int | nw.Expr) -> nw.Expr:
    """Floor of an int64 divided by a positive integer, exactly, where it is below 2^51 in size.

    Some engines divide integers as real numbers; a multiple of the divisor so divided lies within
    a half of the true quotient, whatever the size of the value.
    """
    return ((value - value % divisor) / divisor).round().cast(nw.Int64)

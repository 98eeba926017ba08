"""Numbers that were stored against those made again: which are not one, and where."""

from collections.abc import Iterator

import numpy as np
import polars as pl

CLOSE = 1e-6
"""Relative difference within which two numbers are one."""
PLACES = ("ring_id", "key_a", "key_b", "channel", "key")


def far(rows: pl.DataFrame, name: str, again: pl.Series) -> Iterator[str]:
    """Rows whose number is not the one that was made again, as far as numbers go."""
    pair = (rows.get_column(name).to_numpy(), again.to_numpy())
    wrong = pl.Series(~np.isclose(*pair, rtol=CLOSE, atol=CLOSE, equal_nan=True), dtype=pl.Boolean)
    yield from told(rows.filter(wrong), name, again.filter(wrong))


def told(wrong: pl.DataFrame, name: str, again: pl.Series) -> Iterator[str]:
    """Each of these rows in words."""
    places = [one for one in PLACES if one in wrong.columns]
    for row, value in zip(wrong.iter_rows(named=True), again, strict=True):
        place = ", ".join(str(row[one]) for one in places)
        yield f"{place}: {name} is {row[name]}, recomputed {value}"

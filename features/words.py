"""Words: the newest texts of each row, for models that read text themselves.

Reads EVENTS; writes nothing. This theme makes no columns: the texts stand beside them.
"""

from collections.abc import Callable

import narwhals as nw
import polars as pl

from graphguard.features.rows import Acts
from graphguard.schema import EVENT_TEXT

COLUMNS: tuple[Callable[[], nw.Expr], ...] = ()
COUNTS: tuple[Callable[[], nw.Expr], ...] = ()
THEME = "words"
MOST_TEXTS = 20
MOST_CHARACTERS = 2_000
BETWEEN = "\n"


def row_texts(acts: list[Acts], num_rows: int) -> pl.Series:
    """Join the texts that each row saw, oldest first.

    Args:
        acts: The acts of every log that has a text.
        num_rows: Number of rows.

    Returns:
        Shape [num_rows], strings: at most 20 texts, the newest, of 2,000 characters in all; empty
        where a row has none.
    """
    schema = {"row": pl.Int64, "time_us": pl.Int64, "text": pl.String}
    parts = [pl.DataFrame(schema=schema)]
    for one in acts:
        known = one.with_known(EVENT_TEXT)
        text = known.events.get_column(EVENT_TEXT).gather(known.asked).alias("text")
        parts.append(known.frame().select("row", "time_us").with_columns(text))
    # Texts of one time come in their own order, so the order of storage cannot matter.
    ordered = pl.concat(parts).sort("row", "time_us", "text")
    newest = ordered.group_by("row", maintain_order=True).tail(MOST_TEXTS)
    joined = newest.group_by("row", maintain_order=True).agg(pl.col("text").str.join(BETWEEN))
    rows = pl.DataFrame({"row": range(num_rows)}, schema={"row": pl.Int64})
    held = rows.join(joined, on="row", how="left", maintain_order="left").get_column("text")
    return held.fill_null("").str.tail(MOST_CHARACTERS)

"""Key columns of foreign files as codes, and the strings that the codes stand for.

Arrow's table of words takes a tenth of a microsecond for each: it pays where most keys repeat. Any
other column is read as plain strings, and each row is a code of its own.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from graphguard.tables.column_kinds import is_string

LENGTH_BYTES = 4
"""What Parquet stores beside the bytes of a plain string."""
REPEATING = 0.6
"""A column this much smaller than its plain strings would be has mostly words seen before."""


def repeating(footer: pq.FileMetaData, columns: Sequence[str]) -> list[str]:
    """Those of `columns` whose strings repeat so often that a dictionary pays.

    Told by the footer alone: bytes of a row, beside those of the largest value. Where it says
    nothing, a dictionary is taken.
    """
    return [name for name in columns if _share(footer, name) < REPEATING]


def _share(footer: pq.FileMetaData, column: str) -> float:
    """Bytes of a row, as a share of what a plain string would take."""
    held = rows = longest = 0
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        for place in range(group.num_columns):
            chunk = group.column(place)
            if chunk.path_in_schema != column:
                continue
            told = chunk.statistics
            if told is None or not told.has_min_max or not isinstance(told.max_raw, bytes):
                return 0.0
            held += chunk.total_uncompressed_size
            rows += chunk.num_values
            longest = max(longest, len(told.max_raw))
    return held / (rows * (LENGTH_BYTES + longest)) if rows else 0.0


def codes_of(table: pa.Table, name: str) -> tuple[pl.Series, pl.Series]:
    """A column as codes, null for null, and the strings that they stand for.

    Strings of a column that was read as a dictionary are distinct; others may be repeated.
    """
    values = table.column(name)
    if is_string(values.type):
        words = pl.Series(name, pl.from_arrow(values), dtype=pl.String)
        codes = pl.Series(name, np.arange(len(words), dtype=np.int32))
        return codes.set(words.is_null(), None) if words.null_count() else codes, words
    if not pa.types.is_dictionary(values.type):
        values = values.cast(pa.string()).dictionary_encode()
    elif not is_string(values.type.value_type):
        values = values.cast(values.type.value_type).cast(pa.string()).dictionary_encode()
    whole = values.unify_dictionaries().combine_chunks()
    whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    words = pl.Series(name, pl.from_arrow(whole.dictionary), dtype=pl.String)
    return pl.Series(name, pl.from_arrow(whole.indices), dtype=pl.Int32), words

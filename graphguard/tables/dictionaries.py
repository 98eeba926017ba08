"""Key columns of foreign files as codes, and the strings that the codes stand for.

Arrow's table of words takes a tenth of a microsecond for each: it pays where most keys repeat
(`graphguard/tables/footers.py`). Any other column is read as plain strings, and each row is a code
of its own.
"""

import numpy as np
import polars as pl
import pyarrow as pa

from graphguard.tables.column_kinds import is_string


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

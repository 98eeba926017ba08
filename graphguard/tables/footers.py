"""What the footer of a foreign Parquet file says of its key columns.

Imports next to nothing: the process that proves files reads it, and starts for each night.
"""

from collections.abc import Sequence

import pyarrow.parquet as pq

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
    schema = footer.schema
    places = [place for place in range(len(schema)) if schema.column(place).path == column]
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        for place in places:
            # Of a damaged footer this may end the process. What is read was looked at before by one
            # that may die of it; of other columns nothing is known.
            chunk = group.column(place)
            told = chunk.statistics
            if told is None or not told.has_min_max or not isinstance(told.max_raw, bytes):
                return 0.0
            held += chunk.total_uncompressed_size
            rows += chunk.num_values
            longest = max(longest, len(told.max_raw))
    return held / (rows * (LENGTH_BYTES + longest)) if rows else 0.0

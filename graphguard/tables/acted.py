"""Who acted in a stored unit: one bit an entity, so that no night reads every event to know.

```
store/events/<log>/<unit>/<fingerprint>/acted/<type>.parquet     ACTED
```
A unit that an older program stored has none; then its events are read.
"""

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.schema import ACTED
from graphguard.tables.files import read_parquet, write_parquet

FOLDER = "acted"


Words = NDArray[np.int64]
"""Who acted: one bit an entity, by storage index, 64 to a word."""


def write_acted(path: Path, events: pl.DataFrame, columns: Sequence[str]) -> Words:
    """Write who stands in `columns` of EVENTS; returns what was written."""
    words = packed([events.get_column(name) for name in columns])
    write_parquet(path, pl.DataFrame({"bits": words}), ACTED)
    return words


def packed(columns: Sequence[pl.Series]) -> Words:
    """Who stands in some columns of storage indices."""
    found = [
        (column.drop_nulls() if column.null_count() else column).to_numpy() for column in columns
    ]
    end = max((int(part.max()) + 1 for part in found if part.size), default=0)
    seen = np.zeros(-(-end // 64) * 64, dtype=np.bool_)
    for part in found:
        seen[part] = True
    return np.packbits(seen, bitorder="little").view("<i8")


class Acted:
    """Who of an entity type acted in some stored units; several threads may add some."""

    def __init__(self, entity_type: str) -> None:
        self._type = entity_type
        self._words: Words = np.zeros(0, dtype=np.int64)
        self._turn = threading.Lock()

    def add(self, unit: Path, columns: Sequence[str]) -> None:
        """Take in a stored unit.

        Args:
            unit: The unit's folder.
            columns: Columns of the unit's log that name entities of the type.

        Raises:
            ArtefactInvalid: The unit is damaged.
        """
        path = acted_file(unit, self._type)
        if path.is_file():
            words = read_parquet(path).get_column("bits").to_numpy()
        else:
            words = packed(read_parquet(unit / "events.parquet", list(columns)).get_columns())
        self.take(words)

    def take(self, words: Words) -> None:
        """Take in who acted in a unit."""
        with self._turn:
            if len(words) > len(self._words):
                self._words = np.r_[self._words, np.zeros(len(words) - len(self._words), np.int64)]
            self._words[: len(words)] |= words

    def seen(self, end: int) -> NDArray[np.bool_]:
        """Whether the entity of each storage index below `end` acted, shape [end]."""
        bits = _unpacked(self._words)[:end]
        seen = np.zeros(end, dtype=np.bool_)
        seen[: len(bits)] = bits
        return seen


def unpacked(acted: pl.DataFrame) -> NDArray[np.bool_]:
    """Whether the entity of each storage index acted, from ACTED."""
    return _unpacked(acted.get_column("bits").to_numpy())


def _unpacked(words: Words) -> NDArray[np.bool_]:
    return np.unpackbits(words.view(np.uint8), bitorder="little").view(np.bool_)


def acted_file(unit: Path, entity_type: str) -> Path:
    """Where a unit says who of a type acted."""
    return unit / FOLDER / f"{entity_type}.parquet"

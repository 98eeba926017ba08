"""Who acted in a stored unit: one bit an entity, so that no night reads every event to know.

```
store/events/<log>/<unit>/<fingerprint>/acted/<type>.parquet     ACTED
```
A unit that an older program stored has none; then its events are read.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.schema import ACTED
from graphguard.tables.files import read_parquet, write_parquet

FOLDER = "acted"


def write_acted(path: Path, events: pl.DataFrame, columns: Sequence[str]) -> None:
    """Write who stands in `columns` of EVENTS."""
    found = [events.get_column(name).drop_nulls().to_numpy() for name in columns]
    end = max((int(part.max()) + 1 for part in found if part.size), default=0)
    seen = np.zeros(-(-end // 64) * 64, dtype=np.bool_)
    for part in found:
        seen[part] = True
    words = np.packbits(seen, bitorder="little").view("<i8")
    write_parquet(path, pl.DataFrame({"bits": words}), ACTED)


def mark_acted(
    seen: NDArray[np.bool_], unit: Path, entity_type: str, columns: Sequence[str]
) -> None:
    """Set `seen` for each entity of a type that acts in a stored unit.

    Args:
        seen: By storage index, shape [n]; all that the unit names lie below n.
        unit: The unit's folder.
        entity_type: The type.
        columns: Columns of the unit's log that name entities of the type.

    Raises:
        ArtefactInvalid: The unit is damaged.
    """
    path = acted_file(unit, entity_type)
    if path.is_file():
        bits = unpacked(read_parquet(path))
        seen[: len(bits)] |= bits[: len(seen)]
        return
    for values in read_parquet(unit / "events.parquet", list(columns)).iter_columns():
        seen[values.drop_nulls().to_numpy()] = True


def unpacked(acted: pl.DataFrame) -> NDArray[np.bool_]:
    """Whether the entity of each storage index acted, from ACTED."""
    words = acted.get_column("bits").to_numpy()
    return np.unpackbits(words.view(np.uint8), bitorder="little").view(np.bool_)


def acted_file(unit: Path, entity_type: str) -> Path:
    """Where a unit says who of a type acted."""
    return unit / FOLDER / f"{entity_type}.parquet"

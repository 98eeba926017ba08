"""Put the daily edges of a type together as arrays: days just made, and days as they are stored."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.errors import ArtefactInvalid
from graphguard.graph.arrays import MOST_IN_A_BYTE, EdgeArrays
from graphguard.graph.hetero import EdgeType
from graphguard.tables.commit import read_manifest
from graphguard.tables.files import read_parquet
from graphguard.tables.threads import threads

LARGEST = 2**31 - 1


class EdgeRoom:
    """Room for the daily edges of one type, day by day; several threads may fill it.

    Args:
        sizes: Most edges of each day, by its folder, in order. Room that no edge comes to is never
            touched, and so takes no memory.
    """

    def __init__(self, sizes: Mapping[Path, int]) -> None:
        ends = np.cumsum([0, *sizes.values()]).tolist()
        self._starts = dict(zip(sizes, ends[:-1], strict=True))
        self._numbers: dict[Path, int] = {}
        # Indices in half the memory of the stored ones: more than two billion nodes of a type are
        # beyond one machine.
        self._source = np.empty(ends[-1], dtype=np.int32)
        self._target = np.empty(ends[-1], dtype=np.int32)
        self._time_us = np.empty(ends[-1], dtype=np.int64)
        self._count = np.empty(ends[-1], dtype=np.uint8)
        self._large: dict[Path, NDArray[np.int32]] = {}

    def put(self, day: Path, edges: pl.DataFrame) -> None:
        """Keep a day's edges; of DAILY_EDGES, `source`, `target`, `first_us` and `count`.

        Raises:
            ArtefactInvalid: A number does not fit.
        """
        place = slice(self._starts[day], self._starts[day] + edges.height)
        names = ("source", "target", "count")
        source, target, count = (_fitting(day, edges.get_column(name)) for name in names)
        self._source[place], self._target[place] = source, target
        if count.max(initial=0) > MOST_IN_A_BYTE:
            self._large[day] = count.astype(np.int32)
        else:
            self._count[place] = count
        self._time_us[place] = edges.get_column("first_us").to_numpy()
        self._numbers[day] = edges.height

    def left(self) -> list[Path]:
        """Days that were not put yet."""
        return [day for day in self._starts if day not in self._numbers]

    def arrays(self) -> EdgeArrays:
        """All edges, day by day; nothing may be put any more."""
        end, count = 0, self._count.astype(np.int32) if self._large else self._count
        for day, values in self._large.items():
            count[self._starts[day] : self._starts[day] + len(values)] = values
        every: tuple[NDArray[Any], ...] = (self._source, self._target, self._time_us, count)
        for day, start in self._starts.items():
            number = self._numbers[day]
            if end < start:
                for each in every:
                    each[end : end + number] = each[start : start + number]
            end += number
        return EdgeArrays(*(each[:end] for each in every))


def _fitting(day: Path, column: pl.Series) -> NDArray[np.int64]:
    """Numbers within 31 bits: assigned to, an array would take others without a word."""
    values = column.to_numpy()
    if values.max(initial=0) > LARGEST or values.min(initial=0) < 0:
        reason = f"'{column.name}' holds a number that is not within 31 bits"
        raise ArtefactInvalid(day / "edges.parquet", reason)
    return values


def read_edges(
    wanted: Mapping[EdgeType, Sequence[Path]], begun: Mapping[EdgeType, EdgeRoom] | None = None
) -> dict[EdgeType, EdgeArrays]:
    """Daily edges of each type in some folders, with storage indices, folder by folder.

    Args:
        wanted: Committed folders of each type; those of days in order give edges by time.
        begun: Room for these folders, of types of which some days are there already; these are not
            read.

    Raises:
        ArtefactInvalid: A folder does not hold what its manifest says.
    """
    with threads() as pool:
        rooms, reading = {}, []
        for edge_type, folders in wanted.items():
            room = (begun or {}).get(edge_type)
            if room is None:
                room = EdgeRoom({one: int(read_manifest(one)["rows"]) for one in folders})
            rooms[edge_type] = room
            reading.append(pool.start(partial(_read_day, room), room.left()))
        for work in reading:
            work.results()
        every = pool.each(lambda one: (one, rooms[one].arrays()), list(rooms))
    return dict(every)


def _read_day(room: EdgeRoom, folder: Path) -> None:
    """Read the daily edges in a folder into the room for them."""
    path = folder / "edges.parquet"
    frame = read_parquet(path, ["source", "target", "first_us", "count"])
    rows = int(read_manifest(folder)["rows"])
    if frame.height != rows:
        raise ArtefactInvalid(path, f"has {frame.height} rows, its manifest says {rows}")
    room.put(folder, frame)

"""Read stored days of edges into arrays."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from graphguard.errors import ArtefactInvalid
from graphguard.graph.arrays import EdgeArrays
from graphguard.graph.hetero import EdgeType
from graphguard.tables.commit import read_manifest
from graphguard.tables.files import read_parquet
from graphguard.tables.threads import threads


def read_edges(wanted: Mapping[EdgeType, Sequence[Path]]) -> dict[EdgeType, EdgeArrays]:
    """Daily edges of each type in some folders, with storage indices, folder by folder.

    Args:
        wanted: Committed folders of each type; those of days in order give edges by time.

    Raises:
        ArtefactInvalid: A folder does not hold what its manifest says.
    """
    edges = {}
    with threads() as pool:
        begun = []
        for edge_type, folders in wanted.items():
            ends = np.cumsum([0, *(int(read_manifest(folder)["rows"]) for folder in folders)])
            edges[edge_type] = arrays = _empty_edges(int(ends[-1]))
            days = zip(folders, map(slice, ends[:-1], ends[1:]), strict=True)
            begun.append(pool.start(partial(_read_day, arrays), days))
        for work in begun:
            work.results()
    return edges


def _empty_edges(size: int) -> EdgeArrays:
    """Room for edges: indices in half the memory of the stored ones.

    More than two billion nodes of a type are beyond one machine.
    """
    return EdgeArrays(
        source=np.empty(size, dtype=np.int32),
        target=np.empty(size, dtype=np.int32),
        time_us=np.empty(size, dtype=np.int64),
        count=np.empty(size, dtype=np.int32),
    )


def _read_day(into: EdgeArrays, day: tuple[Path, slice]) -> None:
    """Read the daily edges in a folder to their place in `into`."""
    folder, place = day
    path = folder / "edges.parquet"
    frame = read_parquet(path, ["source", "target", "first_us", "count"])
    if frame.height != place.stop - place.start:
        reason = f"has {frame.height} rows, its manifest says {place.stop - place.start}"
        raise ArtefactInvalid(path, reason)
    # Assigned to, an array would take what does not fit without a word.
    frame = frame.cast(dict.fromkeys(("source", "target", "count"), pl.Int32))
    into.source[place] = frame.get_column("source").to_numpy()
    into.target[place] = frame.get_column("target").to_numpy()
    into.time_us[place] = frame.get_column("first_us").to_numpy()
    into.count[place] = frame.get_column("count").to_numpy()

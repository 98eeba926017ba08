"""A run's graph without some of its nodes: dense indices close up, both directions stay sorted."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from graphguard.erase.doomed import Doomed
from graphguard.erase.swap import Write, json_writer
from graphguard.errors import GraphInvalid
from graphguard.graph.arrays import count_kind
from graphguard.tables.files import read_json

Mask = NDArray[np.bool_]


def doomed_nodes(folder: Path, doomed: Doomed) -> dict[str, Mask]:
    """Which dense indices of each node type are doomed; types without any are left out.

    Args:
        folder: The graph's folder.
        doomed: Who is to be erased.
    """
    found = {}
    for kind in read_json(folder / "meta.json")["num_nodes"]:
        mask = doomed.mask(kind, _load(folder / "nodes" / kind / "storage.npy"))
        if mask.any():
            found[kind] = mask
    return found


def graph_writes(folder: Path, gone: dict[str, Mask]) -> dict[str, Write]:
    """How to write the files of a graph that change when nodes are taken out.

    Cost: O(edges of the types that touch them), one edge type and direction at a time.
    """
    if not gone:
        return {}
    meta = read_json(folder / "meta.json")
    writes: dict[str, Write] = {}
    for kind, mask in gone.items():
        writes[f"nodes/{kind}/storage.npy"] = _rows(folder / "nodes" / kind / "storage.npy", mask)
        writes[f"nodes/{kind}/keys.arrow"] = _keys(folder / "nodes" / kind / "keys.arrow", mask)
        meta["num_nodes"][kind] -= int(mask.sum())
    for name in meta["edge_types"]:
        if name[0] in gone or name[2] in gone:
            place = f"edges/{'__'.join(name)}"
            ends = (gone.get(name[0]), gone.get(name[2]))
            writes |= _side(folder / place, place, ("csr", "source"), ends)
            writes |= _side(folder / place, place, ("csc", "target"), (ends[1], ends[0]))
    writes["meta.json"] = json_writer(meta)
    return writes


def _side(
    folder: Path, place: str, names: tuple[str, str], ends: tuple[Mask | None, Mask | None]
) -> dict[str, Write]:
    """Arrays of one direction; each is made when it is written, so one is in memory at a time."""
    side, end = names
    own, other = ends

    def kept() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], Mask]:
        indptr = _load(folder / f"{side}_indptr.npy")
        neighbor = _load(folder / f"{side}_neighbor.npy")
        row = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
        keep = np.ones(len(neighbor), dtype=np.bool_)
        keep &= ~own[row] if own is not None else True
        keep &= ~other[neighbor] if other is not None else True
        return indptr, row, neighbor, keep

    def indptr(path: Path) -> None:
        before, row, _, keep = kept()
        counts = np.bincount(row[keep], minlength=len(before) - 1)
        counts = counts if own is None else counts[~own]
        np.save(path, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))

    def neighbor(path: Path) -> None:
        _, _, neighbors, keep = kept()
        chosen = neighbors[keep].astype(np.int64)
        if other is not None:
            chosen = (np.cumsum(~other) - 1)[chosen]
        np.save(path, chosen.astype(np.int32))

    def degree(path: Path) -> None:
        # What a hub's cap had dropped before stays counted: it names nobody.
        _, row, _, keep = kept()
        values = _load(folder / f"degree_{end}.npy")
        values = values - np.bincount(row[~keep], minlength=len(values))
        np.save(path, values if own is None else values[~own])

    def time(path: Path) -> None:
        np.save(path, _load(folder / f"{side}_time.npy")[kept()[3]])

    def count(path: Path) -> None:
        left = _load(folder / f"{side}_count.npy")[kept()[3]]
        np.save(path, left.astype(count_kind(int(left.max(initial=0))), copy=False))

    return {
        f"{place}/{side}_indptr.npy": indptr,
        f"{place}/{side}_neighbor.npy": neighbor,
        f"{place}/{side}_time.npy": time,
        f"{place}/{side}_count.npy": count,
        f"{place}/degree_{end}.npy": degree,
    }


def embedding_write(path: Path, mask: Mask) -> Write | None:
    """How to write embeddings without the doomed rows; None where they are gone already.

    Raises:
        GraphInvalid: The rows are neither those of the graph nor those that would be left.
    """
    rows = len(_load(path))
    if rows == len(mask):
        return _rows(path, mask)
    if rows == int((~mask).sum()):
        return None
    raise GraphInvalid(str(path), f"has {rows} rows, but the graph has {len(mask)} users")


def _rows(path: Path, gone: Mask) -> Write:
    return lambda aside: np.save(aside, _load(path)[~gone])


def _keys(path: Path, gone: Mask) -> Write:
    def write(aside: Path) -> None:
        with pa.memory_map(str(path)) as file:
            table = pa.ipc.open_file(file).read_all()
            kept = pl.DataFrame(pl.from_arrow(table)).filter(pl.Series(~gone))
            keys = kept.to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks()
        with pa.ipc.new_file(aside, keys.schema) as writer:
            writer.write_table(keys)

    return write


def _load(path: Path) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array

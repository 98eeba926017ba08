"""Look for traces: decode every file of a workspace and its sinks, and name those that hold one.

A trace is a key, in a cell or in a text or in the bytes of a file, or a storage index that an
erased key had, in a column of indices. Keys of fewer than six characters are looked for as whole
cells of key columns alone, since they stand in any text. What is read: every column of every
Parquet and Arrow file, every array, every JSON value, and the bytes of every file as stored.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import polars as pl
import pyarrow as pa

from graphguard.config.sections import Config
from graphguard.erase.columns import KEY_COLUMNS, KEY_LISTS, EntityColumns
from graphguard.erase.doomed import Doomed, Mentions, doom
from graphguard.errors import ArtefactInvalid, TracesFound
from graphguard.tables.acted import FOLDER as ACTED
from graphguard.tables.acted import unpacked
from graphguard.tables.files import read_json, read_parquet
from graphguard.tables.segment_files import marks_are_of_keys
from graphguard.tables.workspace import Workspace


@dataclass(frozen=True)
class Search:
    """A search that found nothing.

    Attributes:
        keys: Keys looked for.
        indices: Storage indices looked for.
        files: Files decoded.
        cells: Cells of tables and arrays decoded.
    """

    keys: int
    indices: int
    files: int
    cells: int

    def __str__(self) -> str:
        return (
            f"no trace of {self.keys} keys and {self.indices} storage indices: "
            f"{self.files} files and {self.cells} cells decoded"
        )


def check_erasure(config: Config, entity_type: str, keys: frozenset[str]) -> Search:
    """Search workspace and sinks for traces of erased entities.

    Args:
        config: Names workspace and sinks.
        entity_type: Type of the keys.
        keys: Keys that were to be erased. The storage indices that have lost their key are
            searched for as well, of every type.

    Raises:
        TracesFound: Some file holds one; the message names the files.
        WorkspaceBusy: A night or an erasure is at work.
    """
    workspace = Workspace(config.workspace_folder)
    with workspace.locked():
        doomed = doom(workspace, {entity_type: keys})
        scanner = _Scanner(doomed, EntityColumns.of(config, workspace))
        traces = []
        files = 0
        for root, path in _files(config, workspace):
            files += 1
            found = scanner.traces(path, path.relative_to(root))
            if found:
                traces.append(f"{path}: {', '.join(found)}")
    if traces:
        raise TracesFound(traces, files)
    indices = sum(values.size for values in doomed.indices.values())
    return Search(len(keys), indices, files, scanner.cells)


def _files(config: Config, workspace: Workspace) -> Iterator[tuple[Path, Path]]:
    """Every file, hidden ones and leftovers of killed writers too; links are followed by name."""
    roots = [workspace.root, *(config.root / one.path for one in config.export)]
    for root in roots:
        for path in sorted(root.rglob("*")) if root.is_dir() else ():
            if path.is_file() and not path.is_symlink():
                yield root, path


class _Scanner:
    """Decodes one file after the other."""

    def __init__(self, doomed: Doomed, columns: EntityColumns) -> None:
        self._doomed, self._columns = doomed, columns
        self._bytes = Mentions(
            key.encode().decode("latin-1") for keys in doomed.keys.values() for key in keys
        )
        self.cells = 0

    def traces(self, path: Path, place: PurePath) -> list[str]:
        """Where a file holds traces, in words; empty where it holds none."""
        found = []
        try:
            if path.suffix == ".parquet":
                found = self._table(read_parquet(path), place)
            elif path.suffix == ".arrow":
                found = self._table(_arrow(path), place)
                if place.parts[0] == "ids" and not marks_are_of_keys(path):
                    found.append("a mark of no key")
            elif path.suffix == ".npy":
                found = self._array(path, place)
            elif path.suffix == ".json":
                value = read_json(path)
                found = [] if self._doomed.mentions.without(value) is value else ["a JSON value"]
        except (ArtefactInvalid, ValueError, pa.ArrowException) as error:
            found = [f"cannot be decoded ({type(error).__name__})"]
        # Footers, model files, pages and logs: what the decoders do not show stands in the bytes.
        text = pl.Series([path.read_bytes().decode("latin-1")])
        if self._bytes.blanked(text):
            found.append("its bytes")
        return found

    def _table(self, frame: pl.DataFrame, place: PurePath) -> list[str]:
        self.cells += frame.height * frame.width
        indices, keys = self._columns.indices(place), self._columns.keys(place)
        if place.parts[0] == "ids":
            indices, keys = {}, {"key": place.parts[1]}
        if "nodes" in place.parts:
            keys = {"key": place.parts[-2]}
        if frame.columns and set(frame.columns) == {"entity_type", "mark"}:
            return []
        if place.parent.name == ACTED:
            acted = np.flatnonzero(unpacked(frame))
            return ["a storage index"] if self._doomed.mask(place.stem, acted).any() else []
        found = []
        for name, kind in frame.schema.items():
            column = frame.select(name)
            if name in KEY_LISTS and kind == pl.List(pl.String):
                column, kind = column.explode(name, empty_as_null=False), pl.String()
                keys = keys | {name: self._columns.target}
            named = {name: indices[name]} if name in indices and kind.is_integer() else {}
            keyed = {name: keys[name]} if name in keys and kind == pl.String else {}
            if column.filter(self._doomed.rows(column, named, keyed)).height:
                found.append(f"column '{name}'")
            elif kind == pl.String and name not in keyed:
                if self._texts(column.to_series(), whole=name in (*KEY_COLUMNS, "value")):
                    found.append(f"column '{name}'")
            elif kind.is_nested() or kind == pl.Binary:
                texts = pl.Series([str(column.to_series().to_list())])
                if self._doomed.mentions.blanked(texts):
                    found.append(f"column '{name}'")
        return found

    def _texts(self, texts: pl.Series, *, whole: bool) -> bool:
        if self._doomed.mentions.blanked(texts):
            return True
        keys = [key for keys in self._doomed.keys.values() for key in keys]
        return whole and bool(texts.is_in(pl.Series(keys, dtype=pl.String).implode()).any())

    def _array(self, path: Path, place: PurePath) -> list[str]:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        self.cells += int(array.size)
        if array.dtype.kind in "US":
            texts = pl.Series(np.asarray(array).astype(str).ravel().tolist())
            return ["a text"] if self._texts(texts, whole=True) else []
        if path.name == "storage.npy" and self._doomed.mask(place.parts[-2], array).any():
            return ["a storage index"]
        if path.name == "embeddings.npy":
            storage = path.parents[1] / "build_graph/graph/nodes" / self._columns.target
            rows = len(np.load(storage / "storage.npy", mmap_mode="r", allow_pickle=False))
            return [] if rows == len(array) else [f"{len(array)} rows for {rows} users"]
        return []


def _arrow(path: Path) -> pl.DataFrame:
    with pa.memory_map(str(path)) as file:
        return pl.DataFrame(pl.from_arrow(pa.ipc.open_file(file).read_all()))

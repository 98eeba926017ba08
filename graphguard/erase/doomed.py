"""Who is to be erased, as keys and as storage indices, and how a mention in a text is found."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.tables.workspace import Workspace

SHORTEST_MENTION = 6
"""Keys of fewer characters are looked for as whole values alone: `12` stands in any text."""
BLANK = "[erased]"
"""What stands where a text named an erased entity."""


@dataclass(frozen=True)
class Doomed:
    """Entities to be erased.

    Attributes:
        keys: Keys by entity type, those that the workspace does not know too.
        indices: Storage indices by entity type, of these keys and of all erased before.
    """

    keys: Mapping[str, frozenset[str]]
    indices: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    @cached_property
    def mentions(self) -> "Mentions":
        """Finds the keys in texts."""
        return Mentions(key for keys in self.keys.values() for key in keys)

    def rows(
        self, frame: pl.DataFrame, indices: Mapping[str, str], keys: Mapping[str, str]
    ) -> pl.Expr:
        """Whether a row names a doomed entity in one of the named columns; never null."""
        # As long as the frame: a filter that runs in threads would take one literal from each.
        found = pl.repeat(value=False, n=pl.len())
        for column, kind in indices.items():
            values = self.indices.get(kind)
            if column in frame.columns and values is not None and values.size:
                found |= pl.col(column).is_in(pl.Series(values).implode())
        for column, kind in keys.items():
            if column in frame.columns and self.keys.get(kind):
                found |= pl.col(column).is_in(pl.Series(sorted(self.keys[kind])).implode())
        return found.fill_null(value=False)

    def mask(self, kind: str, storage: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each storage index of a type is doomed, shape as given."""
        return np.isin(storage, self.indices.get(kind, np.zeros(0, dtype=np.int64)))


class Mentions:
    """Finds long keys in texts: whole words only, so that `user-1234` is not in `user-12345`."""

    def __init__(self, keys: Iterable[str]) -> None:
        self.patterns = sorted({key for key in keys if len(key) >= SHORTEST_MENTION})

    def blanked(self, texts: pl.Series) -> dict[int, str]:
        """The texts that name a key, by position, with `[erased]` for every mention.

        Cost: one pass over the texts (Aho-Corasick), and a search in the few that match.
        """
        if not self.patterns or not texts.len():
            return {}
        likely = texts.str.contains_any(self.patterns).fill_null(value=False).arg_true()
        mine = texts.gather(likely)
        names = mine.str.extract_many(self.patterns, overlapping=True)
        found = {}
        for place, text, inside in zip(likely, mine, names, strict=True):
            new = _blanked(text, inside.to_list())
            if new != text:
                found[int(place)] = new
        return found

    def within(self, text: str) -> bool:
        """Whether one text names a key."""
        return bool(self.blanked(pl.Series([text])))

    def without(self, value: Any) -> Any:
        """A JSON value whose strings name none of the keys; the same object where none did."""
        texts: list[str] = []
        _collect(value, texts)
        new = self.blanked(pl.Series(texts, dtype=pl.String))
        changed = {texts[place]: text for place, text in new.items()}
        return _replaced(value, changed) if changed else value


def _blanked(text: str, names: Iterable[str]) -> str:
    for name in sorted(set(names), key=len, reverse=True):
        text = re.sub(rf"(?<![0-9A-Za-z_]){re.escape(name)}(?![0-9A-Za-z_])", BLANK, text)
    return text


def _collect(value: Any, texts: list[str]) -> None:
    if isinstance(value, str):
        texts.append(value)
    elif isinstance(value, list):
        for one in value:
            _collect(one, texts)
    elif isinstance(value, dict):
        for key, one in value.items():
            _collect(key, texts)
            _collect(one, texts)


def _replaced(value: Any, changed: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return changed.get(value, value)
    if isinstance(value, list):
        return [_replaced(one, changed) for one in value]
    if isinstance(value, dict):
        return {changed.get(key, key): _replaced(one, changed) for key, one in value.items()}
    return value


def reserved_indices(workspace: Workspace) -> dict[str, NDArray[np.int64]]:
    """Storage indices of all entities erased before, by type: they stay taken without a key."""
    found = {}
    for entity_type in entity_types(workspace):
        frame = workspace.ids(entity_type).frame
        gone = frame.filter(pl.col("key").is_null()).get_column("index")
        found[entity_type] = gone.to_numpy().astype(np.int64)
    return found


def entity_types(workspace: Workspace) -> list[str]:
    """Entity types with an id dictionary, sorted."""
    folder = workspace.root / "ids"
    names = folder.iterdir() if folder.is_dir() else ()
    return sorted(path.name for path in names if path.is_dir())


def doom(workspace: Workspace, keys: Mapping[str, frozenset[str]]) -> Doomed:
    """The entities of these keys, with all indices that no table may hold any more."""
    indices = reserved_indices(workspace)
    for kind, names in keys.items():
        if kind in indices:
            frame = workspace.ids(kind).frame
            mine = frame.filter(pl.col("key").is_in(pl.Series(sorted(names)).implode()))
            held = mine.get_column("index").to_numpy().astype(np.int64)
            indices[kind] = np.unique(np.concatenate([indices[kind], held]))
    return Doomed(keys, indices)


def together(first: Doomed, second: Doomed) -> Doomed:
    """All that either names."""
    kinds = first.keys.keys() | second.keys.keys() | first.indices.keys() | second.indices.keys()
    none: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
    nobody: frozenset[str] = frozenset()
    return Doomed(
        {kind: first.keys.get(kind, nobody) | second.keys.get(kind, nobody) for kind in kinds},
        {
            kind: np.union1d(first.indices.get(kind, none), second.indices.get(kind, none))
            for kind in kinds
        },
    )

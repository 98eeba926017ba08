"""The id dictionary: each entity's key gets a storage index once and keeps it.

Append-only segments per entity type. Indices follow the order of arrival and mean nothing beyond
storage: results never depend on them.
"""

import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.tables.key_marks import Marks, Rows, hashes_of
from graphguard.tables.lease import fenced
from graphguard.tables.marks import MarkTable
from graphguard.tables.segments import open_segments, put_behind

PIECES_COST = 16
"""How many strings are put in one piece in the time that one is longer sought in several."""


class IdStore:
    """Keys and storage indices of one entity type; mapped, saved segment by segment.

    Whoever adds keys saves them before anything that holds their indices is committed; one thread
    may add while others save.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held = open_segments(folder)
        self._saved = list(self._held)
        self._opened = self._next = self._held[-1].end if self._held else 0
        self._added = pl.DataFrame(schema={"key": pl.String, "index": pl.Int64})
        self._unsaved: list[pl.Series] = []
        self._turn, self._saving = threading.Lock(), threading.Lock()
        self._frame: pl.DataFrame | None = None
        self._table: MarkTable | None = None

    def __len__(self) -> int:
        return self._next

    @property
    def end(self) -> int:
        """The next index to be given: all that are held lie below it."""
        return self._next

    @property
    def frame(self) -> pl.DataFrame:
        """Columns `key` and `index`, one row per entity, in order of arrival."""
        if self._frame is None:
            self._frame = pl.concat([*(one.frame() for one in self._held), self._added])
        return self._frame

    def segments(self) -> list[tuple[str, str]]:
        """Where each save ended and a digest of its keys: what storage indices of today mean.

        An erasure changes digests; a later night appends to them.
        """
        return [one for segment in self._saved for one in segment.batches]

    def keys_of(self, indices: pl.Series) -> pl.Series:
        """Key of each storage index, null where none is held.

        Cost: that of the keys asked for.
        """
        asked = indices.fill_null(-1).to_numpy()
        parts: list[tuple[int, int, Callable[[NDArray[np.int64]], pl.Series]]]
        parts = [(one.start, one.end, one.keys.gather) for one in self._held]
        parts.append((self._opened, self._next, self._added.get_column("key").gather))
        taken, at = [], []
        for start, end, take in parts:
            mine = np.flatnonzero((asked >= start) & (asked < end))
            if mine.size:
                taken.append(take(asked[mine] - start))
                at.append(mine)
        held = sum(map(len, at))
        if held < len(asked):
            strange = np.flatnonzero((asked < 0) | (asked >= self._next))
            taken.append(pl.repeat(None, len(strange), dtype=pl.String, eager=True))
            at.append(strange)
        keys = pl.concat(taken) if taken else pl.Series(dtype=pl.String)
        if len(at) > 1:
            place = np.empty(len(asked), dtype=np.int64)
            place[np.concatenate(at)] = np.arange(len(asked))
            keys = keys.gather(place)
        return keys.alias("key")

    def add(self, keys: pl.Series) -> None:
        """Give indices to the keys not yet known, in sorted order; `save` makes them last."""
        self.codes(keys.drop_nulls())

    def codes(self, keys: pl.Series) -> pl.Series:
        """Storage index of each key, after giving one to those not yet known, in sorted order.

        Args:
            keys: Strings without nulls; repeats are allowed.

        Cost: a look into the segments as these lie on disk, for each key; for those that are not
        held one more into a table of those added. Keys that are new are sorted.
        """
        asked = Asked(self, keys)
        asked.look_up(0, len(keys))
        return self.codes_of(asked)

    def codes_of(self, asked: "Asked") -> pl.Series:
        """As `codes`, of keys that were looked up among those held."""
        keys, index, hashes = asked.keys, asked.index, asked.hashes
        strange = np.flatnonzero(index < 0)
        if not strange.size:
            return pl.Series("index", index)
        if strange.size == len(keys):
            index, new = self._among_added(keys, hashes)
        else:
            index[strange], new = self._among_added(keys[strange], hashes[strange])
        if new.height:
            self._next += new.height
            with self._turn:
                self._unsaved.append(new.get_column("key"))
                self._added = pl.concat([self._added, new])
            self._frame = None
        return pl.Series("index", index)

    def find(self, keys: pl.Series) -> pl.Series:
        """Storage index of each key, null for one that is not known, and for null.

        Cost: as of `codes`, and a look at each that was added since the store was opened.
        """
        there = keys.is_not_null()
        if not there.all():
            nothing = pl.repeat(None, len(keys), dtype=pl.Int64, eager=True).alias("index")
            return nothing.scatter(there.arg_true(), self.find(keys.filter(there)))
        index, _ = self._in_segments(keys)
        strange = np.flatnonzero(index < 0)
        if not strange.size:
            return pl.Series("index", index)
        if self._added.height:
            asked = keys.gather(strange)
            near = self._added.filter(pl.col("key").is_in(asked.implode()))
            index[strange] = _looked_up(asked, near).fill_null(-1).to_numpy()
        found = pl.Series("index", index)
        return found.set(found < 0, None)

    def _in_segments(self, keys: pl.Series) -> tuple[Rows, Marks]:
        """Index of each key that was held when the store was opened, -1 for others; and hashes."""
        hashes = hashes_of(keys)
        index = np.full(len(keys), -1, dtype=np.int64)
        left = np.arange(len(keys) if self._held else 0)
        for segment in sorted(self._held, key=len, reverse=True):
            if left.size == len(keys):
                index = segment.find(keys, hashes)
            elif left.size:
                index[left] = segment.find(keys[left], hashes[left])
            left = left[index[left] < 0]
        return index, hashes

    def _among_added(self, keys: pl.Series, hashes: Marks) -> tuple[Rows, pl.DataFrame]:
        """Index of each key among those added, and the rows to add for those of which is none."""
        if self._table is None:
            added = hashes_of(self._added.get_column("key"))
            self._table = MarkTable(added, self._added.get_column("index").to_numpy())
        index, new = self._from_table(self._table, keys, hashes)
        if self._stand_for(index, new, keys):
            return index, new
        # Two keys share a hash.
        self._table = None
        return self._by_key(keys)

    def _by_key(self, keys: pl.Series) -> tuple[Rows, pl.DataFrame]:
        found = _looked_up(keys, self._added)
        strange = keys.filter(found.is_null())
        new = strange.unique().sort().alias("key")
        indices = pl.int_range(self._next, self._next + len(new), dtype=pl.Int64, eager=True)
        rows = pl.DataFrame([new, indices.alias("index")])
        index = found.fill_null(-1).to_numpy().copy()
        index[index < 0] = _looked_up(strange, rows).to_numpy()
        return index, rows

    def _from_table(
        self, table: MarkTable, keys: pl.Series, hashes: Marks
    ) -> tuple[Rows, pl.DataFrame]:
        """What the table says of keys; it takes up the new ones."""
        before = len(table)
        rows = table.rows(hashes)
        place = np.flatnonzero(rows >= before)
        first = np.empty(len(table) - before, dtype=np.int64)
        # Written backwards: of equal keys the first is left.
        first[rows[place[::-1]] - before] = place[::-1]
        new = keys[first].alias("key")
        order = new.arg_sort().to_numpy()
        indices = np.empty(len(order), dtype=np.int64)
        indices[order] = np.arange(self._next, self._next + len(order))
        table.name(before, indices)
        added = pl.DataFrame([new, pl.Series("index", indices)])[order]
        return table.values(rows), added

    def _stand_for(self, index: Rows, new: pl.DataFrame, keys: pl.Series) -> bool:
        """Whether each index is that of its key."""
        every = pl.concat([self._added.get_column("key"), new.get_column("key")])
        if len(every) < PIECES_COST * len(keys):
            every = every.rechunk()
        return bool((every[index - self._opened] == keys).all(ignore_nulls=False))

    def encode(self, frame: pl.DataFrame, column: str) -> pl.DataFrame:
        """Replace the strings in `column` by storage indices; unknown keys become null."""
        return frame.with_columns(self.find(frame.get_column(column)).alias(column))

    def decode(self, frame: pl.DataFrame, column: str, into: str) -> pl.DataFrame:
        """Add the keys of the storage indices in `column` as the string column `into`."""
        return frame.with_columns(self.keys_of(frame.get_column(column)).alias(into))

    def save(self) -> None:
        """Save the keys added since the last time, durably, as one segment."""
        if not self._unsaved:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        # Indices given out by a holder that was replaced would name other keys, and so would those
        # of keys that two threads save. Whoever is inside a fence saves, so the fence comes first.
        with fenced(self.folder), self._saving:
            with self._turn:
                waiting = list(self._unsaved)
            if not waiting:
                return
            self._saved = put_behind(self.folder, self._saved, pl.concat(waiting))
            with self._turn:
                del self._unsaved[: len(waiting)]


def _looked_up(keys: pl.Series, held: pl.DataFrame) -> pl.Series:
    """Index of each key, null where `held` lacks it."""
    asked = keys.alias("key").to_frame()
    return asked.join(held, on="key", how="left", maintain_order="left").get_column("index")


class Asked:
    """Keys whose indices are asked for: parts of them may be looked up in several threads."""

    def __init__(self, store: IdStore, keys: pl.Series) -> None:
        """Ask for `keys`: strings without nulls; repeats are allowed."""
        self.keys = keys.rechunk()
        self._store = store
        self.index = np.full(len(keys), -1, dtype=np.int64)
        """-1 for those not held, and until they are looked up."""
        self.hashes = np.empty(len(keys), dtype=np.uint64)

    def look_up(self, start: int, end: int) -> None:
        """Look up the keys in these places among those that were held at first."""
        part = slice(start, end)
        self.index[part], self.hashes[part] = self._store._in_segments(self.keys[part])

    def codes(self) -> pl.Series:
        """Storage index of each key, once all are looked up; of `IdStore.codes_of`."""
        return self._store.codes_of(self)


class IdStores(dict[str, IdStore]):
    """Id dictionaries by entity type, each loaded once, when a thread first asks for it."""

    def __init__(self, load: Callable[[str], IdStore]) -> None:
        super().__init__()
        self._load = load
        self._turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def __missing__(self, entity_type: str) -> IdStore:
        """Load and keep; another thread that asks meanwhile waits."""
        with self._turns[entity_type]:
            if entity_type not in self:
                self[entity_type] = self._load(entity_type)
        return self[entity_type]

    def save(self) -> None:
        """Save the keys that were added to any; another thread may load one meanwhile."""
        for store in list(self.values()):
            store.save()

"""The id dictionary: each entity's key gets a storage index once and keeps it.

Append-only Parquet segments per entity type. Indices follow the order of arrival and mean nothing
beyond storage: results never depend on them.
"""

import os
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from graphguard.schema import IDS
from graphguard.tables.failpoint import failpoint
from graphguard.tables.files import file_digest, read_parquet, sync_folder, write_parquet
from graphguard.tables.lease import fenced
from graphguard.tables.marks import MarkTable

SEGMENTS = "[0-9]*.parquet"
MARK_BITS = 22
"""Of a hash, in a table of what is looked for: four million bytes stay in the caches."""

PIECES_COST = 16
"""How many strings are put in one piece in the time that one is longer sought in several."""


class IdStore:
    """Keys and storage indices of one entity type; loaded whole, saved segment by segment.

    Whoever adds keys saves them before anything that holds their indices is committed; one thread
    may add while another saves.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        segments = sorted(folder.glob(SEGMENTS)) if folder.is_dir() else []
        parts = [read_parquet(path) for path in segments]
        self._frame = (
            pl.concat(parts)
            if parts
            else pl.DataFrame(schema={"key": pl.String, "index": pl.Int64})
        )
        self._num_segments = len(segments)
        last = self._frame.get_column("index").max()
        self._next = 0 if last is None else int(str(last)) + 1
        self._unsaved: list[pl.DataFrame] = []
        self._turn = threading.Lock()
        self._marks: pl.Series | None = None
        self._table: MarkTable | None = None

    def __len__(self) -> int:
        return self._frame.height

    @property
    def end(self) -> int:
        """The next index to be given: all that are held lie below it."""
        return self._next

    @property
    def frame(self) -> pl.DataFrame:
        """Columns `key` and `index`, one row per entity, in order of arrival."""
        return self._frame

    def segments(self) -> list[tuple[str, str]]:
        """Name and SHA-256 of each saved segment: what storage indices of today mean.

        An erasure rewrites segments; a later night appends to them.
        """
        saved = sorted(self.folder.glob(SEGMENTS))
        return [(path.name, file_digest(path)) for path in saved]

    def keys_of(self, indices: pl.Series) -> pl.Series:
        """Key of each storage index, null where none is held; rows must be in order of index."""
        held = self._frame.get_column("index")
        if not held.len():
            return pl.repeat(None, indices.len(), dtype=pl.String, eager=True).alias("key")
        gaps = held.len() != self._next
        place = (held.search_sorted(indices) if gaps else indices).to_numpy()
        inside = place < held.len()
        if not inside.all():
            place = np.where(inside, place, 0)
        found = self._frame[place]
        right = pl.Series(inside) & (found.get_column("index") == indices)
        keys = found.get_column("key")
        return keys if right.all() else keys.set(~right, None)

    def add(self, keys: pl.Series) -> None:
        """Give indices to the keys not yet known, in sorted order; `save` makes them last."""
        self.codes(keys.drop_nulls())

    def codes(self, keys: pl.Series) -> pl.Series:
        """Storage index of each key, after giving one to those not yet known, in sorted order.

        Args:
            keys: Strings without nulls; repeats are allowed.

        Cost: where much is asked, a look into a table for each key; else one pass over all ids a
        call. Keys that are new are sorted.
        """
        keys = keys.rechunk()
        asked = pl.DataFrame({"key": keys, "mark": keys.hash()})
        if self._table is None and asked.height * 2 > self._frame.height:
            held = self._frame.get_column("index").to_numpy()
            self._table = MarkTable(self._hashes().to_numpy(), held)
        # Found by hash, at half the price; where two keys share one, by the keys themselves.
        by_table = self._table is not None
        index, new = self._from_table(asked) if by_table else self._matched(asked, "mark")
        if not self._stand_for(index, new, asked.get_column("key")):
            self._table, by_table = None, False
            index, new = self._matched(asked, "key")
        if new.height:
            self._next += new.height
            # They take less time to make anew than to keep; from the table on few ask for them.
            self._marks = None if by_table else pl.concat([self._hashes(), new.get_column("mark")])
            new = new.select("key", "index")
            with self._turn:
                self._unsaved.append(new)
                self._frame = pl.concat([self._frame, new])
        return index

    def _from_table(self, asked: pl.DataFrame) -> tuple[pl.Series, pl.DataFrame]:
        """As `_matched` by mark, from the table, which takes up the new ones."""
        table = self._table
        if table is None:
            raise ValueError
        before = len(table)
        rows = table.rows(asked.get_column("mark").to_numpy())
        place = np.flatnonzero(rows >= before)
        first = np.empty(len(table) - before, dtype=np.int64)
        # Written backwards: of equal keys the first is left.
        first[rows[place[::-1]] - before] = place[::-1]
        new = asked[first]
        order = new.get_column("key").arg_sort().to_numpy()
        indices = np.empty(len(order), dtype=np.int64)
        indices[order] = np.arange(self._next, self._next + len(order))
        table.name(before, indices)
        new = new.with_columns(pl.Series("index", indices))[order]
        return pl.Series("index", table.values(rows)), new

    def find(self, keys: pl.Series) -> pl.Series:
        """Storage index of each key, null for one that is not known, and for null.

        Cost: a hash of all ids; what is joined are those that may be among `keys`.
        """
        there = keys.is_not_null()
        if not there.all():
            nothing = pl.repeat(None, len(keys), dtype=pl.Int64, eager=True).alias("index")
            return nothing.scatter(there.arg_true(), self.find(keys.filter(there)))
        asked = pl.DataFrame({"key": keys, "mark": keys.hash()})
        index = _looked_up(asked, self._near(asked), "mark")
        if len(index) == len(keys):
            known = index.is_not_null()
            if self.keys_of(index.filter(known)).eq_missing(keys.filter(known)).all():
                return index
        return _looked_up(asked, self._frame, "key")

    def _matched(self, asked: pl.DataFrame, by: str) -> tuple[pl.Series, pl.DataFrame]:
        """Index of each asked row, joined by `mark` or `key`; and the rows to add for that."""
        held = self._near(asked) if by == "mark" else self._frame
        index = _looked_up(asked, held, by)
        if len(index) != asked.height:
            return index, asked.clear().with_columns(index=pl.lit(0, dtype=pl.Int64))
        unknown = index.is_null()
        strange = asked.filter(unknown)
        new = strange.unique(by, keep="any").sort("key")
        indices = pl.int_range(self._next, self._next + new.height, dtype=pl.Int64, eager=True)
        new = new.with_columns(indices.alias("index"))
        given = _looked_up(strange, new, by)
        if strange.height == asked.height:
            return given, new
        return index.scatter(unknown.arg_true(), given), new

    def _near(self, asked: pl.DataFrame) -> pl.DataFrame:
        """Rows that may be asked for, with their marks: a bit stands for marks that begin alike.

        A join first makes a table of all that is held, which takes longer than to look at it.
        """
        held = self._frame.with_columns(self._hashes())
        if asked.height * 2 > held.height:
            return held
        wanted = np.zeros(1 << MARK_BITS, dtype=np.bool_)
        shift = np.uint64(64 - MARK_BITS)
        wanted[asked.get_column("mark").to_numpy() >> shift] = True
        return held.filter(pl.Series(wanted[held.get_column("mark").to_numpy() >> shift]))

    def _hashes(self) -> pl.Series:
        """Hash of each key, made when it is first asked for; whoever only reads needs none."""
        if self._marks is None:
            self._marks = self._frame.get_column("key").hash().alias("mark")
        return self._marks

    def _stand_for(self, index: pl.Series, new: pl.DataFrame, keys: pl.Series) -> bool:
        """Whether each index is that of its key."""
        if len(index) != len(keys):
            return False
        if self._frame.height == self._next:
            every = pl.concat([self._frame.get_column("key"), new.get_column("key")])
            if len(every) < PIECES_COST * len(keys):
                every = every.rechunk()
            return bool(every.gather(index).eq_missing(keys).all())
        fresh = (index >= self._next).to_numpy()
        names = new.get_column("key")
        if fresh.all():
            return bool(names.gather(index - self._next).eq_missing(keys).all())
        if not fresh.any():
            return bool(self.keys_of(index).eq_missing(keys).all())
        old = pl.Series(~fresh)
        return self._stand_for(index.filter(old), new, keys.filter(old)) and self._stand_for(
            index.filter(~old), new, keys.filter(~old)
        )

    def encode(self, frame: pl.DataFrame, column: str) -> pl.DataFrame:
        """Replace the strings in `column` by storage indices; unknown keys become null."""
        return frame.with_columns(self.find(frame.get_column(column)).alias(column))

    def decode(self, frame: pl.DataFrame, column: str, into: str) -> pl.DataFrame:
        """Add the keys of the storage indices in `column` as the string column `into`."""
        names = self._frame.rename({"index": column, "key": into})
        return frame.join(names, on=column, how="left", maintain_order="left")

    def save(self) -> None:
        """Save the keys added since the last time, durably, as one segment."""
        with self._turn:
            waiting = list(self._unsaved)
        if not waiting:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        # Indices given out by a holder that was replaced would name other keys.
        with fenced(self.folder):
            self._save(pl.concat(waiting))
        with self._turn:
            del self._unsaved[: len(waiting)]

    def _save(self, new: pl.DataFrame) -> None:
        final = self.folder / f"{self._num_segments:08d}.parquet"
        aside = self.folder / f".tmp-{final.name}"
        write_parquet(aside, new, IDS)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        failpoint("rename:ids")
        os.replace(aside, final)
        sync_folder(self.folder)
        self._num_segments += 1


def _looked_up(asked: pl.DataFrame, held: pl.DataFrame, by: str) -> pl.Series:
    """Index of each asked row, null where `held` lacks it."""
    if not held.height:
        return pl.repeat(None, asked.height, dtype=pl.Int64, eager=True).alias("index")
    pairs = held.select(by, "index")
    found = asked.select(by).join(pairs, on=by, how="left", maintain_order="left")
    return found.get_column("index")


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

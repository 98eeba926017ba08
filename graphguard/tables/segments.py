"""Segments of an id dictionary: keys by storage index, and their marks in order, in mapped files.

```
ids/<type>/<first index>-<end>.arrow     one record batch of ID_SEGMENTS
```
A mark is the beginning of a key's 64-bit hash with the key's row behind it. Marks are in order, and
`start` says where those that begin alike do, so that a key is met after a look or two; every row
found is held against its key. The cost is that of the keys asked for, whatever the dictionary
holds. A save takes up the segments before it that are no larger, so a dictionary has at most as
many as its size has doublings. Why: docs/decisions/0036-a-night-asks-for-what-it-brings.md.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from graphguard.errors import ArtefactInvalid
from graphguard.tables.failpoint import failpoint
from graphguard.tables.files import file_digest, read_parquet
from graphguard.tables.key_marks import (
    Marks,
    Rows,
    Starts,
    hash_name,
    marks_of,
    row_bits_of,
    start_bits,
    starts_of,
)
from graphguard.tables.segment_files import (
    Batches,
    columns_of,
    keys_digest,
    stored,
    write_segment,
)

OLDER = "[0-9]*.parquet"
"""Segments of an older program: columns `key` and `index`."""
MOST_ROWS = 2**31 - 1
"""Of one segment: places are stored as 32 bits."""
FEW_ROUNDS = 8
"""So many keys of one mark are looked at one by one; of more, all keys are joined."""
TRIES = 5
"""How often a folder is listed again in which another process puts segments together."""
TOGETHER = 1 << 15
"""Keys looked up together: what is made on the way fits the caches."""


@dataclass(frozen=True)
class Segment:
    """Keys of consecutive storage indices.

    Attributes:
        path: Its file.
        start: The first index.
        keys: By index from `start`; null where one was erased.
        marks: In rising order: hash and row of each key. Those without a key are `NO_MARK`, last.
        starts: Where the marks that begin with each of some bits start.
        batches: The saves that it holds.
    """

    path: Path
    start: int
    keys: pl.Series
    marks: Marks
    starts: Starts
    batches: Batches

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def end(self) -> int:
        """The index after the last."""
        return self.start + len(self.keys)

    @property
    def mapped(self) -> bool:
        """Whether it is a file as this program writes them."""
        return self.path.suffix == ".arrow"

    def frame(self) -> pl.DataFrame:
        """Columns `key` and `index`."""
        index = pl.int_range(self.start, self.end, dtype=pl.Int64, eager=True)
        return pl.DataFrame([self.keys, index.alias("index")])

    def find(self, wanted: pl.Series, hashes: Marks) -> Rows:
        """Storage index of each key, -1 where it is not held.

        Args:
            wanted: Keys, none null.
            hashes: Theirs.

        Cost: O(asked), some 80 nanoseconds a key; a key of a mark that others have as well costs as
        much again for each.
        """
        found = np.empty(len(wanted), dtype=np.int64)
        for start in range(0, len(wanted), TOGETHER):
            part = hashes[start : start + TOGETHER]
            found[start : start + TOGETHER] = self._rows(part, self._places(part))
        near = np.flatnonzero(found >= 0)
        every = len(near) == len(wanted)
        asked = wanted if every else wanted[near]
        right = (self.keys[found if every else found[near]] == asked).to_numpy()
        if not right.all():
            # Of one beginning, but another key.
            self._look_on(wanted, hashes, near[~right], found)
        found[found >= 0] += self.start
        return found

    def _places(self, hashes: Marks) -> Rows:
        """Where the first mark lies that begins no lower than each hash."""
        bits = start_bits(len(self))
        if not bits:
            return np.zeros(len(hashes), dtype=np.int64)
        begins = hashes & ~row_bits_of(len(self))
        at = self.starts.take((begins >> np.uint64(64 - bits)).view(np.int64)).astype(np.int64)
        left = np.flatnonzero(self.marks.take(at, mode="clip") < begins)
        while left.size:
            at[left] += 1
            left = left[at[left] < len(self)]
            left = left[self.marks.take(at[left]) < begins[left]]
        return at

    def _rows(self, hashes: Marks, at: Rows) -> Rows:
        """Row of the mark in each place, -1 where it is none or begins otherwise than the hash."""
        below = row_bits_of(len(self))
        # A place behind the last is told by its hash, which is higher than the last mark.
        marks = self.marks.take(at, mode="clip")
        rows = (marks & below).view(np.int64)
        other = ((marks ^ hashes) > below) | (rows >= len(self))
        rows[other] = -1
        return rows

    def _look_on(self, wanted: pl.Series, hashes: Marks, left: Rows, found: Rows) -> None:
        """Find the rows of keys whose first mark is another's: it may be one of the next."""
        at = self._places(hashes[left])
        found[left] = -1
        for _ in range(FEW_ROUNDS):
            at += 1
            rows = self._rows(hashes[left], at)
            # Marks that begin alike lie together.
            going = (rows >= 0) & (at < len(self))
            left, at, rows = left[going], at[going], rows[going]
            if not left.size:
                return
            right = (self.keys.gather(rows) == wanted.gather(left)).to_numpy()
            found[left[right]] = rows[right]
            left, at = left[~right], at[~right]
        asked = pl.DataFrame({"key": wanted.gather(left), "at": left})
        pairs = self.frame().join(asked, on="key")
        found[pairs.get_column("at").to_numpy()] = pairs.get_column("index").to_numpy() - self.start


def open_segments(folder: Path) -> list[Segment]:
    """Map the segments of a dictionary, in order of index.

    Raises:
        ArtefactInvalid: One is damaged, or missing.
    """
    for left in reversed(range(TRIES)):
        try:
            return _opened(folder)
        except FileNotFoundError as error:
            # Put together with others since the folder was listed.
            if not left:
                raise ArtefactInvalid(error.filename or folder, "is missing") from error
    return []


def _opened(folder: Path) -> list[Segment]:
    found: list[Segment] = []
    for start, end, path in _cover(folder)[0]:
        reached = found[-1].end if found else 0
        if start != reached:
            raise ArtefactInvalid(path, f"follows on index {reached}, of which there is no segment")
        found.append(_read(path, start, end))
    return found or _older(folder)


def _cover(folder: Path) -> tuple[list[tuple[int, int, Path]], list[Path]]:
    """Start, end and path of the files that count; and those whose keys one of them holds too."""
    every = []
    for path in folder.glob("[0-9]*-[0-9]*.arrow") if folder.is_dir() else ():
        start, end = map(int, path.stem.split("-"))
        every.append((start, -end, path))
    kept: list[tuple[int, int, Path]] = []
    left: list[Path] = []
    # Of those that begin together the longest comes first.
    for start, least, path in sorted(every):
        if kept and -least <= kept[-1][1]:
            left.append(path)
        else:
            kept.append((start, -least, path))
    if kept:
        left += folder.glob(OLDER)
    return kept, left


def _older(folder: Path) -> list[Segment]:
    """What an older program saved, as one segment; the next save takes it up."""
    paths = sorted(folder.glob(OLDER)) if folder.is_dir() else []
    if not paths:
        return []
    parts = [read_parquet(path) for path in paths]
    ends = [int(str(part.get_column("index").max())) + 1 for part in parts]
    every = pl.concat(parts)
    if every.height != ends[-1]:
        indices = pl.int_range(0, ends[-1], dtype=pl.Int64, eager=True).alias("index")
        every = indices.to_frame().join(every, on="index", how="left", maintain_order="left")
    keys = every.get_column("key")
    batches = [(str(end), file_digest(path)) for end, path in zip(ends, paths, strict=True)]
    marks = marks_of(keys)
    return [Segment(paths[-1], 0, keys, marks, starts_of(marks), batches)]


def _read(path: Path, start: int, end: int, *, check: bool = True) -> Segment:
    batch, notes = stored(path, check=check)
    if batch.num_rows != end - start:
        reason = f"holds {batch.num_rows} keys, and its name says {end - start}"
        raise ArtefactInvalid(path, reason)
    keys, marks, starts = columns_of(batch)
    batches = [(place, digest) for place, digest in notes["batches"]]
    if notes["hash"] != hash_name():
        # Written with another Polars: good keys, but nobody is found by these marks.
        marks = marks_of(keys)
        starts = starts_of(marks)
    return Segment(path, start, keys, marks, starts, batches)


def forget(folder: Path, keys: pl.Series) -> None:
    """Take keys out of a dictionary, and their marks; their indices stay taken, with no key."""
    for segment in open_segments(folder):
        held = segment.keys
        gone = held.is_in(keys.implode()).fill_null(value=False)
        if not gone.any():
            continue
        left = held.set(gone, None)
        rows = np.flatnonzero(gone.to_numpy()) + segment.start
        batches, start = [], segment.start
        for place, digest in segment.batches:
            if ((rows >= start) & (rows < int(place))).any():
                own = left.slice(start - segment.start, int(place) - start)
                batches.append((place, keys_digest(own)))
            else:
                batches.append((place, digest))
            start = int(place)
        write_segment(folder, segment.start, left, batches)
        failpoint("erase:forgotten")
    drop_left(folder)


def put_behind(folder: Path, held: Sequence[Segment], new: pl.Series) -> list[Segment]:
    """Save new keys behind the segments of a dictionary.

    Segments that are no larger than what comes behind them become one with it, and so do those of
    an older program.

    Returns:
        The segments that there are now.
    """
    start = held[-1].end if held else 0
    keep, parts = len(held), [new]
    batches: Batches = []
    taken = len(new)
    while keep and (len(held[keep - 1]) <= taken or not held[keep - 1].mapped):
        if len(held[keep - 1]) + taken > MOST_ROWS:
            break
        keep -= 1
        taken += len(held[keep])
        parts.append(held[keep].keys)
        batches = [*held[keep].batches, *batches]
    end = start + len(new)
    batches.append((str(end), keys_digest(new)))
    every = pl.concat(parts[::-1])
    path = write_segment(folder, end - taken, every, batches)
    failpoint("saved:ids")
    drop_left(folder)
    return [*held[:keep], _read(path, end - taken, end, check=False)]


def drop_left(folder: Path) -> None:
    """Remove files whose keys another holds as well: those a save has put together."""
    for path in _cover(folder)[1]:
        # Where a file that is mapped cannot be removed it goes with the next save.
        with suppress(PermissionError):
            path.unlink(missing_ok=True)

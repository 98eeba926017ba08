"""Meetings: two users act on one object at most a window apart; held as places of the two acts.

Acts are put in order of object, time and user; a binary search gives each act's partners, so no
pair outside the window is ever made. Eight bytes are kept of a meeting, whatever is asked of it
later. Closed windows as in CooRTweet.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.graph.ranges import ranges

Ints = NDArray[np.int64]
Places = NDArray[np.int32] | NDArray[np.int64]
PAIRS_AT_ONCE = 2_000_000
ACTS_AT_ONCE = 4_000_000
TOUCHED = ("user_a", "user_b", "object", "gap_us", "lead_us", "first_us")
ODD = np.int64(0x1E3779B97F4A7C15)
"""Spreads the users' number over all bits (a product with an odd number is one to one)."""
FAR = 2**62
"""One number for object and time must stay below this."""


@dataclass(frozen=True)
class Acts:
    """Events of one trace, shape [num_events] each, any order.

    Attributes:
        user: Dense index of the user, below 2**31.
        object: Index of the object, below 2**31.
        time_us: Microseconds since 1970 UTC.
    """

    user: NDArray[Any]
    object: NDArray[Any]
    time_us: NDArray[Any]

    def __len__(self) -> int:
        return len(self.user)

    def __getitem__(self, places: Any) -> "Acts":
        return Acts(self.user[places], self.object[places], self.time_us[places])

    def ordered(self) -> "Acts":
        """The same acts by object, time and user; these themselves where they lie so."""
        order = _order(self)
        return self if order is None else self[order]

    @cached_property
    def object_starts(self) -> Ints:
        """Where each object begins, of acts in order, and at last their number."""
        new = np.flatnonzero(self.object[1:] != self.object[:-1]) + 1
        head = [0] if len(self) else []
        return np.concatenate([head, new, [len(self)]]).astype(np.int64)

    @cached_property
    def first_touches(self) -> "Acts":
        """Each user and object once, at the first act; by user and object."""
        return self._touches[0]

    @cached_property
    def returns(self) -> "Acts":
        """All acts of users on objects on which they acted more than once; by user and object."""
        return self._touches[1]

    @cached_property
    def _touches(self) -> tuple["Acts", "Acts"]:
        key = self.user.astype(np.int64) << 32 | self.object.astype(np.int64)
        order = np.argsort(key)
        key = key[order]
        new = np.ones(len(key), dtype=np.bool_)
        np.not_equal(key[1:], key[:-1], out=new[1:])
        time_us = self.time_us[order]
        once = new.copy()
        once[:-1] &= new[1:]
        returns = self[order[~once]]
        del order, once
        starts = np.flatnonzero(new)
        first = np.minimum.reduceat(time_us, starts) if len(key) else time_us
        key = key[new]
        user, thing = key >> 32, key & (2**32 - 1)
        touches = Acts(user.astype(self.user.dtype), thing.astype(self.object.dtype), first)
        return touches, returns

    def user_on_object(self) -> Ints:
        """User and object of acts in order, in one number that says nothing else."""
        starts = self.object_starts
        place = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        return place << 32 | self.user.astype(np.int64)


def place_type(acts: Acts) -> type[np.signedinteger[Any]]:
    """The smaller integer that can name every act."""
    return np.int32 if len(acts) < 2**31 else np.int64


@dataclass(frozen=True)
class Meetings:
    """One for each object on which two users met: their two acts nearest in time.

    Of equally near ones the earliest counts.

    Attributes:
        acts: Acts in order.
        one: Place of the earlier act, shape [num_meetings]; of two at one time the lower user's.
        other: Place of the later act.
    """

    acts: Acts
    one: Places
    other: Places

    def __len__(self) -> int:
        return len(self.one)

    def __getitem__(self, places: Any) -> "Meetings":
        return Meetings(self.acts, self.one[places], self.other[places])

    def put(self, start: int, others: "Meetings") -> int:
        """Write other meetings of the same acts from a place on; returns where they end."""
        end = start + len(others)
        self.one[start:end], self.other[start:end] = others.one, others.other
        return end

    def blocks(self, size: int = PAIRS_AT_ONCE) -> Iterator[slice]:
        """The meetings in parts, so that what is made of them needs little memory."""
        for start in range(0, len(self), size):
            yield slice(start, min(start + size, len(self)))

    def keys(self, part: Any = slice(None)) -> Ints:
        """Both users in one number, the lower one in the upper bits."""
        one, other = self.acts.user[self.one[part]], self.acts.user[self.other[part]]
        low, high = np.minimum(one, other), np.maximum(one, other)
        keys: Ints = low.astype(np.int64) << 32 | high.astype(np.int64)
        return keys

    def gap_us(self, part: Any = slice(None)) -> Ints:
        """Time between the two acts."""
        times = self.acts.time_us
        gap: Ints = (times[self.other[part]] - times[self.one[part]]).astype(np.int64)
        return gap

    def touches(self, part: Any = slice(None)) -> pl.DataFrame:
        """As a table: `user_a` < `user_b`, `object`, `gap_us`, `lead_us`, `first_us`.

        `lead_us` is b's time less a's; `first_us` the time of the earlier act.
        """
        one, other = self.one[part], self.other[part]
        user = self.acts.user
        gap, swapped = self.gap_us(part), user[one] > user[other]
        columns = {
            "user_a": np.where(swapped, user[other], user[one]),
            "user_b": np.where(swapped, user[one], user[other]),
            "object": self.acts.object[one],
            "gap_us": gap,
            "lead_us": np.where(swapped, -gap, gap),
            "first_us": self.acts.time_us[one],
        }
        return pl.DataFrame({name: columns[name].astype(np.int64) for name in TOUCHED})


@dataclass(frozen=True)
class Partners:
    """Whom each of some acts, in order, may meet; shape [num_acts] each.

    Attributes:
        number: Acts that follow it on its object within the window.
        again: Whether its user has another act on the object.
    """

    number: Places
    again: NDArray[np.bool_]

    def __getitem__(self, acts: Any) -> "Partners":
        """Of whole objects."""
        return Partners(self.number[acts], self.again[acts])

    @classmethod
    def of(cls, acts: Acts, window_us: int) -> "Partners":
        """Partners of acts in order.

        Args:
            acts: Acts in order.
            window_us: Largest gap, inclusive.

        Cost: O(N log N).
        """
        number = np.zeros(len(acts), dtype=place_type(acts))
        again = np.zeros(len(acts), dtype=np.bool_)
        for stretch in stretches(acts, window_us):
            here = acts[stretch]
            number[stretch] = partner_ends(here, window_us) - np.arange(1, len(here) + 1)
            again[stretch] = repeated(here.user_on_object())
        return cls(number, again)

    def pairs(self, kept: NDArray[np.bool_]) -> int:
        """Pairs of an act and a partner that both are kept."""
        if kept.all():
            return int(self.number.sum())
        before = np.concatenate([[0], np.cumsum(kept)])
        place = np.flatnonzero(kept)
        return int((before[place + self.number[place] + 1] - before[place] - 1).sum())


def meet(acts: Acts, window_us: int, partners: Partners | None = None) -> Meetings:
    """Find all meetings within a window.

    Args:
        acts: Acts in order.
        window_us: Largest gap, inclusive.
        partners: Of these acts; made here where None.

    Cost: O(N log N + pairs of acts within the window); memory eight bytes a meeting, and a block.
    """
    if partners is None:
        partners = Partners.of(acts, window_us)
    kind = place_type(acts)
    # Pages that are never filled are never taken, so room for all costs nothing.
    room = int(partners.number.sum())
    every = Meetings(acts, np.empty(room, dtype=kind), np.empty(room, dtype=kind))
    filled = 0
    for stretch in stretches(acts, window_us):
        number = partners.number[stretch]
        places = np.arange(stretch.start, stretch.stop, dtype=kind)
        several: list[Meetings] = []
        for block in blocks_of(number, PAIRS_AT_ONCE):
            one, after = places[block], places[block] + kind(1)
            partner = ranges(after, after + number[block])
            met = Meetings(acts, np.repeat(one, number[block]), partner)
            once, more = single_meetings(met, partners.again)
            filled = every.put(filled, once)
            several.append(more)
        filled = every.put(filled, nearest_meetings(joined(acts, several)))
    return every[:filled]


def joined(acts: Acts, parts: Sequence[Meetings]) -> Meetings:
    """All meetings of the parts, as meetings of `acts`."""
    none = np.zeros(0, dtype=place_type(acts))
    return Meetings(
        acts,
        np.concatenate([none, *(part.one for part in parts)]),
        np.concatenate([none, *(part.other for part in parts)]),
    )


def blocks_of(counts: Places, size: int) -> Iterator[slice]:
    """Rows in order, together as long as their counts add up to no more than `size`; one at least.

    >>> list(blocks_of(np.array([2, 2, 9, 1]), 4))
    [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None)]
    """
    running = np.cumsum(counts)
    start = 0
    while start < len(counts):
        done = int(running[start - 1]) if start else 0
        fits = int(np.searchsorted(running, done + size, side="right"))
        yield slice(start, max(fits, start + 1))
        start = max(fits, start + 1)


def single_meetings(every: Meetings, again: NDArray[np.bool_]) -> tuple[Meetings, Meetings]:
    """Meetings that are the only one of two users on an object, and those that may not be.

    Nobody meets himself: such are in neither.

    Args:
        every: Pairs of acts.
        again: Whether an act's user has another act on the object, shape [num_acts].
    """
    more = again[every.one] | again[every.other]
    if not more.any():
        return every, every[:0]
    several, user = every[more], every.acts.user
    return every[~more], several[user[several.one] != user[several.other]]


def nearest_meetings(every: Meetings) -> Meetings:
    """Of two users' meetings on an object the one that counts."""
    # Most are the only one after all. Two that get one mark by accident are told apart below.
    marks = every.keys() * ODD + every.acts.object[every.one]
    several = repeated(marks)
    places = np.flatnonzero(several)
    rows = every.touches(places).with_columns(pl.Series("place", places))
    nearest = rows.sort("user_a", "user_b", "object", "gap_us", "first_us", "lead_us").unique(
        ["user_a", "user_b", "object"], keep="first", maintain_order=True
    )
    counted = np.concatenate([np.flatnonzero(~several), nearest.get_column("place").to_numpy()])
    return every[counted]


def stretches(acts: Acts, window_us: int) -> Iterator[slice]:
    """Whole objects of acts in order, as many as one number can tell apart by object and time."""
    starts = acts.object_starts
    if not len(acts):
        return
    span = int(acts.time_us.max()) - int(acts.time_us.min()) + window_us + 2
    most = max(FAR // span, 1)
    begin = 0
    while begin < len(starts) - 1:
        fits = int(np.searchsorted(starts, starts[begin] + ACTS_AT_ONCE, side="right")) - 1
        end = min(max(fits, begin + 1), begin + most)
        yield slice(int(starts[begin]), int(starts[end]))
        begin = end


def partner_ends(acts: Acts, window_us: int) -> Ints:
    """End of each act's partners: the first place that is of another object or too late.

    Args:
        acts: One of the `stretches` of acts in order.
        window_us: Largest gap, inclusive.
    """
    low = int(acts.time_us.min())
    span = int(acts.time_us.max()) - low + window_us + 2
    starts = acts.object_starts
    # Objects lie farther apart on this line of time than any window reaches.
    line = np.repeat(np.arange(len(starts) - 1) * span - low, np.diff(starts)) + acts.time_us
    ends: Ints = np.searchsorted(line, line + window_us, side="right")
    return ends


def repeated(keys: Ints) -> NDArray[np.bool_]:
    """Which keys occur twice or more.

    >>> repeated(np.array([5, 3, 5])).tolist()
    [True, False, True]
    """
    order = np.argsort(keys)
    ordered = keys[order]
    same = ordered[1:] == ordered[:-1]
    found = np.zeros(len(keys), dtype=np.bool_)
    found[order[1:][same]] = True
    found[order[:-1][same]] = True
    return found


def _order(acts: Acts) -> Ints | None:
    """Places by object, time and user: sorted by one coarse number, then where that is equal.

    None where they lie so.
    """
    if not len(acts):
        return None
    low, high = int(acts.time_us.min()), int(acts.time_us.max())
    bits = 62 - int(acts.object.max()).bit_length()
    coarse = max((high - low).bit_length() - bits, 0)
    line = acts.object.astype(np.int64) << bits
    line += (acts.time_us - low) >> coarse
    if _in_order(acts, line):
        return None
    order = np.argsort(line)
    line = line[order]
    same = line[1:] == line[:-1]
    if same.any():
        tied = np.flatnonzero(np.r_[False, same] | np.r_[same, False])
        found = order[tied]
        exact = np.lexsort((acts.user[found], acts.time_us[found], line[tied]))
        order[tied] = found[exact]
    return order


def _in_order(acts: Acts, line: Ints) -> bool:
    """Whether acts lie by their coarse number, and where that is equal by time and user."""
    before = np.flatnonzero(line[1:] <= line[:-1])
    after = before + 1
    if (line[after] < line[before]).any():
        return False
    early, late = acts.time_us[before], acts.time_us[after]
    by_user = (early == late) & (acts.user[before] <= acts.user[after])
    return bool(((early < late) | by_user).all())

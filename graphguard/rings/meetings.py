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

from graphguard.graph.order import ODD, order_by, order_of, repeated
from graphguard.graph.ranges import ranges
from graphguard.rings.act_order import in_order, order_of_acts

Ints = NDArray[np.int64]
Places = NDArray[np.int32] | NDArray[np.int64]
PAIRS_AT_ONCE = 1 << 18
"""What is made of so many meetings lies in a processor's cache."""
ACTS_AT_ONCE = 4_000_000
SEVERAL_AT_ONCE = 4_000_000
TOUCHED = ("user_a", "user_b", "object", "gap_us", "lead_us", "first_us")
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
        columns = self.object, self.time_us, self.user
        return self if in_order(*columns) else self[order_of_acts(*columns)]

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
        order = self._by_user()
        user, thing = self.user[order], self.object[order]
        new = np.ones(len(order), dtype=np.bool_)
        new[1:] = (user[1:] != user[:-1]) | (thing[1:] != thing[:-1])
        once = new.copy()
        once[:-1] &= new[1:]
        returns = self[order[~once]]
        time_us, starts = self.time_us[order], np.flatnonzero(new)
        first = np.minimum.reduceat(time_us, starts) if len(starts) else time_us
        touches = Acts(user[starts], thing[starts], first)
        return touches, returns

    def _by_user(self) -> Ints:
        """Places by user and object."""
        if (self.object[1:] >= self.object[:-1]).all():
            return order_of(self.user)
        return order_by(self.user, self.object)

    def repeats(self) -> tuple[Ints, Ints]:
        """Of acts in order: places of a user's acts on an object, the one and the next."""
        order = order_of(self.user)
        user, thing = self.user[order], self.object[order]
        same = np.flatnonzero((user[1:] == user[:-1]) & (thing[1:] == thing[:-1]))
        return order[same], order[same + 1]


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

    def first_us(self, part: Any = slice(None)) -> Ints:
        """Time of the earlier act."""
        first: Ints = self.acts.time_us[self.one[part]].astype(np.int64)
        return first

    def lead_us(self, part: Any = slice(None)) -> Ints:
        """Time of the act of the user of the larger index less that of the other's."""
        user, gap = self.acts.user, self.gap_us(part)
        return np.where(user[self.one[part]] > user[self.other[part]], -gap, gap)

    def touches(self, part: Any = slice(None)) -> pl.DataFrame:
        """As a table: `user_a` < `user_b`, `object`, `gap_us`, `lead_us`, `first_us`."""
        one, other = (self.acts.user[place[part]] for place in (self.one, self.other))
        columns = {
            "user_a": np.minimum(one, other),
            "user_b": np.maximum(one, other),
            "object": self.acts.object[self.one[part]],
            "gap_us": self.gap_us(part),
            "lead_us": self.lead_us(part),
            "first_us": self.first_us(part),
        }
        return pl.DataFrame({name: columns[name].astype(np.int64) for name in TOUCHED})


@dataclass(frozen=True)
class Partners:
    """Whom each of some acts, in order, may meet; shape [num_acts] each.

    Attributes:
        number: Acts that follow it on its object within the window.
        again: Whether its user has another act on the object, where both are near to others.
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
            mine = partner_ends(here, window_us) - np.arange(1, len(here) + 1)
            number[stretch] = mine
            # Who is near to nobody meets nobody.
            near = mine > 0
            near[1:] |= mine[:-1] > 0
            place = np.flatnonzero(near)
            for each in here[place].repeats():
                again[stretch.start + place[each]] = True
        return cls(number, again)

    def pairs(self, kept: NDArray[np.bool_]) -> int:
        """Pairs of an act and a partner that both are kept."""
        if kept.all():
            return int(self.number.sum())
        before = np.zeros(len(kept) + 1, dtype=np.int64)
        np.cumsum(kept, out=before[1:])
        place = np.flatnonzero(kept & (self.number > 0))
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
    for part in meetings_in_parts(acts, window_us, partners):
        filled = every.put(filled, part)
    return every[:filled]


def meetings_in_parts(acts: Acts, window_us: int, partners: Partners) -> Iterator[Meetings]:
    """All meetings within a window, some at a time; arguments as of `meet`.

    Cost: as of `meet`; memory a block, and the acts of who meets on an object again and again.
    """
    kind = place_type(acts)
    for stretch in stretches(acts, window_us):
        number = partners.number[stretch]
        place = np.flatnonzero(number)
        number = number[place]
        place = (place + stretch.start).astype(kind)
        several, held, most = [Meetings(acts, place[:0], place[:0])], 0, SEVERAL_AT_ONCE
        for block in blocks_of(number, PAIRS_AT_ONCE):
            one, after = place[block], place[block] + kind(1)
            partner = ranges(after, after + number[block])
            met = Meetings(acts, np.repeat(one, number[block]), partner)
            if not partners.again[one[0] : partner[-1] + 1].any():
                yield met
                continue
            once, more = single_meetings(met, partners.again)
            yield once
            several.append(more)
            held += len(more)
            if held > most:
                # The last object may go on.
                whole = joined(acts, several)
                end = int(np.searchsorted(acts.object[whole.one], acts.object[one[-1]]))
                yield nearest_meetings(whole[:end])
                several, held = [whole[end:]], len(whole) - end
                most = max(2 * held, SEVERAL_AT_ONCE)
        yield nearest_meetings(joined(acts, several))


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
    if not len(every):
        return every
    rows, group = _several(every.keys(), every.acts.object[every.one])
    kept = np.ones(len(every), dtype=np.bool_)
    kept[rows] = False
    for value in (every.gap_us, every.first_us, every.lead_us):
        new = np.diff(group, prepend=-1) > 0
        starts = np.flatnonzero(new)
        if len(starts):
            mine = value(rows)
            least = np.minimum.reduceat(mine, starts)
            nearest = mine == np.repeat(least, np.diff(starts, append=len(rows)))
            rows, group = rows[nearest], group[nearest]
    kept[rows[np.diff(group, prepend=-1) > 0]] = True
    return every[kept]


def _several(keys: Ints, thing: NDArray[Any]) -> tuple[Ints, Ints]:
    """Places of keys and things that are there twice or more, and the number of each."""
    marks = keys * ODD + thing
    rows = np.flatnonzero(repeated(marks))
    marks = marks[rows]
    order = np.argsort(marks)
    rows, marks = rows[order], marks[order]
    keys, thing = keys[rows], thing[rows]
    other = (keys[1:] != keys[:-1]) | (thing[1:] != thing[:-1])
    if (other & (marks[1:] == marks[:-1])).any():
        # Two got one mark by accident.
        order = np.lexsort((thing, keys))
        rows, keys, thing = rows[order], keys[order], thing[order]
        other = (keys[1:] != keys[:-1]) | (thing[1:] != thing[:-1])
    group = np.zeros(len(rows), dtype=np.int64)
    np.cumsum(other, out=group[1:])
    return rows, group


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
    ends = np.arange(1, len(line) + 1)
    near = np.flatnonzero(line[1:] - line[:-1] <= window_us)
    ends[near] = np.searchsorted(line, line[near] + window_us, side="right")
    return ends

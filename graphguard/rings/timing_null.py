"""The timing null: how often do two touches of one object fall within a window?

Rates are pooled over the objects of a trace by the classes of both touches (`rings/timing.py` tests
pairs against them).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphguard.rings.coaction import CalmMeetings, Coactions, ObjectPairs
from graphguard.rings.meetings import ACTS_AT_ONCE, Acts, stretches
from graphguard.rings.timing_rate import (
    AGE_EDGES_S,
    NUM_AGES,
    NUM_SIZES,
    Aged,
    Lone,
    Met,
    pooled_rate,
    prior_rate,
)

Floats = NDArray[np.float64]
NEVER_US = 2**62
RETURNS = 4
"""Acts of a user on an object and in a class that count: who comes back all day meets everybody
once, and would say of single acts that they hardly ever meet."""


@dataclass(frozen=True)
class ClassTouches:
    """Each user, object and class of touches once, by user and object; shape [num_touches] each.

    Attributes:
        key: User and object, in the upper and lower 32 bits.
        classes: Class of the touch.
        acts: Acts of the user on the object that were of the class, at different times.
    """

    key: NDArray[np.int64]
    classes: NDArray[np.int8]
    acts: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.key)

    def replaced(self, other: "ClassTouches") -> "ClassTouches":
        """With the touches of `other` instead of those by the same users on the same objects.

        All of these users and objects are here, each once.
        """
        kept = np.ones(len(self), dtype=np.bool_)
        kept[np.searchsorted(self.key, other.key)] = False
        both = [
            np.concatenate([getattr(self, name)[kept], getattr(other, name)])
            for name in ("key", "classes", "acts")
        ]
        order = np.argsort(both[0], kind="stable")
        key, classes, acts = (each[order] for each in both)
        return ClassTouches(key, classes, acts)


@dataclass(frozen=True)
class TimingNull:
    """How often two touches of an object fall within each window, given the class of each touch.

    An object's first hours are crowded, so two fans that are both there within minutes are often
    seconds apart by chance; two users who meet within a minute on a post of yesterday are not. So
    a touch's class is the object's age. Of an object first seen in a touch of the trace itself
    nobody knows the age: a ring that comes first would be its birth, and meet by necessity. There
    the class is how many users touched it. The rates are pooled over all objects, or a ring would
    be most of its own object and mask itself.

    Attributes:
        rate: Shape [windows, classes, classes], share of pairs of touches in the window; the same
            either way round.
        born_us: First sight of each object, shape [num_objects].
        crowd: Class of each object of unknown birth, -1 for others, shape [num_objects], int8.
    """

    rate: Floats
    born_us: NDArray[np.int64]
    crowd: NDArray[np.int8]

    def touches(self, acts: Acts) -> "ClassTouches":
        """What users did on objects, by the classes of their acts."""
        first, returns = acts.first_touches, acts.returns
        classes = self.classes(first.object, first.time_us).astype(np.int8)
        single = ClassTouches(_keys(first), classes, np.ones(len(first), dtype=np.int32))
        if not len(returns):
            return single
        # Acts at one time are one.
        key, number = _keys(returns), self.classes(returns.object, returns.time_us)
        order = np.lexsort((returns.time_us, key))
        key, number, time_us = key[order], number[order], returns.time_us[order]
        other = np.ones(len(key), dtype=np.bool_)
        other[1:] = (key[1:] != key[:-1]) | (time_us[1:] != time_us[:-1])
        key, number = key[other], number[other]
        # Objects only grow older, so classes come in order.
        new = np.ones(len(key), dtype=np.bool_)
        new[1:] = (key[1:] != key[:-1]) | (number[1:] != number[:-1])
        start = np.flatnonzero(new)
        again = ClassTouches(
            key[start],
            number[start].astype(np.int8),
            np.diff(start, append=len(key)).astype(np.int32),
        )
        return single.replaced(again)

    def classes(self, objects: NDArray[Any], time_us: NDArray[Any]) -> NDArray[np.int64]:
        """Class of touches, below `NUM_AGES` + `NUM_SIZES`."""
        return _touch_classes(self.born_us, self.crowd, objects, time_us)


def _keys(acts: Acts) -> NDArray[np.int64]:
    return acts.user.astype(np.int64) << 32 | acts.object.astype(np.int64)


def _objects(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    return keys & (2**32 - 1)


def _touch_classes(
    born_us: NDArray[np.int64],
    crowd: NDArray[np.int8],
    objects: NDArray[Any],
    time_us: NDArray[Any],
) -> NDArray[np.int64]:
    held = crowd[objects]
    classes: NDArray[np.int64] = NUM_AGES + held.astype(np.int64)
    aged = np.flatnonzero(held < 0)
    # An age below 0 counts as 0.
    age_s = np.maximum((time_us[aged] - born_us[objects[aged]]) / 1e6, 0.0)
    classes[aged] = np.searchsorted(AGE_EDGES_S, age_s, side="right") - 1
    return classes


def timing_null(
    acts: Acts,
    found: Coactions | ObjectPairs | CalmMeetings,
    born_us: NDArray[np.int64],
    windows_us: list[int],
) -> TimingNull:
    """Pool over all objects how often touches of given classes meet within each window.

    Args:
        acts: All events of the trace.
        found: Its meetings within the widest window; bursts are left out on both sides.
        born_us: First sight of each object, shape [num_objects].
        windows_us: The windows.

    Cost: O(events log events + meetings); memory some thirty bytes an object and eight for each
        window, seven a meeting on objects of known birth, and what some millions of events need.
    """
    num = NUM_AGES + NUM_SIZES
    crowd = np.where(born_us >= NEVER_US, 0, -1).astype(np.int8)
    null = TimingNull(np.zeros((len(windows_us), num, num)), born_us, crowd)
    calm = np.ones(len(born_us), dtype=np.bool_)
    calm[found.burst_objects] = False
    aged, lone = _held(acts, null, calm)
    met = _met(found, null, aged.row, windows_us)
    for number, window in enumerate(windows_us):
        null.rate[number] = pooled_rate(aged, lone, met.within(number), prior_rate(window))
    return null


def _held(acts: Acts, null: TimingNull, calm: NDArray[np.bool_]) -> tuple[Aged, Lone]:
    """Acts by object and class; tells `null.crowd` too, object by object."""
    born_us, crowd = null.born_us, null.crowd
    row = np.full(len(calm), -1, dtype=np.int32)
    counts, own = ([np.zeros((0, NUM_AGES), dtype=np.int64)] for _ in range(2))
    lone, lone_own = np.zeros(len(calm)), np.zeros(len(calm))
    rows = 0
    for part, inside in _parts(acts, len(calm)):
        crowd[inside] = _unknown_births(part.first_touches, born_us, inside)
        touches = null.touches(part)
        thing, number = _objects(touches.key) - inside.start, np.minimum(touches.acts, RETURNS)
        unborn = calm[inside] & (crowd[inside] >= 0)
        each = _acts_at(thing, number, len(unborn))
        lone[inside], lone_own[inside] = np.where(unborn, each, 0)
        mine = np.flatnonzero((calm[inside] & ~unborn)[thing])
        held = np.zeros(len(unborn), dtype=np.bool_)
        held[thing[mine]] = True
        new = int(held.sum())
        row[inside][held] = np.arange(rows, rows + new)
        place = (row[inside][thing[mine]] - rows).astype(np.int64) * NUM_AGES
        each = _acts_at(place + touches.classes[mine], number[mine], new * NUM_AGES)
        counts.append(each[0].reshape(-1, NUM_AGES))
        own.append(each[1].reshape(-1, NUM_AGES))
        rows += new
    classes = NUM_AGES + np.maximum(crowd, 0).astype(np.int64)
    return Aged(row, np.concatenate(counts), np.concatenate(own)), Lone(lone, lone_own, classes)


def _parts(acts: Acts, num_objects: int) -> Iterator[tuple[Acts, slice]]:
    """The acts, of whole objects if there are many, and the objects they lie on."""
    if len(acts) <= ACTS_AT_ONCE:
        yield acts, slice(0, num_objects)
        return
    acts = acts.ordered()
    for stretch in stretches(acts, 0):
        part = acts[stretch]
        yield part, slice(int(part.object[0]), int(part.object[-1]) + 1)


def _unknown_births(first: Acts, born_us: NDArray[np.int64], inside: slice) -> NDArray[np.int8]:
    """`TimingNull.crowd`: objects that nothing told of before their first touch, by their users."""
    born_us, thing = born_us[inside], first.object - inside.start
    touched = np.full(len(born_us), NEVER_US, dtype=np.int64)
    np.minimum.at(touched, thing, first.time_us)
    users = np.bincount(thing, minlength=len(born_us))
    size = np.minimum(np.log2(np.maximum(users, 1)).astype(np.int8), NUM_SIZES - 1)
    crowd: NDArray[np.int8] = np.where(touched <= born_us, size, -1).astype(np.int8)
    return crowd


def _acts_at(
    place: NDArray[np.int64], acts: NDArray[np.int32], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Acts at each place, and the sum of their squares, of touches that are mostly one act."""
    once = np.bincount(place, minlength=size)
    more = np.flatnonzero(acts > 1)
    beyond = acts[more].astype(np.int64)
    counts, own = (
        once + np.bincount(place[more], each - 1, size).astype(np.int64)
        for each in (beyond, beyond**2)
    )
    return counts, own


def _met(
    found: Coactions | ObjectPairs | CalmMeetings,
    null: TimingNull,
    row: NDArray[np.int32],
    windows_us: list[int],
) -> Met:
    """Objects, classes and windows of meetings, made a block at a time."""
    meetings = found.meetings
    acts = meetings.acts
    lone = np.zeros((len(windows_us), len(row)), dtype=np.int64)
    rows, classes, windows = [row[:0]], [np.zeros(0, np.uint16)], [np.zeros(0, np.uint8)]
    for part in meetings.blocks():
        one = meetings.one[part]
        thing = acts.object[one]
        window = np.searchsorted(windows_us, meetings.gap_us(part))
        aged = np.flatnonzero(row[thing] >= 0)
        if len(aged) < len(thing):
            other = row[thing] < 0
            for number in range(len(windows_us)):
                np.add.at(lone[number], thing[other & (window == number)], 1)
        if len(aged):
            ends = (one[aged], meetings.other[part][aged])
            both = [null.classes(thing[aged], acts.time_us[place]) for place in ends]
            rows.append(row[thing[aged]])
            classes.append((both[0] * NUM_AGES + both[1]).astype(np.uint16))
            windows.append(window[aged].astype(np.uint8))
    return Met(np.concatenate(rows), np.concatenate(classes), np.concatenate(windows), lone)

"""The timing null: how often do two touches of one object fall within a window?

Rates are pooled over the objects of a trace by the classes of both touches (`rings/timing.py` tests
pairs against them).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphguard.rings.coaction import CalmMeetings, Coactions, ObjectPairs
from graphguard.rings.meetings import Acts

Floats = NDArray[np.float64]
AGE_EDGES_S = np.array([0.0, *np.logspace(4, 22, 19, base=2.0), np.inf])
"""Ages of an object in seconds, by powers of two from 16 s to seven weeks."""

NUM_AGES = len(AGE_EDGES_S) - 1
NUM_SIZES = 24
"""Classes of objects of unknown birth, by powers of two of their users."""

LOUDEST, FEW = 4.0, 3.0
"""An object's meetings count at most this many times what is usual for it, and so many more."""
FINE = 2.0**20
ROUNDS = 12
"""Rounds in which the usual and the loud settle."""
OBJECTS_AT_ONCE = 50_000


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

    def classes(self, objects: NDArray[Any], time_us: NDArray[Any]) -> NDArray[np.int64]:
        """Class of touches, below `NUM_AGES` + `NUM_SIZES`."""
        return _touch_classes(self.born_us, self.crowd, objects, time_us)


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


def _unknown_births(first: Acts, born_us: NDArray[np.int64]) -> NDArray[np.int8]:
    """`TimingNull.crowd`: objects that nothing told of before their first touch, by their users."""
    touched = np.full(len(born_us), 2**62, dtype=np.int64)
    np.minimum.at(touched, first.object, first.time_us)
    users = np.bincount(first.object, minlength=len(born_us))
    size = np.minimum(np.log2(np.maximum(users, 1)).astype(np.int8), NUM_SIZES - 1)
    crowd: NDArray[np.int8] = np.where(touched <= born_us, size, -1).astype(np.int8)
    return crowd


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

    Cost: O(events + meetings); memory eight bytes an object and window, seven a meeting on objects
        of known birth.
    """
    first = acts.first_touches
    crowd = _unknown_births(first, born_us)
    num = NUM_AGES + NUM_SIZES
    null = TimingNull(np.zeros((len(windows_us), num, num)), born_us, crowd)
    calm = np.ones(len(born_us), dtype=np.bool_)
    calm[found.burst_objects] = False
    aged, lone = _aged(first, null, calm), _lone(first, crowd, calm)
    met = _met(found, null, aged.row, windows_us)
    for number, window in enumerate(windows_us):
        null.rate[number] = _pooled_rate(aged, lone, met.within(number), _prior(window))
    return null


@dataclass(frozen=True)
class _Aged:
    """Touches of objects of known birth: of several classes each.

    Attributes:
        row: Row of each object, -1 for others, shape [num_objects], int32.
        counts: Touches by class, shape [rows, NUM_AGES].
    """

    row: NDArray[np.int32]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class _Lone:
    """Touches of objects of unknown birth, shape [num_objects] each: all of one class.

    Attributes:
        touches: How many; 0 for other objects.
        classes: Their class.
    """

    touches: Floats
    classes: NDArray[np.int64]


@dataclass(frozen=True)
class _Met:
    """What the null needs of meetings within a window.

    Attributes:
        row: Of the object, of each meeting on one of known birth.
        classes: Classes of its earlier and of its later act, in one number.
        window: The smallest window that holds it.
        lone: Meetings on each object of unknown birth by smallest window, shape [windows, objects].
    """

    row: NDArray[np.int32]
    classes: NDArray[np.uint16]
    window: NDArray[np.uint8]
    lone: NDArray[np.int64]

    def within(self, number: int) -> "_Met":
        inside: Any = self.window <= number
        inside = slice(None) if inside.all() else inside
        each = self.row[inside], self.classes[inside], self.window[inside]
        return _Met(*each, self.lone[: number + 1].sum(axis=0))


def _aged(first: Acts, null: TimingNull, calm: NDArray[np.bool_]) -> _Aged:
    known = calm & (null.crowd < 0)
    mine = np.flatnonzero(known[first.object])
    objects = first.object[mine]
    held = np.zeros(len(calm), dtype=np.bool_)
    held[objects] = True
    row = np.full(len(calm), -1, dtype=np.int32)
    row[held] = np.arange(int(held.sum()), dtype=np.int32)
    classes = null.classes(objects, first.time_us[mine])
    size = int(held.sum()) * NUM_AGES
    counts = np.bincount(row[objects].astype(np.int64) * NUM_AGES + classes, minlength=size)
    return _Aged(row, counts.reshape(-1, NUM_AGES))


def _lone(first: Acts, crowd: NDArray[np.int8], calm: NDArray[np.bool_]) -> _Lone:
    touches = np.bincount(first.object, minlength=len(crowd)).astype(np.float64)
    touches[(crowd < 0) | ~calm] = 0.0
    return _Lone(touches, NUM_AGES + np.maximum(crowd, 0).astype(np.int64))


def _met(
    found: Coactions | ObjectPairs | CalmMeetings,
    null: TimingNull,
    row: NDArray[np.int32],
    windows_us: list[int],
) -> _Met:
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
            np.add.at(lone, (window[other], thing[other]), 1)
        if len(aged):
            ends = (one[aged], meetings.other[part][aged])
            both = [null.classes(thing[aged], acts.time_us[place]) for place in ends]
            rows.append(row[thing[aged]])
            classes.append((both[0] * NUM_AGES + both[1]).astype(np.uint16))
            windows.append(window[aged].astype(np.uint8))
    return _Met(np.concatenate(rows), np.concatenate(classes), np.concatenate(windows), lone)


def _pooled_rate(aged: _Aged, lone: _Lone, met: _Met, prior: Floats) -> Floats:
    """Share of pairs of touches that meet, by their classes; no object speaks louder than it may.

    Pooling is not enough where rings are a fair part of a small platform: twenty members on ten
    posts are most of all meetings, and hide themselves. An object's meetings therefore count at
    most `LOUDEST` times what its touches let expect (and a few), until that settles.
    """
    chances = _chances(aged, lone)
    # Where nobody met there is nothing to weigh.
    held, place = np.unique(met.row, return_inverse=True)
    counts = aged.counts[held].astype(np.float64)
    tally = np.bincount(place, minlength=len(held)).astype(np.float64)
    alone = np.flatnonzero(met.lone)
    touches, same, times = lone.touches[alone], lone.classes[alone], met.lone[alone]
    weight, weight_alone = np.ones(len(held)), np.ones(len(alone))
    rate = prior
    for _ in range(ROUNDS):
        # Weights are whole parts of 2**20, so that their sum has one value in any order.
        weight, weight_alone = (np.floor(one * FINE) / FINE for one in (weight, weight_alone))
        loud = np.diag(np.bincount(same, weight_alone * times, len(prior)).astype(np.float64))
        ages = np.bincount(met.classes, weight[place], NUM_AGES**2)
        loud[:NUM_AGES, :NUM_AGES] += ages.reshape(NUM_AGES, NUM_AGES)
        rate = np.minimum(1.0, (loud + loud.T + 0.5 * prior) / np.maximum(chances + 0.5, 0.5))
        # Pairs of distinct touches of one object, each once.
        among = rate[:NUM_AGES, :NUM_AGES]
        usual = 0.5 * (((counts @ among) * counts).sum(axis=1) - counts @ np.diag(among))
        weight = np.minimum(1.0, (LOUDEST * usual + FEW) / tally)
        once = touches * np.diag(rate)[same]
        usual = 0.5 * (once * touches - once)
        weight_alone = np.minimum(1.0, (LOUDEST * usual + FEW) / times)
    return rate


def _chances(aged: _Aged, lone: _Lone) -> Floats:
    """Ordered pairs of touches of one object by their classes, over all objects."""
    pairs = lone.touches * (lone.touches - 1)
    chances: Floats = np.diag(np.bincount(lone.classes, pairs, NUM_AGES + NUM_SIZES).astype(float))
    ages = chances[:NUM_AGES, :NUM_AGES]
    for start in range(0, len(aged.counts), OBJECTS_AT_ONCE):
        part = aged.counts[start : start + OBJECTS_AT_ONCE].astype(np.float64)
        ages += part.T @ part - np.diag(part.sum(axis=0))
    return chances


def _prior(window_us: int) -> Floats:
    """Chance of meeting where little was seen: both anywhere in their ages, or in a day."""
    ages = np.diff(np.append(AGE_EDGES_S[:-1], 2 * AGE_EDGES_S[-2]))
    width = np.concatenate([ages, np.full(NUM_SIZES, 86_400.0)])
    chance: Floats = np.minimum(1.0, 2 * window_us / 1e6 / np.maximum.outer(width, width))
    return chance

"""The timing null: given the objects two users both touched, how often would they meet there?

Rates are pooled over the objects of a trace by the classes of both touches; a pair's meetings are
then coins of these rates. What is told of a pair keeps what the answer was made of.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.rings.coaction import Coactions, ObjectPairs
from graphguard.rings.meetings import Acts, Meetings
from graphguard.rings.significance import SecondTest, log10_binomial_tail

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
        rate: Shape [windows, classes, classes], share of pairs of touches in the window.
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
    # An age below 0 counts as 0.
    age_s = np.maximum((time_us - born_us[objects]) / 1e6, 0.0)
    age = np.searchsorted(AGE_EDGES_S, age_s, side="right") - 1
    held = crowd[objects].astype(np.int64)
    classes: NDArray[np.int64] = np.where(held >= 0, NUM_AGES + held, age)
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
    found: Coactions | ObjectPairs,
    born_us: NDArray[np.int64],
    windows_us: list[int],
) -> TimingNull:
    """Pool over all objects how often touches of given classes meet within each window.

    Args:
        acts: All events of the trace.
        found: Its meetings within the widest window; bursts are left out on both sides.
        born_us: First sight of each object, shape [num_objects].
        windows_us: The windows.

    Cost: O(events + meetings); memory seven bytes a meeting.
    """
    first = acts.first_touches
    crowd = _unknown_births(first, born_us)
    num = NUM_AGES + NUM_SIZES
    null = TimingNull(np.zeros((len(windows_us), num, num)), born_us, crowd)
    calm = ~np.isin(first.object, found.burst_objects)
    objects, place = np.unique(first.object[calm], return_inverse=True)
    classes = null.classes(first.object[calm], first.time_us[calm])
    counts = np.bincount(place * num + classes, minlength=len(objects) * num).astype(np.float64)
    counts = counts.reshape(len(objects), num)
    met = _met(found.meetings, objects, null, windows_us)
    for number, window in enumerate(windows_us):
        null.rate[number] = _pooled_rate(counts, met.within(number), _prior(window))
    return null


@dataclass(frozen=True)
class _Met:
    """What the null needs of each meeting, shape [num_meetings] each.

    Attributes:
        place: Row of the object.
        classes: Classes of the earlier and of the later act, in one number.
        window: The smallest window that holds it.
    """

    place: NDArray[np.int32]
    classes: NDArray[np.uint16]
    window: NDArray[np.uint8]

    def within(self, number: int) -> "_Met":
        inside = self.window <= number
        return self if inside.all() else _Met(*(one[inside] for one in self._columns))

    @property
    def _columns(self) -> tuple[NDArray[Any], ...]:
        return self.place, self.classes, self.window


def _met(
    meetings: Meetings, objects: NDArray[Any], null: TimingNull, windows_us: list[int]
) -> _Met:
    """Objects, classes and windows of meetings, made a block at a time."""
    acts, size = meetings.acts, len(meetings)
    met = _Met(np.empty(size, np.int32), np.empty(size, np.uint16), np.empty(size, np.uint8))
    for part in meetings.blocks():
        one, other = meetings.one[part], meetings.other[part]
        thing = acts.object[one]
        both = [null.classes(thing, acts.time_us[place]) for place in (one, other)]
        met.place[part] = np.searchsorted(objects, thing)
        met.classes[part] = both[0] * (NUM_AGES + NUM_SIZES) + both[1]
        met.window[part] = np.searchsorted(windows_us, meetings.gap_us(part))
    return met


def _pooled_rate(counts: Floats, met: _Met, prior: Floats) -> Floats:
    """Share of pairs of touches that meet, by their classes; no object speaks louder than it may.

    Pooling is not enough where rings are a fair part of a small platform: twenty members on ten
    posts are most of all meetings, and hide themselves. An object's meetings therefore count at
    most `LOUDEST` times what its touches let expect (and a few), until that settles.
    """
    chances = counts.T @ counts - np.diag(counts.sum(axis=0))
    # Where nobody met there is nothing to weigh.
    held, place = np.unique(met.place, return_inverse=True)
    counts = counts[held]
    tally = np.bincount(place, minlength=len(held)).astype(np.float64)
    weight = np.ones(len(held))
    rate = prior
    for _ in range(ROUNDS):
        # Weights are whole parts of 2**20, so that their sum has one value in any order.
        weight = np.floor(weight * FINE) / FINE
        loud = np.bincount(met.classes, weight[place], prior.size).reshape(prior.shape)
        rate = np.minimum(1.0, (loud + loud.T + 0.5 * prior) / np.maximum(chances + 0.5, 0.5))
        # Pairs of distinct touches of one object, each once.
        usual = 0.5 * (((counts @ rate) * counts).sum(axis=1) - counts @ np.diag(rate))
        weight = np.minimum(1.0, (LOUDEST * usual + FEW) / tally)
    return rate


def timing_test(
    acts: Acts, pairs: pl.DataFrame, weights: NDArray[np.int64], window: int, null: TimingNull
) -> SecondTest:
    """Test pairs that met on `weights` objects within a window, given all that both touched.

    Args:
        acts: All events of the trace.
        pairs: `user_a`, `user_b` of the pairs to test (those that passed the first test).
        weights: Objects on which each pair met within the window.
        window: Which of the null's windows.
        null: Pooled rates.

    Returns:
        The number of meetings is a sum of unlike coins; above the mean its tail is bounded from
        above by that of as many like ones (Hoeffding 1956).
    """
    first = _touches_of(acts.first_touches, pairs)
    table = pl.DataFrame({"user": first.user, "object": first.object, "time_us": first.time_us})
    numbered = pairs.select("user_a", "user_b").with_row_index("pair")
    common = numbered.join(table, left_on="user_a", right_on="user", how="inner").join(
        table, left_on=["user_b", "object"], right_on=["user", "object"], suffix="_b", how="inner"
    )
    objects = common.get_column("object").to_numpy()
    chance = null.rate[
        window,
        null.classes(objects, common.get_column("time_us").to_numpy()),
        null.classes(objects, common.get_column("time_us_b").to_numpy()),
    ]
    pair = common.get_column("pair").to_numpy()
    expected: Floats = np.bincount(pair, chance, len(pairs)).astype(np.float64)
    together = np.bincount(pair, minlength=len(pairs))
    return SecondTest(together, expected, log10_binomial_tail(weights, together, expected))


def _touches_of(first: Acts, pairs: pl.DataFrame) -> Acts:
    """The touches of users that are in some pair: few of all."""
    asked = np.zeros(int(first.user.max(initial=-1)) + 1, dtype=np.bool_)
    for name in ("user_a", "user_b"):
        asked[pairs.get_column(name).to_numpy()] = True
    return first[asked[first.user]]


def _prior(window_us: int) -> Floats:
    """Chance of meeting where little was seen: both anywhere in their ages, or in a day."""
    ages = np.diff(np.append(AGE_EDGES_S[:-1], 2 * AGE_EDGES_S[-2]))
    width = np.concatenate([ages, np.full(NUM_SIZES, 86_400.0)])
    chance: Floats = np.minimum(1.0, 2 * window_us / 1e6 / np.maximum.outer(width, width))
    return chance

"""How often two acts on one object fall within a window, by their classes: pooled over objects."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
class Aged:
    """Acts on objects of known birth: of several classes each.

    Attributes:
        row: Row of each object, -1 for others, shape [num_objects], int32.
        counts: Acts by class, of one user a few at most; shape [rows, NUM_AGES].
        own: The same, each user's squared.
    """

    row: NDArray[np.int32]
    counts: NDArray[np.int64]
    own: NDArray[np.int64]


@dataclass(frozen=True)
class Lone:
    """Acts on objects of unknown birth, shape [num_objects] each: all of one class.

    Attributes:
        counts: How many, of one user a few at most; 0 for other objects.
        own: The same, each user's squared.
        classes: Their class.
    """

    counts: Floats
    own: Floats
    classes: NDArray[np.int64]


@dataclass(frozen=True)
class Met:
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

    def within(self, number: int) -> "Met":
        """Those of one window and the shorter ones."""
        inside: Any = self.window <= number
        inside = slice(None) if inside.all() else inside
        each = self.row[inside], self.classes[inside], self.window[inside]
        return Met(*each, self.lone[: number + 1].sum(axis=0))


def pooled_rate(aged: Aged, lone: Lone, met: Met, prior: Floats) -> Floats:
    """Share of pairs of touches that meet, by their classes; no object speaks louder than it may.

    Pooling is not enough where rings are a fair part of a small platform: twenty members on ten
    posts are most of all meetings, and hide themselves. So each touch speaks once, and not each
    pair of touches: a meeting weighs as much as one of the touches of its class that the object
    has more of. And an object's meetings count at most `LOUDEST` times what its touches let expect
    (and a few), until that settles.
    """
    chances = _chances(aged, lone)
    # Where nobody met there is nothing to weigh.
    cells = _Cells.of(met, aged)
    alone = np.flatnonzero((met.lone > 0) & (lone.counts > 0))
    acts, same, times = lone.counts[alone], lone.classes[alone], met.lone[alone]
    apart = acts**2 - lone.own[alone]
    weight, weight_alone = np.ones(len(cells.tally)), np.ones(len(alone))
    rate = prior
    for _ in range(ROUNDS):
        told = _whole(same, weight_alone * times / acts, len(prior))
        loud = np.diag(told)
        loud[:NUM_AGES, :NUM_AGES] += cells.told(weight)
        rate = np.minimum(1.0, (loud + loud.T + 0.5 * prior) / np.maximum(chances + 0.5, 0.5))
        # Pairs of acts on one object by two users, each once.
        among = rate[:NUM_AGES, :NUM_AGES]
        counts = cells.counts
        usual = 0.5 * (((counts @ among) * counts).sum(axis=1) - cells.own @ np.diag(among))
        weight = np.minimum(1.0, (LOUDEST * usual + FEW) / cells.tally)
        usual = 0.5 * np.diag(rate)[same] * apart
        weight_alone = np.minimum(1.0, (LOUDEST * usual + FEW) / times)
    return rate


@dataclass(frozen=True)
class _Cells:
    """Meetings on objects of known birth by object and classes.

    Attributes:
        place: Object of each cell, shape [cells].
        classes: Classes of its meetings, in one number.
        share: Its meetings over the acts of the class that the object has more of.
        tally: Meetings of each object, shape [objects].
        counts: As in `Aged`, shape [objects, NUM_AGES].
        own: The same.
    """

    place: NDArray[np.int64]
    classes: NDArray[np.int64]
    share: Floats
    tally: Floats
    counts: Floats
    own: Floats

    @classmethod
    def of(cls, met: Met, aged: Aged) -> "_Cells":
        """The cells that hold a meeting."""
        number = NUM_AGES**2
        keys, times = np.unique(met.row.astype(np.int64) * number + met.classes, return_counts=True)
        row, classes = np.divmod(keys, number)
        held, place = np.unique(row, return_inverse=True)
        counts = aged.counts[held].astype(np.float64)
        tally = np.bincount(place, times, len(held)).astype(np.float64)
        one, other = (counts[place, each] for each in np.divmod(classes, NUM_AGES))
        share = times / np.maximum(one, other)
        return cls(place, classes, share, tally, counts, aged.own[held].astype(np.float64))

    def told(self, weight: Floats) -> Floats:
        """Shares by classes, each object weighed; shape [NUM_AGES, NUM_AGES]."""
        summed = _whole(self.classes, weight[self.place] * self.share, NUM_AGES**2)
        return summed.reshape(NUM_AGES, NUM_AGES)


def _chances(aged: Aged, lone: Lone) -> Floats:
    """Acts that have another user's of a class on their object, by both classes, over all objects.

    Of the two classes that of which the object has fewer counts, as each act speaks once.
    """
    others = (lone.counts**2 - lone.own) / np.maximum(lone.counts, 1.0)
    chances: Floats = np.diag(_whole(lone.classes, others, NUM_AGES + NUM_SIZES))
    for start in range(0, len(aged.counts), OBJECTS_AT_ONCE):
        part, own = (
            np.ascontiguousarray(each[start : start + OBJECTS_AT_ONCE].T)
            for each in (aged.counts, aged.own)
        )
        for one in range(NUM_AGES):
            others = (part[one] ** 2 - own[one]) / np.maximum(part[one], 1)
            chances[one, one] += (np.floor(others * FINE) / FINE).sum()
            for other in range(one):
                both = np.minimum(part[one], part[other]).sum()
                chances[one, other] += both
                chances[other, one] += both
    return chances


def _whole(places: NDArray[np.int64], values: Floats, size: int) -> Floats:
    """Values by place, in whole parts of 2**20, so that their sum has one value in any order."""
    whole = np.floor(values * FINE) / FINE
    return np.bincount(places, whole, size).astype(np.float64)


def prior_rate(window_us: int) -> Floats:
    """Chance of meeting where little was seen: both anywhere in their ages, or in a day."""
    ages = np.diff(np.append(AGE_EDGES_S[:-1], 2 * AGE_EDGES_S[-2]))
    width = np.concatenate([ages, np.full(NUM_SIZES, 86_400.0)])
    chance: Floats = np.minimum(1.0, 2 * window_us / 1e6 / np.maximum.outer(width, width))
    return chance

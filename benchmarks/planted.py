"""Logs of shares with planted rings, made by the recipe of the method's own trials.

A: events on objects of skewed popularity by users of skewed activity, delays log-normal; rings of
20 that join each of 30 random objects with chance .8 within 45 s. A+v: with one viral object.
B: a smaller log with fan clubs that share the same posts, and rings of 15 that camouflage.
Hiding: as A, with rings that take their time and act as others do in between.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

SECOND = 1_000_000
SPAN_S = 6 * 86_400
"""Objects are born uniformly over six days."""
CALLS = 30
"""Objects that a ring of A is called to."""


@dataclass(frozen=True)
class Planted:
    """A log and its truth.

    Attributes:
        user: Index of each row's user, shape [num_rows], int64.
        object: Index of its object.
        time_us: Microseconds since the log's start.
        born_us: When each object appeared, shape [num_objects].
        num_users: Users, with and without rows.
        ring: Ring of each user, -1 for none, shape [num_users].
    """

    user: NDArray[np.int64]
    object: NDArray[np.int64]
    time_us: NDArray[np.int64]
    born_us: NDArray[np.int64]
    num_users: int
    ring: NDArray[np.int64]

    def frame(self) -> pl.DataFrame:
        """The rows as `user`, `object`, `time_us`, in order of time."""
        rows = {"user": self.user, "object": self.object, "time_us": self.time_us}
        return pl.DataFrame(rows).sort("time_us", "user", "object")


class _Log:
    """Rows as they are drawn."""

    def __init__(self, users: int, objects: int, seed: int) -> None:
        self.rng = np.random.Generator(np.random.Philox(seed))
        self.users, self.objects = users, objects
        self.born_s = self.rng.uniform(0, SPAN_S, objects)
        self.activity = _shares(np.arange(1, users + 1, dtype=np.float64) ** -0.7)
        self.popularity = _shares((np.arange(1, objects + 1, dtype=np.float64) + 20) ** -0.9)
        self.ring = np.full(users, -1, dtype=np.int64)
        self.parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []

    def background(self, rows: int) -> None:
        """Independent draws: who, on what, how long after it appeared."""
        user = self.rng.choice(self.users, rows, p=self.activity)
        self.normal(user)

    def normal(self, user: NDArray[np.int64]) -> None:
        """One ordinary share of each of `user`."""
        thing = self.rng.choice(self.objects, len(user), p=self.popularity)
        self.add(user, thing, self.rng.lognormal(8.5, 1.6, len(user)))

    def viral(self, thing: int, rows: int) -> None:
        """One object that `rows` users share."""
        user = self.rng.choice(self.users, rows, replace=False)
        self.add(user, np.full(rows, thing), self.rng.lognormal(8.5, 1.6, rows))

    def add(
        self, user: NDArray[np.int64], thing: NDArray[np.int64], delay_s: NDArray[np.float64]
    ) -> None:
        self.parts.append((user, thing, self.born_s[thing] + delay_s))

    def rings(
        self,
        number: int,
        size: int,
        calls: int,
        chosen: NDArray[np.int64],
        within_s: float = 45,
    ) -> None:
        """Rings that join each of their objects with chance .8, soon after one another."""
        members = self.rng.choice(chosen, number * size, replace=False).reshape(number, size)
        for ring, users in enumerate(members):
            self.ring[users] = ring
            things = self.rng.choice(self.objects, calls, replace=False)
            start = self.rng.lognormal(8.5, 1.6, calls)
            joined = self.rng.random((calls, size)) < 0.8
            call, member = np.nonzero(joined)
            delay = start[call] + self.rng.uniform(0, within_s, len(call))
            self.add(users[member], things[call], delay)

    def made(self) -> Planted:
        user, thing, second = (np.concatenate(each) for each in zip(*self.parts, strict=True))
        time_us = np.rint(second).astype(np.int64) * SECOND
        born_us = np.floor(self.born_s).astype(np.int64) * SECOND
        return Planted(
            user.astype(np.int64), thing.astype(np.int64), time_us, born_us, self.users, self.ring
        )


def world_a(rows: int = 1_000_000, seed: int = 1, *, rings: int = 50, viral: int = 0) -> Planted:
    """Independent background and rings of 20; `viral` shares of one object beside it."""
    log = _Log(rows // 10, rows // 5, seed)
    log.background(rows)
    log.rings(rings, 20, CALLS, np.arange(log.users))
    if viral:
        log.viral(int(log.rng.integers(log.objects)), viral)
    return log.made()


def world_a_parts(
    rows: int, seed: int = 1, *, viral: int = 0, part: int = 5_000_000
) -> Iterator[Planted]:
    """A world A in parts of some millions of rows, for logs too large to be drawn at once.

    The last part has the rings and `viral` shares of one object; draws differ from `world_a`'s.
    """
    log = _Log(rows // 10, rows // 5, seed)
    while rows > part:
        log.background(part)
        rows -= part
        yield log.made()
        log.parts = []
    log.background(rows)
    log.rings(50, 20, CALLS, np.arange(log.users))
    if viral:
        log.viral(int(log.rng.integers(log.objects)), viral)
    yield log.made()


def world_hiding(rows: int, seed: int, *, within_s: float, normal: int) -> Planted:
    """Twenty rings as in A that take their time, and share as others do beside what they are for.

    Args:
        rows: Of the background.
        seed: Of all draws.
        within_s: Seconds within which a ring joins an object.
        normal: Ordinary shares of a member for each one that its ring calls for.
    """
    log = _Log(rows // 10, rows // 5, seed)
    log.background(rows)
    log.rings(20, 20, CALLS, np.arange(log.users), within_s)
    log.normal(np.repeat(np.flatnonzero(log.ring >= 0), round(0.8 * CALLS * normal)))
    return log.made()


def world_b(seed: int = 1, *, rings: int = 20) -> Planted:
    """Fan clubs of 60 on the same 100 posts, and rings of 15 with 40 normal shares a member."""
    log = _Log(20_000, 40_000, seed)
    log.background(160_000)
    log.viral(int(log.rng.integers(log.objects)), 2_000)
    order = log.rng.permutation(log.users)
    fans, others = order[: 20 * 60].reshape(20, 60), order[20 * 60 :]
    for club in fans:
        things = log.rng.choice(log.objects, 100, replace=False)
        thing, member = np.nonzero(log.rng.random((100, 60)) < 0.4)
        log.add(club[member], things[thing], log.rng.lognormal(7.1, 1.3, len(thing)))
    log.rings(rings, 15, 25, others)
    log.normal(np.repeat(np.flatnonzero(log.ring >= 0), 40))
    return log.made()


def _shares(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    return weight / weight.sum()

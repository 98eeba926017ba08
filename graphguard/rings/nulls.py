"""Nights without coordination, dealt from the night's own acts: do the tests keep their promise?

Who acted is dealt anew among the acts of one hour of the day: every object keeps its crowd and its
bursts, every user the number of his acts and, by and large, his hours; only who meets whom is left
to chance. Every pair that the tests then find is false, so how many they may find is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, poisson

from graphguard.graph.keyed import mix, seeded
from graphguard.graph.ranges import distinct_pairs
from graphguard.rings.meetings import Acts
from graphguard.rings.significance import log10_q

ALPHAS = (1e-3, 1e-4, 1e-5, 1e-6)
"""Chances of which the found number is compared; weaker links are not kept."""
UNLIKELY = 1e-3
"""An alarm is raised by what a sound test would show in one night of a thousand."""
HOUR_US, HOURS = 3_600_000_000, 24
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class NullShard:
    """What one channel's test said of one dealt night.

    Attributes:
        log10_p: Of the kept tests, at most -3 each.
        num_tests: All tests: of links the pairs of users that were in it.
        log10_q: Of the kept tests where they have their own; None: as of pairs.
    """

    log10_p: NDArray[np.float64]
    num_tests: float
    log10_q: NDArray[np.float64] | None = None

    def flagged(self, log10_rate: float) -> int:
        """How many are discoveries at a false-discovery rate."""
        q = log10_q(self.log10_p, self.num_tests) if self.log10_q is None else self.log10_q
        return int((q <= log10_rate).sum())


@dataclass(frozen=True)
class Calibration:
    """One channel over its shards.

    Attributes:
        shards: Number of dealt nights.
        found: By chance of `ALPHAS`: tests with a p of at most that.
        allowed: By chance: the most a sound test shows, but for one night of a thousand.
        flagged: Tests that would have been discoveries at the night's rate.
        nights: Dealt nights with such a test.
        alarms: What is wrong, in words; none if the tests hold.
    """

    shards: int
    found: dict[float, int]
    allowed: dict[float, int]
    flagged: int
    nights: int
    alarms: list[str]


def dealt(acts: Acts, seed: int) -> Acts:
    """The acts with their users dealt anew among the acts of one hour of the day.

    Cost: three sorts of the acts.
    """
    hour = acts.time_us // HOUR_US % HOURS
    # An object is told by its acts, not by its number, which depends on storage.
    told = _told_apart(acts.object, (acts.time_us, acts.user))
    order = np.lexsort((told, acts.user, acts.time_us, hour))
    rng = np.random.Generator(np.random.PCG64(seed))
    lot = np.lexsort((rng.random(len(order)), hour[order]))
    user = np.empty_like(acts.user)
    user[order] = acts.user[order][lot]
    return Acts(user, acts.object, acts.time_us)


def dealt_links(user: Ints, objects: Ints, seed: int) -> tuple[Ints, Ints]:
    """Distinct (user, object) with users dealt anew; who comes on an object twice counts once."""
    rng = np.random.Generator(np.random.PCG64(seed))
    order = np.lexsort((user, _told_apart(objects, (user,))))
    both = distinct_pairs(rng.permutation(user[order]), objects[order])
    return both[0], both[1]


def _told_apart(objects: Ints, by: tuple[Ints, ...]) -> Ints:
    """Number of each act's object, which follows from its acts and nothing else.

    Args:
        objects: Object of each act, from 0, shape [n].
        by: What each act is told by.

    Returns:
        Shape [n]; objects with equal acts share a number.
    """
    if not len(objects):
        return objects
    used, place = np.unique(objects, return_inverse=True)
    sums = np.zeros(len(used), dtype=np.uint64)
    np.add.at(sums, place, mix(*(one.astype(np.uint64) for one in by)))
    return np.unique(sums, return_inverse=True)[1][place].astype(np.int64)


def some_objects(acts: Acts, most: int) -> Acts:
    """The acts on a part of the objects, about `most` acts; all of them where there are no more.

    An object is told by its first act's time, not by its number, which depends on storage.
    """
    if len(acts) <= most:
        return acts
    ordered = acts.ordered()
    starts = ordered.object_starts
    marks = seeded(mix(ordered.time_us[starts[:-1]].astype(np.uint64)), 1)
    kept = marks.astype(np.float64) / 2.0**64 < most / len(acts)
    return ordered[np.repeat(kept, np.diff(starts))]


def calibration(shards: Sequence[NullShard], log10_rate: float) -> Calibration:
    """Compare what the tests found in dealt nights with what they promise.

    Args:
        shards: Of one channel.
        log10_rate: log10 of the false-discovery rate of a night.
    """
    tests = sum(shard.num_tests for shard in shards)
    p = np.concatenate([shard.log10_p for shard in shards]) if shards else np.zeros(0)
    found = {alpha: int((p <= np.log10(alpha)).sum()) for alpha in ALPHAS}
    allowed = {alpha: int(poisson.isf(UNLIKELY, tests * alpha)) for alpha in ALPHAS}
    flagged = [one.flagged(log10_rate) for one in shards]
    nights = sum(number > 0 for number in flagged)
    alarms = [
        f"{found[alpha]} tests of dealt users have a chance of at most {alpha:g}, "
        f"a sound test shows at most {allowed[alpha]}"
        for alpha in ALPHAS
        if found[alpha] > allowed[alpha]
    ]
    # Where all is chance, a night has a discovery with the chance of the rate.
    if nights and binom.sf(nights - 1, len(shards), 10**log10_rate) < UNLIKELY:
        alarms.append(f"{nights} of {len(shards)} dealt nights have discoveries, all of them false")
    return Calibration(len(shards), found, allowed, sum(flagged), nights, alarms)

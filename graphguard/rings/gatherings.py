"""Sets of users that met once, where nobody should have: single bursts that chance does not make.

A ring that made one call in the window leaves no two objects on which its members met, so neither
pairs nor sets that meet again tell of it. But eleven of an old post's fifteen likes within one
minute are one event that needs explaining. It is tested as one: a member's time is given, and so
is who else touched the object at which age; how likely are so many of these within the minute?

Such a test hangs on one object, so it also has to stand against what that object itself was like
just then. A crowd that chance explains builds up, or leaves a wake: somebody known shared the post,
and others follow for minutes. A ring comes and is gone. So a burst must as well stand out from the
busier of the two sides of it.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.graph.components import linked_components
from graphguard.rings.meetings import Acts
from graphguard.rings.recurrence import Bursts, Sets, links_within, overlaps
from graphguard.rings.significance import log10_poisson_tail, log10_q
from graphguard.rings.timing_null import TimingNull

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

LEAST_USERS = 4
"""Fewer are no gathering."""
MOST_BY_CHANCE = 0.05
"""Share of a gathering that may have come by chance: they would be told with the others."""
SIDE = 10
"""Windows before a burst, and after it, in which its object may have been busy."""


@dataclass(frozen=True)
class Gatherings:
    """Bursts that stand out by themselves.

    Attributes:
        sets: Their users, with the one object each.
        company: Which of them are one ring's, shape [num_sets]: those of one number.
        log10_q: That they are, at most, shape [num_sets].
    """

    sets: Sets
    company: Ints
    log10_q: Floats


def gatherings(
    acts: Acts, bursts: Bursts, null: TimingNull, window: int, window_us: int, log10_rate: float
) -> Gatherings:
    """Bursts that hold more users than chance brings together on one object.

    Every touch is a hypothesis: that no more are around it than come by chance. Two such bursts
    that share more users than their numbers of bursts explain are one ring's; every pair of them is
    a hypothesis again.

    Args:
        acts: Events of the trace; a user's first act on an object counts.
        bursts: Of `find_bursts`, with this window.
        null: How often touches of given ages meet.
        window: Which of the null's windows it is.
        window_us: Its length.
        log10_rate: log10 of the false-discovery rate.

    Cost: O(events log events + sum over users of the square of their bursts).
    """
    first = acts.first_touches
    order = np.lexsort((first.time_us, first.object))
    thing, time_us = first.object[order].astype(np.int64), first.time_us[order].astype(np.int64)
    size = np.diff(bursts.start)
    chosen = np.flatnonzero(size >= LEAST_USERS)
    expected = np.maximum(
        _given_ages(bursts, chosen, (thing, time_us), null, window),
        _given_sides(bursts, chosen, (thing, time_us), window_us),
    )
    # One is there; the others come to him.
    p = log10_poisson_tail(size[chosen] - 1, expected)
    q = log10_q(p, float(max(len(thing), 1)))
    told = (q <= log10_rate) & (expected <= MOST_BY_CHANCE * size[chosen])
    found = chosen[told]
    users = [np.sort(bursts.user[bursts.start[at] : bursts.start[at + 1]]) for at in found.tolist()]
    sets = Sets(users, bursts.object[found][:, None], q[told])
    return Gatherings(sets, *_company(bursts, found, q[told], log10_rate))


def gathered_links(found: Gatherings, num_pairs: float) -> pl.DataFrame:
    """The pairs inside the bursts, and those of users of two bursts of one ring.

    Who were never in one burst have a `weight` of 0: what links them is that the same users were
    with both.

    Args:
        found: Of `gatherings`.
        num_pairs: All pairs of users.

    Returns:
        The columns of `links_within`, sorted.
    """
    met = links_within(found.sets, num_pairs)
    order = np.argsort(found.company, kind="stable")
    begins = np.flatnonzero(np.diff(found.company[order], prepend=-1))
    rows = []
    for mine in np.split(order, begins[1:]) if len(order) else ():
        if len(mine) > 1:
            users = np.unique(np.concatenate([found.sets.users[place] for place in mine.tolist()]))
            value = float(found.log10_q[mine].max())
            rows += [(a, b, 0, value) for a, b in combinations(users.tolist(), 2)]
    schema = {name: met.schema[name] for name in ("user_a", "user_b", "weight", "log10_q")}
    company = pl.DataFrame(rows, schema=schema, orient="row")
    # A user may be in bursts of two companies at most by a chance that the tests allow.
    company = company.group_by("user_a", "user_b").agg(
        pl.col("weight").first(), pl.col("log10_q").min()
    )
    value = pl.col("log10_q") - np.log10(max(num_pairs, 1.0))
    company = company.with_columns(value.alias("log10_p")).select(met.columns)
    apart = company.join(met, on=["user_a", "user_b"], how="anti")
    return pl.concat([met, apart]).sort("user_a", "user_b")


def _company(
    bursts: Bursts, chosen: Ints, log10_q_alone: Floats, log10_rate: float
) -> tuple[Ints, Floats]:
    """Which of the chosen bursts share users beyond chance, and the q of what holds them together.

    Returns:
        `Gatherings.company` and `Gatherings.log10_q`.
    """
    one, other, p = overlaps(bursts)
    place = np.full(len(bursts), -1, dtype=np.int64)
    place[chosen] = np.arange(len(chosen))
    both = (place[one] >= 0) & (place[other] >= 0)
    one, other = place[one[both]], place[other[both]]
    q = log10_q(p[both], max(len(chosen) * (len(chosen) - 1) / 2, 1.0))
    held = q <= log10_rate
    company = linked_components(len(chosen), one[held], other[held]).astype(np.int64)
    weakest = log10_q_alone.copy()
    for ends in (one, other):
        np.maximum.at(weakest, ends[held], q[held])
    return company, weakest


def _given_ages(
    bursts: Bursts, chosen: Ints, touches: tuple[Ints, Ints], null: TimingNull, window: int
) -> Floats:
    """Users expected around a member of each burst: of all on its object, by their ages.

    Which member is given may be chosen, so it is the one with most company.
    """
    rate = null.rate[window]
    objects, row = np.unique(bursts.object[chosen], return_inverse=True)
    held = np.flatnonzero(np.isin(touches[0], objects))
    place = np.searchsorted(objects, touches[0][held]) * len(rate)
    place += null.classes(touches[0][held], touches[1][held])
    counts = np.bincount(place, minlength=len(objects) * len(rate)).reshape(-1, len(rate))
    # Company of one of each class, himself left out; shape [objects, classes].
    company = counts @ rate - np.diag(rate)
    most = np.zeros(len(chosen))
    for at, burst in enumerate(chosen.tolist()):
        inside = slice(bursts.start[burst], bursts.start[burst + 1])
        times = bursts.time_us[inside]
        mine = null.classes(np.full(len(times), bursts.object[burst]), times)
        most[at] = company[row[at], mine].max()
    return most


def _given_sides(
    bursts: Bursts, chosen: Ints, touches: tuple[Ints, Ints], window_us: int
) -> Floats:
    """Users expected in a window of each burst's object by the busier side of the burst."""
    thing, time_us = touches
    zero = time_us.min() if len(time_us) else 0
    span = SIDE * window_us
    length = int((time_us - zero).max(initial=0)) + 2 * span + 1
    line = (time_us - zero) + thing * length
    start, last = bursts.start[chosen], bursts.start[chosen + 1] - 1
    at = bursts.object[chosen].astype(np.int64) * length - zero
    begin, end = bursts.time_us[start] + at, bursts.time_us[last] + at
    before = np.searchsorted(line, begin) - np.searchsorted(line, begin - span)
    after = np.searchsorted(line, end + span, side="right") - np.searchsorted(
        line, end, side="right"
    )
    busier: Floats = np.maximum(before, after) / SIDE
    return busier

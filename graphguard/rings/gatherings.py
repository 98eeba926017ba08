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

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.graph.components import linked_components
from graphguard.rings.meetings import Acts
from graphguard.rings.recurrence import LEAST_USERS as LEAST_SHARED
from graphguard.rings.recurrence import Bursts, Sets, links_within, log10_overlap, overlaps
from graphguard.rings.set_terms import OF_SET, Numbers, Terms, ToldSet, standing, stood
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
        joined: Terms of the pairs of bursts that are held together, and the place of one of each.
    """

    sets: Sets
    company: Ints
    log10_q: Floats
    joined: list[tuple[int, Terms]] = field(default_factory=list)

    def companies(self) -> list[Ints]:
        """Places of the sets of each ring of two or more."""
        order = np.argsort(self.company, kind="stable")
        begins = np.flatnonzero(np.diff(self.company[order], prepend=-1))
        parts = np.split(order, begins[1:]) if len(order) else []
        return [part for part in parts if len(part) > 1]

    def of_company(self, mine: Ints) -> tuple[Ints, float]:
        """Users of the bursts of one ring, and the q of what holds them together."""
        users = np.unique(np.concatenate([self.sets.users[place] for place in mine.tolist()]))
        return users, float(self.log10_q[mine].max())

    def told(self) -> list[ToldSet]:
        """The bursts, and the users of those of one ring."""
        every = self.sets.told("once")
        for mine in self.companies():
            users, log10_q = self.of_company(mine)
            inside = set(mine.tolist())
            terms: Terms = {
                "bursts": [
                    self.sets.terms[place] | {"users": len(self.sets.users[place])}
                    for place in mine.tolist()
                ],
                "overlaps": [terms for place, terms in self.joined if place in inside],
            }
            for parts in terms.values():
                parts.sort(key=lambda one: (one["log10_p"], *one["step"]))
            objects = np.unique(self.sets.objects[mine])
            every.append(ToldSet("company", users, objects, len(users), log10_q, terms))
        return every


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
    by_age = _given_ages(bursts, chosen, (thing, time_us), null, window)
    sides = _given_sides(bursts, chosen, (thing, time_us), window_us)
    expected = expected_around(by_age, sides)
    p = log10_gathered(size[chosen], expected)
    tests = float(max(len(thing), 1))
    q = log10_q(p, tests)
    told = (q <= log10_rate) & (expected <= MOST_BY_CHANCE * size[chosen])
    found = chosen[told]
    users = [np.sort(bursts.user[bursts.start[at] : bursts.start[at + 1]]) for at in found.tolist()]
    places = np.flatnonzero(told)
    stands = zip(places.tolist(), standing(p, tests, places), strict=True)
    others = _others(bursts, found, (thing, time_us), null, window)
    terms: list[Terms] = [
        {"by_age": float(by_age[at]), "sides": sides[:, at].tolist(), **company, **stand}
        for (at, stand), company in zip(stands, others, strict=True)
    ]
    sets = Sets(users, bursts.object[found][:, None], q[told], terms)
    return Gatherings(sets, *_company(bursts, found, q[told], log10_rate))


def expected_around(by_age: Floats, sides: Ints) -> Floats:
    """Users expected in the window around a member of each burst, shape [n].

    Args:
        by_age: By the ages of all touches of the object, shape [n].
        sides: Users in the SIDE windows before and after, shape [2, n].
    """
    expected: Floats = np.maximum(by_age, sides.max(axis=0) / SIDE)
    return expected


def log10_gathered(sizes: Ints, expected: Floats) -> Floats:
    """log10 p of bursts of so many users: one is there, the others come to him."""
    return log10_poisson_tail(sizes - 1, expected)


def once_numbers(users: int, terms: Mapping[str, Any]) -> Numbers:
    """What the terms of a burst say of so many users: p, and q."""
    expected = expected_around(np.array([terms["by_age"]]), np.array([terms["sides"]]).T)
    numbers = stood(float(log10_gathered(np.array([users]), expected)[0]), terms)
    by_age = float(np.dot(terms["others"], terms["rates"]))
    return numbers | {("by_age",): by_age, OF_SET: numbers["log10_q",]}


def company_numbers(users: int, terms: Mapping[str, Any]) -> Numbers:
    """What the terms of bursts of one ring say: p of each and of their overlaps, and q of all."""
    numbers: Numbers = {}
    for place, one in enumerate(terms["bursts"]):
        found = once_numbers(one["users"], one)
        numbers |= stood(found["log10_p",], one, "bursts", place)
        numbers["bursts", place, "by_age"] = found["by_age",]
    for place, one in enumerate(terms["overlaps"]):
        numbers |= stood(log10_overlap(one), one, "overlaps", place)
    # Each burst that is joined brings three users at least who are there already.
    joined = LEAST_SHARED * (len(terms["bursts"]) - 1)
    most = sum(one["users"] for one in terms["bursts"]) - joined
    every = [value for place, value in numbers.items() if place[-1] == "log10_q"]
    return numbers | {OF_SET: max(every) if users <= most else 0.0}


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
    rows = []
    for mine in found.companies():
        users, value = found.of_company(mine)
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
) -> tuple[Ints, Floats, list[tuple[int, Terms]]]:
    """Which of the chosen bursts share users beyond chance, and the q of what holds them together.

    Returns:
        `Gatherings.company`, `Gatherings.log10_q` and `Gatherings.joined`.
    """
    every = overlaps(bursts)
    place = np.full(len(bursts), -1, dtype=np.int64)
    place[chosen] = np.arange(len(chosen))
    both = np.flatnonzero((place[every.one] >= 0) & (place[every.other] >= 0))
    one, other = place[every.one[both]], place[every.other[both]]
    tests = max(len(chosen) * (len(chosen) - 1) / 2, 1.0)
    q = log10_q(every.log10_p[both], tests)
    held = np.flatnonzero(q <= log10_rate)
    company = linked_components(len(chosen), one[held], other[held]).astype(np.int64)
    weakest = log10_q_alone.copy()
    for ends in (one, other):
        np.maximum.at(weakest, ends[held], q[held])
    stands = zip(held.tolist(), standing(every.log10_p[both], tests, held), strict=True)
    joined = [
        (int(one[at]), every.terms(both[at]) | {"shared": int(every.shared[both[at]])} | stand)
        for at, stand in stands
    ]
    return company, weakest, joined


def _given_ages(
    bursts: Bursts, chosen: Ints, touches: tuple[Ints, Ints], null: TimingNull, window: int
) -> Floats:
    """Users expected around a member of each burst: of all on its object, by their ages.

    Which member is given may be chosen, so it is the one with most company.
    """
    _, company, mine = _by_class(bursts, chosen, touches, null, window)
    return np.array([each[classes].max() for each, classes in zip(company, mine, strict=True)])


def _others(
    bursts: Bursts, chosen: Ints, touches: tuple[Ints, Ints], null: TimingNull, window: int
) -> list[Terms]:
    """Of each burst, users beside the given member by class of age, and how often each meets him.

    As many `others` times their `rates` as `_given_ages` expects.
    """
    counts, company, mine = _by_class(bursts, chosen, touches, null, window)
    terms: list[Terms] = []
    for all_users, each, classes in zip(counts, company, mine, strict=True):
        given = classes[each[classes].argmax()]
        others = all_users - (np.arange(len(all_users)) == given)
        held = np.flatnonzero(others)
        rates = null.rate[window][held, given]
        terms.append({"others": others[held].tolist(), "rates": rates.tolist()})
    return terms


def _by_class(
    bursts: Bursts, chosen: Ints, touches: tuple[Ints, Ints], null: TimingNull, window: int
) -> tuple[Ints, Floats, list[Ints]]:
    """Of each burst, users of its object by class, who comes to one of each, and its own classes.

    Returns:
        Counts and company, himself left out, shape [chosen, classes], and classes of the users.
    """
    rate = null.rate[window]
    objects, row = np.unique(bursts.object[chosen], return_inverse=True)
    held = np.flatnonzero(np.isin(touches[0], objects))
    place = np.searchsorted(objects, touches[0][held]) * len(rate)
    place += null.classes(touches[0][held], touches[1][held])
    counts = np.bincount(place, minlength=len(objects) * len(rate)).reshape(-1, len(rate))
    company = counts @ rate - np.diag(rate)
    mine = []
    for burst in chosen.tolist():
        times = bursts.time_us[bursts.start[burst] : bursts.start[burst + 1]]
        mine.append(null.classes(np.full(len(times), bursts.object[burst]), times))
    return counts[row], company[row], mine


def _given_sides(bursts: Bursts, chosen: Ints, touches: tuple[Ints, Ints], window_us: int) -> Ints:
    """Users of each burst's object in the SIDE windows before it and after, shape [2, chosen]."""
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
    sides: Ints = np.stack([before, after])
    return sides

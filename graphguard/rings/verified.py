"""Nominated pairs of users, compared act by act on the objects where only a sample was paired."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphguard.graph.order import order_by, order_of
from graphguard.graph.ranges import ranges
from graphguard.rings.meetings import (
    Acts,
    Meetings,
    blocks_of,
    joined,
    nearest_meetings,
    single_meetings,
)

Ints = NDArray[np.int64]
LOOKED_UP_AT_ONCE = 1 << 18
MOST_SPANS = 1 << 30
"""Spans of time into which all acts fall."""


def verified(loud: Acts, pairs: Ints, window_us: int) -> Meetings:
    """Meetings of some pairs, within a window.

    Args:
        loud: Acts in order.
        pairs: Users of each pair, shape [2, num_pairs].
        window_us: Largest gap, inclusive.

    Cost: a lookup for each object of the one of a pair who came to fewer, and two for each of his
        acts where the other was too.
    """
    asked = np.zeros(int(max(loud.user.max(initial=0), pairs.max(initial=0))) + 1, dtype=np.bool_)
    asked[pairs[0]] = asked[pairs[1]] = True
    runs = _Runs.of(loud[asked[loud.user]], window_us, len(asked))
    once: list[Meetings] = []
    several: list[Meetings] = []
    for one, other in runs.near(pairs, window_us):
        times = runs.acts.time_us
        later = times[other] >= times[one]
        met = Meetings(runs.acts, np.where(later, one, other), np.where(later, other, one))
        for part, kept in zip(single_meetings(met, runs.again), (once, several), strict=True):
            kept.append(part)
    return joined(runs.acts, [*once, nearest_meetings(joined(runs.acts, several))])


@dataclass(frozen=True)
class _Runs:
    """Acts by user, object and time; those of a user on an object are a run.

    Attributes:
        acts: The acts.
        starts: Where each run begins, and at last the number of acts.
        line: User and object of each run in one number, ascending.
        thing: Object of each run, of `things` in all.
        things: Number of objects.
        begins: First run of each user, and at last the number of runs.
        span: Number of the span of time of each act.
        spans: Run and span of each act in one number, ascending.
        most: A run's number is times this in `spans`.
        again: Whether an act is one of several of its run, shape [num_acts].
    """

    acts: Acts
    starts: Ints
    line: Ints
    thing: Ints
    things: int
    begins: Ints
    span: NDArray[np.int32]
    spans: Ints
    most: int
    again: NDArray[np.bool_]

    @classmethod
    def of(cls, acts: Acts, window_us: int, num_users: int) -> "_Runs":
        thing = np.zeros(len(acts), dtype=np.int32)
        np.cumsum(acts.object[1:] != acts.object[:-1], out=thing[1:])
        order = order_of(acts.user)
        acts, thing = acts[order], thing[order]
        del order
        new = np.ones(len(acts), dtype=np.bool_)
        new[1:] = (acts.user[1:] != acts.user[:-1]) | (thing[1:] != thing[:-1])
        starts = np.append(np.flatnonzero(new), len(acts))
        user, thing = acts.user[starts[:-1]], thing[starts[:-1]].astype(np.int64)
        things = int(thing.max(initial=0)) + 1
        low = int(acts.time_us.min()) if len(acts) else 0
        wide = max(window_us, int(acts.time_us.max(initial=low) - low) // MOST_SPANS, 1)
        # One before all, and one after: who looks for neighbours stays within the run.
        span = ((acts.time_us - low) // wide + 1).astype(np.int32)
        most = int(span.max(initial=0)) + 2
        run = np.cumsum(new, dtype=np.int64)
        run -= 1
        again = (np.diff(starts) > 1)[run]
        run *= most
        run += span
        return cls(
            acts,
            starts,
            user.astype(np.int64) * things + thing,
            thing,
            things,
            np.concatenate([[0], np.cumsum(np.bincount(user, minlength=num_users))]),
            span,
            run,
            most,
            again,
        )

    def near(self, pairs: Ints, window_us: int) -> Iterator[tuple[Ints, Ints]]:
        """Acts of both users of a pair on one object within the window, some at a time."""
        held = np.diff(self.begins)
        one, other = pairs
        one, other = np.where(held[one] <= held[other], [one, other], [other, one])
        # What is looked up together lies together.
        order = order_by(other, one)
        one, other = one[order], other[order]
        number = held[one]
        for block in blocks_of(number, LOOKED_UP_AT_ONCE):
            begin = self.begins[one[block]]
            mine = ranges(begin, begin + number[block])
            wanted = np.repeat(other[block], number[block]) * self.things + self.thing[mine]
            at = np.minimum(np.searchsorted(self.line, wanted), len(self.line) - 1)
            both = self.line[at] == wanted
            yield from self._near(mine[both], at[both], window_us)

    def _near(self, mine: Ints, theirs: Ints, window_us: int) -> Iterator[tuple[Ints, Ints]]:
        size = self.starts[mine + 1] - self.starts[mine]
        for block in blocks_of(size, LOOKED_UP_AT_ONCE):
            begin = self.starts[mine[block]]
            act = ranges(begin, begin + size[block])
            at = np.repeat(theirs[block], size[block]) * self.most + self.span[act]
            begin, end = np.searchsorted(self.spans, at - 1), np.searchsorted(self.spans, at + 2)
            one, other = np.repeat(act, end - begin), ranges(begin, end)
            near = np.abs(self.acts.time_us[other] - self.acts.time_us[one]) <= window_us
            yield one[near], other[near]

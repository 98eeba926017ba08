"""What others had done to an object before an event: counts, sums and times, exactly.

Reads arrays, writes nothing. `Others` are the other users; `before` is the row's window up to, not
including, the event's own time: [since, time). Events of one microsecond do not see each other, so
storage order cannot matter. In a log without times every event of another user counts as before.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Touches:
    """Events on objects, and which of them are asked about.

    Arrays have shape [num_events], int64, unless said otherwise.
    """

    user: Ints
    """Acting user, 0 or more."""
    object: Ints
    """Object acted on, 0 or more."""
    time_us: Ints
    asked: Ints
    """Positions of the events asked about, shape [num_asked]."""
    since_us: Ints
    """Where the history of each event asked about begins, shape [num_asked]."""
    timeless: bool = False


class ObjectHistory:
    """The history of the events asked about; every answer has shape [num_asked].

    >>> touches = Touches(
    ...     user=np.array([5, 6, 6, 7]), object=np.zeros(4, dtype=np.int64),
    ...     time_us=np.array([10, 20, 30, 40]), asked=np.array([2, 3]), since_us=np.zeros(2),
    ... )
    >>> history = ObjectHistory(touches)
    >>> history.num_users().tolist(), history.num_events().tolist()
    ([1, 2], [1, 3])
    >>> history.previous_us().tolist()
    [10, 30]

    Cost: a few sorts of num_events.
    """

    def __init__(self, touches: Touches) -> None:
        self._touches = touches
        _, code = np.unique(touches.object, return_inverse=True)
        self._times, rank = np.unique(touches.time_us, return_inverse=True)
        self._since = np.searchsorted(self._times, touches.since_us).astype(np.int64)
        width = int(touches.user.max()) + 1 if touches.user.size else 1
        pair = code.astype(np.int64) * width + touches.user
        _, own = np.unique(pair, return_inverse=True)
        self._all = _Timeline(code.astype(np.int64), rank.astype(np.int64), self._times.size)
        self._own = _Timeline(own.astype(np.int64), rank.astype(np.int64), self._times.size)

    @cached_property
    def _bounds(self) -> tuple[Ints, Ints]:
        return self._span(self._all)

    @cached_property
    def _own_bounds(self) -> tuple[Ints, Ints]:
        return self._span(self._own)

    def _span(self, line: "_Timeline") -> tuple[Ints, Ints]:
        asked = self._touches.asked
        if self._touches.timeless:
            return line.group_start[asked], line.group_end[asked]
        return line.position(asked, self._since), line.tie_start[asked]

    def num_events(self) -> Ints:
        """Events of others on the object before."""
        low, high = self._bounds
        own_low, own_high = self._own_bounds
        return np.asarray((high - low) - (own_high - own_low))

    def total(self, weight: Ints) -> Ints:
        """Sum of `weight`, shape [num_events], over others' events on the object before."""
        low, high = self._bounds
        own_low, own_high = self._own_bounds
        sums, own = self._all.running(weight), self._own.running(weight)
        return np.asarray((sums[high] - sums[low]) - (own[own_high] - own[own_low]))

    def num_users(self) -> Ints:
        """Distinct others that touched the object before."""
        low, high = self._bounds
        own_low, own_high = self._own_bounds
        # An event is a user's first of the history if the user's previous one lies before it.
        previous = self._own.previous_rank[self._all.order]
        users = count_below(previous, low, high, self._since + 1)
        if self._touches.timeless:
            firsts = self._all.running((self._own.previous_rank == 0).astype(np.int64))
            users = firsts[high] - firsts[low]
        return np.asarray(users - (own_high > own_low))

    def previous_us(self) -> Ints:
        """Time of others' last event on the object before; -1 where there is none."""
        low, high = self._bounds
        user = self._touches.user[self._all.order]
        last = np.maximum(high - 1, 0)
        # Where the last was the user itself, step to before its run of events.
        own = user[last] == self._touches.user[self._touches.asked]
        last = np.where(own, self._runs[0][last] - 1, high - 1)
        return self._time_at(last, (last >= low) & (high > low))

    def first_us(self) -> Ints:
        """Time of others' first event on the object before; -1 where there is none."""
        low, high = self._bounds
        user = self._touches.user[self._all.order]
        first = np.minimum(low, max(user.size - 1, 0))
        own = user[first] == self._touches.user[self._touches.asked]
        first = np.where(own, self._runs[1][first], low)
        return self._time_at(first, first < high)

    def first_touch(self) -> NDArray[np.bool_]:
        """Whether the event is the user's first on the object within its history's span.

        Of several first events at one time only one is marked; they are alike in all else.
        """
        low, _ = self._own_bounds
        place = self._own.place[self._touches.asked]
        return np.asarray(place == low)

    def own_first_us(self) -> Ints:
        """Time of the user's own first event on the object within the history's span."""
        low, _ = self._own_bounds
        times = self._touches.time_us[self._own.order]
        return np.asarray(times[low], dtype=np.int64)

    def own_previous_us(self) -> Ints:
        """Time of the user's own last event on the object before; -1 where there is none."""
        low, high = self._own_bounds
        times = self._touches.time_us[self._own.order]
        return np.where(high > low, times[np.maximum(high - 1, 0)], -1).astype(np.int64)

    @cached_property
    def _runs(self) -> tuple[Ints, Ints]:
        """Start and end (exclusive) of the run of events by one user on one object."""
        order = self._all.order
        user, item = self._touches.user[order], self._all.group[order]
        return _edges((np.diff(user) != 0) | (np.diff(item) != 0))

    def _time_at(self, place: Ints, there: NDArray[np.bool_]) -> Ints:
        times = self._touches.time_us[self._all.order]
        safe = np.clip(place, 0, max(times.size - 1, 0))
        return np.where(there, times[safe], -1).astype(np.int64)


class _Timeline:
    """Events sorted by (group, time); positions refer to that order."""

    def __init__(self, group: Ints, rank: Ints, num_ranks: int) -> None:
        self.group, self.rank = group, rank
        self._stride = num_ranks + 1
        key = group * self._stride + rank
        self.order: Ints = np.argsort(key, kind="stable")
        self._sorted = key[self.order]
        self.place = np.empty_like(self.order)
        self.place[self.order] = np.arange(self.order.size)

    def position(self, asked: Ints, rank: Ints) -> Ints:
        """First position in the group of each event asked about with its time rank >= `rank`."""
        wanted = self.group[asked] * self._stride + rank
        if rank.size and rank.min() == rank.max() == 0:
            return self.group_start[asked]
        return np.searchsorted(self._sorted, wanted).astype(np.int64)

    def running(self, weight: Ints) -> Ints:
        """Sums of weights before each position, shape [num_events + 1]."""
        return np.concatenate([[0], np.cumsum(weight[self.order])])

    @cached_property
    def _groups(self) -> tuple[Ints, Ints]:
        return _edges(np.diff(self.group[self.order]) != 0)

    @cached_property
    def group_start(self) -> Ints:
        """Of each event, the first position of its group."""
        return self._groups[0][self.place]

    @cached_property
    def group_end(self) -> Ints:
        """Of each event, the position after its group's last."""
        return self._groups[1][self.place]

    @cached_property
    def tie_start(self) -> Ints:
        """Of each event, the first position of its group at the event's own time."""
        return _edges(np.diff(self._sorted) != 0)[0][self.place]

    @cached_property
    def previous_rank(self) -> Ints:
        """Of each event, 1 + the time rank of the one before it in its group; 0 if it is first."""
        ranks = self.rank[self.order]
        before = np.zeros_like(ranks)
        before[1:] = ranks[:-1] + 1
        before[self._groups[0] == np.arange(ranks.size)] = 0
        return before[self.place]


def _edges(changes: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Start and end (exclusive) of the run that each of changes.size + 1 places lies in."""
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1]).astype(np.int64)
    lengths = np.diff(np.append(starts, changes.size + 1))
    return np.repeat(starts, lengths), np.repeat(starts + lengths, lengths)


def count_below(values: Ints, low: Ints, high: Ints, bound: Ints) -> Ints:
    """How many of values[low:high] are below `bound`, for many ranges at once.

    Args:
        values: Shape [n], 0 or more.
        low: First position of each range, shape [num_ranges].
        high: Position after the last of each range.
        bound: Bound of each range, 0 or more.

    Returns:
        Shape [num_ranges], int64.

    Cost: O((n + num_ranges) * bits of the largest bound), by a wavelet matrix. Where all bounds
    are one number, O(n + num_ranges).

    >>> count_below(np.array([3, 0, 2, 5]), np.array([0, 1]), np.array([4, 4]), np.array([3, 1]))
    array([2, 1])
    """
    if not values.size or not bound.size:
        return np.zeros(low.size, dtype=np.int64)
    if bound.min() == bound.max():
        below = np.concatenate([[0], np.cumsum(values < bound[0])])
        return np.asarray(below[high] - below[low], dtype=np.int64)
    bits = int(max(values.max(), bound.max())).bit_length()
    found = np.zeros(low.size, dtype=np.int64)
    for bit in reversed(range(bits)):
        is_one = (values >> bit) & 1 == 1
        zeros = np.concatenate([[0], np.cumsum(~is_one)])
        low_zeros, high_zeros = zeros[low], zeros[high]
        above = (bound >> bit) & 1 == 1
        # Where the bound has a one, every value with a zero here is below it.
        found += np.where(above, high_zeros - low_zeros, 0)
        low = np.where(above, zeros[-1] + low - low_zeros, low_zeros)
        high = np.where(above, zeros[-1] + high - high_zeros, high_zeros)
        values = np.concatenate([values[~is_one], values[is_one]])
    return found

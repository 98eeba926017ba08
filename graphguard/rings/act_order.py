"""Acts by object, time and user: in parts of whole objects, each sorted by one number."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphguard.graph.order import BITS, order_by, order_of

Ints = NDArray[np.int64]
ORDERED_AT_ONCE = 1 << 20
"""Fewer acts leave more bits of one number to their times."""


def order_of_acts(thing: NDArray[Any], time_us: NDArray[Any], user: NDArray[Any]) -> Ints:
    """Places by object, time and user.

    Args:
        thing: Object of each act, from 0, shape [num_acts].
        time_us: Its time.
        user: Its user, from 0.

    Cost: two sorts of numbers, and three of acts at one time on one object.
    """
    if len(thing) <= ORDERED_AT_ONCE:
        return _order_of_few(thing, time_us, user)
    order = order_of(thing)
    thing = thing[order]
    starts = np.flatnonzero(np.diff(thing, prepend=thing[0] - 1, append=thing[-1] + 1))
    begin = 0
    while begin < len(order):
        here, fits = np.searchsorted(starts, [begin, begin + ORDERED_AT_ONCE], side="right")
        end = int(starts[max(here, fits - 1)])
        mine = order[begin:end]
        number = np.cumsum(np.diff(thing[begin:end], prepend=thing[begin]) > 0)
        order[begin:end] = mine[_order_of_few(number, time_us[mine], user[mine])]
        begin = end
    return order


def in_order(thing: NDArray[Any], time_us: NDArray[Any], user: NDArray[Any]) -> bool:
    """Whether acts lie by object, time and user already."""
    for start in range(0, len(thing) - 1, ORDERED_AT_ONCE):
        part = slice(start, start + ORDERED_AT_ONCE + 1)
        inside: Any = True
        for each in (user[part], time_us[part], thing[part]):
            inside = (each[1:] > each[:-1]) | (each[1:] == each[:-1]) & inside
        if not inside.all():
            return False
    return True


def _order_of_few(thing: NDArray[Any], time_us: NDArray[Any], user: NDArray[Any]) -> Ints:
    """By a number of object and coarse time, then where that is equal."""
    if not len(thing):
        return np.zeros(0, dtype=np.int64)
    time_us = time_us - time_us.min()
    length = int(time_us.max()).bit_length()
    room = BITS - (len(thing) - 1).bit_length() - int(thing.max()).bit_length()
    coarse = max(length - max(room, 0), 0)
    line = thing.astype(np.int64) << (length - coarse)
    line |= time_us >> coarse
    order = order_of(line)
    line = line[order]
    same = line[1:] == line[:-1]
    if same.any():
        tied = np.flatnonzero(np.r_[False, same] | np.r_[same, False])
        found = order[tied]
        group = np.cumsum(np.diff(line[tied], prepend=line[tied[0]]) > 0)
        exact = order_by(group, time_us[found] & ((1 << coarse) - 1), user[found])
        order[tied] = found[exact]
    return order

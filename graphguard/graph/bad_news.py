"""When a row could know that bad users touch its objects: the oldest and the newest such news.

A touch by another user is news from the moment that both are there: the touch, and that its user is
known to be bad. News in [anchor - window, anchor) count. Fresh news tell of an attack that goes on,
old news alone of one that may be over.
"""

import numpy as np
from numpy.typing import NDArray

from graphguard.graph.hetero import Adjacency
from graphguard.graph.propagate import NEVER, Ints, NeighbourRows, Touches, earlier_in_order

DAY_US = 86_400_000_000.0
Ages = NDArray[np.float32]


def bad_news(
    into: Adjacency, touches: Touches, rows: NeighbourRows, window_us: int
) -> tuple[Ages, Ages]:
    """Age of the oldest and of the newest news on the objects of each row.

    Args:
        into: Object to user.
        touches: Objects of each row.
        rows: The rows, and since when each user is known to be bad.
        window_us: Length of the window.

    Returns:
        Days from the news to the row's anchor, oldest and newest, shape [n] each; NaN where there
        is none, and where the row's own user was known to be bad by then.

    Cost: a sort of the touches and of the bad users' edges.
    """
    objects = np.repeat(np.arange(into.num_rows), np.diff(into.indptr))
    since = rows.bad_since_us[np.asarray(into.neighbor, dtype=np.int64)]
    bad = np.flatnonzero(since < NEVER)
    known = np.maximum(np.asarray(into.time_us[bad], dtype=np.int64), since[bad])
    order = np.lexsort((known, objects[bad]))
    lines = (objects[bad][order], known[order])
    anchor = rows.anchor_us[touches.row]
    first = earlier_in_order(lines, touches.object, anchor - window_us)
    last = earlier_in_order(lines, touches.object, anchor)
    held = rows.bad_since_us[rows.node] < rows.anchor_us
    told = (last > first) & ~held[touches.row]
    row, count = touches.row[told], len(rows.node)
    oldest = np.full(count, NEVER, dtype=np.int64)
    newest = np.full(count, -NEVER, dtype=np.int64)
    np.minimum.at(oldest, row, lines[1][first[told]])
    np.maximum.at(newest, row, lines[1][last[told] - 1])
    return _age(rows.anchor_us, oldest, oldest < NEVER), _age(
        rows.anchor_us, newest, newest > -NEVER
    )


def _age(anchor: Ints, known: Ints, there: NDArray[np.bool_]) -> Ages:
    days = (anchor - np.where(there, known, 0)) / DAY_US
    return np.where(there, days, np.nan).astype(np.float32)

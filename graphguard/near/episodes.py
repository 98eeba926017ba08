"""Episodes: the times at which a thing was in use, apart by silence.

Reads arrays, writes nothing.
"""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def episodes(thing: Ints, time_us: Ints, quiet_us: int) -> Ints:
    """Number the episodes of things: a new one begins after more than `quiet_us` without an act.

    A text that is said again another day is another deed, while what is said all the time is one.

    Args:
        thing: What was acted on, shape [num_acts].
        time_us: When, shape [num_acts].
        quiet_us: Longest silence within an episode.

    Returns:
        Episode of each act, numbered by thing and time, shape [num_acts].

    >>> thing, time = np.array([5, 5, 5, 2]), np.array([30, 10, 14, 12])
    >>> episodes(thing, time, quiet_us=10).tolist()
    [2, 1, 1, 0]
    """
    order = np.lexsort((time_us, thing))
    ordered, times = thing[order], time_us[order]
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (ordered[1:] != ordered[:-1]) | (np.diff(times) > quiet_us)
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.cumsum(new) - 1
    return number

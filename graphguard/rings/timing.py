"""The timing test: given the objects two users both touched, how often would they meet there?

A pair's meetings are coins of the rates of `rings/timing_null.py`. What is told of a pair keeps
what the answer was made of.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.graph.ranges import ranges
from graphguard.rings.coaction import LOOKED_UP_AT_ONCE
from graphguard.rings.meetings import Acts, blocks_of
from graphguard.rings.significance import Floats, SecondTest, log10_binomial_tail
from graphguard.rings.timing_null import TimingNull


@dataclass(frozen=True)
class Common:
    """Objects that both users of a pair touched.

    Attributes:
        pair: Place of the pair, shape [num_common].
        classes: Class of the one's touch and of the other's, shape [2, num_common].
        num_pairs: Pairs that were asked.
    """

    pair: NDArray[np.int64]
    classes: NDArray[np.int8]
    num_pairs: int


def common_touches(acts: Acts, pairs: pl.DataFrame, null: TimingNull) -> Common:
    """What both users of each pair touched, whenever.

    Args:
        acts: All events of the trace.
        pairs: `user_a`, `user_b`.
        null: Knows the classes of touches.

    Cost: one lookup for each touch of the one of a pair who has fewer; memory ten bytes a common
        object.
    """
    first = _touches_of(acts.first_touches, pairs)
    line = first.user.astype(np.int64) << 32 | first.object
    ends = np.stack([pairs.get_column(name).to_numpy() for name in ("user_a", "user_b")])
    begin = np.searchsorted(line, ends << 32)
    number = np.searchsorted(line, (ends + 1) << 32) - begin
    fewer = (number[1] < number[0]).astype(np.int64)
    place = np.arange(len(pairs))
    begin, number, other = begin[fewer, place], number[fewer, place], ends[1 - fewer, place]
    found, classes = [place[:0]], [np.zeros((2, 0), dtype=np.int8)]
    for block in blocks_of(number, LOOKED_UP_AT_ONCE):
        one = ranges(begin[block], begin[block] + number[block])
        wanted = np.repeat(other[block], number[block]) << 32 | first.object[one]
        at = np.minimum(np.searchsorted(line, wanted), len(line) - 1)
        both = line[at] == wanted
        found.append(np.repeat(place[block], number[block])[both])
        each = (null.classes(first.object[of], first.time_us[of]) for of in (one[both], at[both]))
        classes.append(np.stack(list(each)).astype(np.int8))
    return Common(np.concatenate(found), np.concatenate(classes, axis=1), len(pairs))


def timing_test(
    common: Common, weights: NDArray[np.int64], window: int, null: TimingNull
) -> SecondTest:
    """Test pairs that met on `weights` objects within a window, given all that both touched.

    Args:
        common: Of the pairs to test (those that passed the first test).
        weights: Objects on which each pair met within the window.
        window: Which of the null's windows.
        null: Pooled rates.

    Returns:
        The number of meetings is a sum of unlike coins; above the mean its tail is bounded from
        above by that of as many like ones (Hoeffding 1956).
    """
    chance = null.rate[window, common.classes[0], common.classes[1]]
    expected: Floats = np.bincount(common.pair, chance, common.num_pairs).astype(np.float64)
    together = np.bincount(common.pair, minlength=common.num_pairs)
    return SecondTest(together, expected, log10_binomial_tail(weights, together, expected))


def _touches_of(first: Acts, pairs: pl.DataFrame) -> Acts:
    """The touches of users that are in some pair: few of all."""
    asked = np.zeros(int(first.user.max(initial=-1)) + 1, dtype=np.bool_)
    for name in ("user_a", "user_b"):
        asked[pairs.get_column(name).to_numpy()] = True
    return first[asked[first.user]]

"""The timing test: given the objects two users both touched, how often would they meet there?

A pair's meetings are coins of the rates of `rings/timing_null.py`. What is told of a pair keeps
what the answer was made of.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.graph.ranges import ranges
from graphguard.rings.meetings import Acts, blocks_of
from graphguard.rings.significance import Floats, SecondTest
from graphguard.rings.timing_null import TimingNull
from graphguard.rings.unlike_coins import log10_coins_tail
from graphguard.rings.verified import LOOKED_UP_AT_ONCE

CERTAIN = 1 - 1e-15
"""No rate is taken to be more certain, or its logarithm would be none."""


@dataclass(frozen=True)
class Common:
    """Objects that both users of a pair touched.

    Attributes:
        pair: Place of the pair, shape [num_common].
        common: Place of the common object, shape [num_touches]: both users' touches of one class
            and another, of one object once or more often.
        classes: Class of the one's touch and of the other's, shape [2, num_touches].
        times: Pairs of acts of these classes, shape [num_touches].
        num_pairs: Pairs that were asked.
    """

    pair: NDArray[np.int64]
    common: NDArray[np.int64]
    classes: NDArray[np.int8]
    times: NDArray[np.int64]
    num_pairs: int

    def chance(self, null: TimingNull, windows: NDArray[np.int64]) -> Floats:
        """Chance of meeting on each common object within the window of its pair.

        Args:
            null: Pooled rates.
            windows: Which of its windows, shape [num_pairs].

        Returns:
            Shape [num_common]: that any of the one's acts meets any of the other's.
        """
        rate = null.rate[windows[self.pair[self.common]], self.classes[0], self.classes[1]]
        if len(rate) == len(self.pair) and (self.times == 1).all():
            return np.asarray(rate, dtype=np.float64)
        never = self.times * np.log1p(-np.minimum(rate, CERTAIN))
        return -np.expm1(np.bincount(self.common, never, len(self.pair)))


def common_touches(acts: Acts, pairs: pl.DataFrame, null: TimingNull) -> Common:
    """What both users of each pair touched, whenever.

    Args:
        acts: All events of the trace.
        pairs: `user_a`, `user_b`.
        null: Knows the classes of touches.

    Cost: one lookup for each touch of the one of a pair who has fewer; memory thirty bytes a common
        object.
    """
    touches = null.touches(_acts_of(acts, pairs))
    line, start = np.unique(touches.key, return_index=True)
    size = np.diff(start, append=len(touches))
    ends = np.stack([pairs.get_column(name).to_numpy() for name in ("user_a", "user_b")])
    begin = np.searchsorted(line, ends << 32)
    number = np.searchsorted(line, (ends + 1) << 32) - begin
    fewer = (number[1] < number[0]).astype(np.int64)
    place = np.arange(len(pairs))
    begin, number, other = begin[fewer, place], number[fewer, place], ends[1 - fewer, place]
    found = [np.zeros((3, 0), dtype=np.int64)]
    for block in blocks_of(number, LOOKED_UP_AT_ONCE):
        one = ranges(begin[block], begin[block] + number[block])
        wanted = np.repeat(other[block], number[block]) << 32 | line[one] & (2**32 - 1)
        at = np.minimum(np.searchsorted(line, wanted), len(line) - 1)
        both = line[at] == wanted
        found.append(np.stack([np.repeat(place[block], number[block]), one, at])[:, both])
    pair, one, at = np.concatenate(found, axis=1)
    # Every touch of the one with every touch of the other.
    each = size[one] * size[at]
    common = np.repeat(np.arange(len(pair)), each)
    turn = ranges(np.zeros_like(each), each)
    mine = start[one][common] + turn // size[at][common]
    theirs = start[at][common] + turn % size[at][common]
    classes = np.stack([touches.classes[mine], touches.classes[theirs]])
    times = touches.acts[mine].astype(np.int64) * touches.acts[theirs]
    return Common(pair, common, classes, times, len(pairs))


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
        The number of meetings is one of heads of unlike coins, one for each common object.
    """
    chance = common.chance(null, np.full(common.num_pairs, window))
    expected: Floats = np.bincount(common.pair, chance, common.num_pairs).astype(np.float64)
    together = np.bincount(common.pair, minlength=common.num_pairs)
    return SecondTest(together, expected, log10_coins_tail(weights, common.pair, chance))


def chances_of(common: Common, windows: NDArray[np.int64], null: TimingNull) -> pl.Series:
    """Chance of meeting on each common object, within the window of the pair.

    Args:
        common: Of all pairs.
        windows: Which of the null's windows, -1 for a pair that is not asked; shape [num_pairs].
        null: Pooled rates.

    Returns:
        List of each pair, ascending; null where it was not asked.
    """
    asked = windows[common.pair] >= 0
    pair, chance = common.pair[asked], common.chance(null, windows)[asked]
    order = np.lexsort((chance, pair))
    # Not by Arrow: of an array of NumPy's it would ask pandas, and import it.
    told = pl.DataFrame({"pair": pair[order], "chances": chance[order]})
    lists = told.group_by("pair", maintain_order=True).agg("chances")
    every = pl.DataFrame({"pair": np.arange(common.num_pairs), "asked": windows >= 0})
    found = every.join(lists, on="pair", how="left", maintain_order="left")
    none = pl.lit([], dtype=pl.List(pl.Float64))
    return found.select(
        pl.when("asked").then(pl.col("chances").fill_null(none)).alias("chances")
    ).to_series()


def _acts_of(acts: Acts, pairs: pl.DataFrame) -> Acts:
    """The acts of users that are in some pair: few of all."""
    asked = np.zeros(int(acts.user.max(initial=-1)) + 1, dtype=np.bool_)
    for name in ("user_a", "user_b"):
        asked[pairs.get_column(name).to_numpy()] = True
    return acts[asked[acts.user]]

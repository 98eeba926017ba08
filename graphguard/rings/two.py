"""Two users alone: a ring by what they did together, never by what they share.

Who shares a device and an address may be one household, and of a platform's pairs that stand out
by sharing most are. Two who act on the same objects within seconds, time after time, are not
explained by a home. No third user confirms the two, so the pair has to be a discovery by such acts
alone, at the night's alpha over all pairs; a part of a larger set that came apart is not.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.rings.evidence import SETS, SHARED

Ints = NDArray[np.int64]


def without_homes(
    groups: list[Ints], links: pl.DataFrame, num_pairs: float, alpha: float
) -> list[Ints]:
    """Leave out the groups of two that their acts in time do not tell.

    Args:
        groups: Dense users of each group, sorted.
        links: One row a pair and channel: `user_a`, `user_b`, `channel`, `log10_p`.
        num_pairs: All pairs of users.
        alpha: Chance that one of all pairs is told though no two act together.

    Returns:
        The groups that are left, in their order.
    """
    channel = pl.col("channel")
    acts = links.filter(~channel.str.contains(SETS) & ~channel.str.starts_with(SHARED))
    tests = num_pairs * max(acts.get_column("channel").n_unique(), 1)
    told = acts.filter(pl.col("log10_p") <= np.log10(alpha) - np.log10(max(tests, 1.0)))
    pairs = set(told.select("user_a", "user_b").iter_rows())
    return [group for group in groups if len(group) > 2 or (group[0], group[1]) in pairs]

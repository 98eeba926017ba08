"""Do rings come out at their own size: ten thousand small ones, and ten large ones?

Links are drawn: nine of ten pairs within a ring, and chance links between users of all rings.
"""

import time
from typing import Any

import numpy as np
from result import say
from ring_truth import ring_figures

from graphguard.rings.grouping import GroupRules, Links, find_groups

USERS, DENSE, CHANCE = 200_000, 0.9, 0.1
"""Share of pairs linked within a ring, and chance links for each user."""
SIZES = ((20, 10_000), (2_000, 10))
"""Size and number of rings."""


def sizes() -> dict[str, Any]:
    """Median size and rings found, for each size of ring."""
    say("| rings planted | of | told | median size | largest | found | seconds |")
    say("|---|---|---|---|---|---|---|")
    figures: dict[str, Any] = {}
    for size, number in SIZES:
        links = planted(size, number)
        start = time.perf_counter()
        groups = find_groups(links, GroupRules())
        seconds = time.perf_counter() - start
        told = np.array([len(group) for group in groups])
        rings = [group.tolist() for group in groups]
        _, found, true = ring_figures(rings, _truth(size, number))
        say(
            f"| {true:,} | {size:,} | {len(told):,} | {np.median(told):.0f} | {told.max():,} | "
            f"{found:,} | {seconds:.1f} |"
        )
        figures[f"median_size_of_{size}"] = float(np.median(told))
        figures[f"found_of_{size}"] = round(found / true, 4)
    return figures


def planted(size: int, number: int) -> Links:
    """Links of USERS users, of whom the first are in rings."""
    rng = np.random.default_rng(size)
    one, other = np.triu_indices(size, 1)
    first = np.arange(0, number * size, size)
    a, b = (np.add.outer(first, side).ravel() for side in (one, other))
    kept = rng.random(len(a)) < DENSE
    stray = np.sort(rng.integers(0, USERS, (2, int(CHANCE * USERS))), axis=0)
    stray = stray[:, stray[0] < stray[1]]
    keys = np.unique(
        np.concatenate([a[kept], stray[0]]) << 32 | np.concatenate([b[kept], stray[1]])
    )
    return Links(keys >> 32, keys & (2**32 - 1), rng.uniform(20, 200, len(keys)))


def _truth(size: int, number: int) -> np.ndarray:
    ring = np.arange(USERS) // size
    return np.where(ring < number, ring, -1)

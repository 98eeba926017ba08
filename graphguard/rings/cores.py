"""Cores of weak links: users tied to one another by links none of which is a discovery.

A ring that acts over a day leaves pairs that share two to five posts more than their interests
explain: unlikely each, and not unlikely among all pairs of users. But links that come by chance lie
apart: where a user has a twentieth of one on average, fifteen users whom they connect are no
chance. The expected number of sets of k users that chance connects is at most that of trees on
them, C(U, k) * k**(k - 2) * share**(k - 1), which holds though one coincidence of several users
makes several links. What hangs on a set by one or two links may be chance, so only its core counts.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import gammaln

from graphguard.graph.components import linked_components
from graphguard.rings.set_terms import OF_SET, Numbers, Terms, ToldSet
from graphguard.rings.significance import LN10, all_pairs

Ints = NDArray[np.int64]
WEAK = -3.5
"""log10 p from which on a link counts."""
TIES = 3
"""Links that a member of a core has to others of it: four users at least."""


def core_links(
    links: pl.DataFrame, num_users: int, log10_rate: float, level: tuple[float, int] = (WEAK, 0)
) -> pl.DataFrame:
    """The links inside cores of sets that chance would not connect.

    Args:
        links: `user_a`, `user_b`, `log10_p` of one channel, each pair once.
        num_users: Active users.
        log10_rate: log10 of the expected number of false sets of a size.
        level: log10 p from which on a link counts, and how many of these are known to be no chance.

    Returns:
        The rows of `links` of these pairs, in their order, with `log10_q`: the expected number of
        sets as large by chance, `part`: a number of the set, and `connected`: its users.

    Cost: O(links) a round, few rounds.
    """
    weak, known = level
    counted = links.filter(pl.col("log10_p") <= weak)
    first, second = (counted.get_column(name).to_numpy() for name in ("user_a", "user_b"))
    users, place = np.unique(np.concatenate([first, second]), return_inverse=True)
    one, other = place[: len(first)], place[len(first) :]
    part = linked_components(len(users), one, other)
    sizes = np.bincount(part)
    chance = log10_connected(sizes, (len(first), known), num_users)
    inside = in_core(one, other, len(users), TIES) & (chance[part[one]] <= log10_rate)
    columns = [
        pl.Series("log10_q", np.minimum(chance[part[one]], 0.0)),
        pl.Series("part", part[one].astype(np.int64)),
        pl.Series("connected", sizes[part[one]].astype(np.int64)),
    ]
    return counted.drop("log10_q", strict=False).with_columns(columns).filter(pl.Series(inside))


def told_cores(core: pl.DataFrame, weak_links: int, num_users: int) -> list[ToldSet]:
    """The sets whose cores these links are, one by one.

    Args:
        core: Of `core_links` with no known links.
        weak_links: Links that counted.
        num_users: Active users.
    """
    told = []
    for mine in core.partition_by("part", maintain_order=True):
        ends = np.concatenate([mine.get_column(name).to_numpy() for name in ("user_a", "user_b")])
        size, log10_q = mine.select("connected", "log10_q").row(0)
        terms: Terms = {"links": weak_links, "known": 0, "users": num_users}
        told.append(ToldSet("core", np.unique(ends), np.zeros(0, np.int64), size, log10_q, terms))
    return told


def core_numbers(users: int, terms: Mapping[str, Any]) -> Numbers:
    """What the terms of `told_cores` say of so many users whom weak links connect."""
    links = (terms["links"], terms["known"])
    chance = log10_connected(np.array([users]), links, terms["users"])
    return {OF_SET: min(float(chance[0]), 0.0)}


def log10_connected(sizes: Ints, links: tuple[int, int], num_users: int) -> NDArray[np.float64]:
    """As `log10_sets`, where so many links count, of which so many are known to be no chance."""
    share = max(links[0] - links[1], 1) / all_pairs(num_users)
    return log10_sets(sizes, share, num_users)


def log10_sets(sizes: Ints, share: float, num_users: int) -> NDArray[np.float64]:
    """log10 of the expected number of connected sets of each size by chance, at most.

    Args:
        sizes: Users of each set, 1 or more.
        share: Share of all pairs of users that are linked.
        num_users: Users.

    >>> np.round(log10_sets(np.array([3]), 1e-6, 1_000), 2).tolist()
    [-3.3]
    """
    k, n = sizes.astype(np.float64), float(num_users)
    choices = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    trees = (k - 2) * np.log(k) + (k - 1) * np.log(max(share, 1e-300))
    expected: NDArray[np.float64] = (choices + trees) / LN10
    return expected


def in_core(one: Ints, other: Ints, num_users: int, ties: int) -> NDArray[np.bool_]:
    """Which links lie in the core: the largest part whose users have so many links in it each.

    >>> in_core(np.array([0, 0, 1, 2]), np.array([1, 2, 2, 3]), 4, ties=2).tolist()
    [True, True, True, False]
    """
    kept = np.ones(len(one), dtype=np.bool_)
    while True:
        ends = np.concatenate([one[kept], other[kept]])
        held = np.bincount(ends, minlength=num_users) >= ties
        left = kept & held[one] & held[other]
        if left.sum() == kept.sum():
            return kept
        kept = left

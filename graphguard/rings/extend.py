"""Add to a group the users that weaker links point at, and something else confirms.

A link had to stand out among all pairs of users. Beside a group that is known, it has only to stand
out among users times groups: a user joins if its strongest link to the group does, and another
member is linked with it too. A weak link is one of thousands by chance, and like users are not
therefore in league; but a user also joins if weak links tie it to two members or more, and the
embedding has two members or more among its mutual neighbours.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

LEAST_TIES = 2
NEAR = -2.0
"""Neighbours count if at most one random pair in a hundred is as similar."""


def extend_groups(
    groups: list[NDArray[np.int64]], links: pl.DataFrame, near: pl.DataFrame, log10_enough: float
) -> list[NDArray[np.int64]]:
    """Extend each group once.

    Args:
        groups: Members of each group, dense indices; no user in two.
        links: `user_a`, `user_b`, `log10_p` of all kept links, weak ones too.
        near: `user_a`, `user_b`, `log10_p` of mutual embedding neighbours.
        log10_enough: `log10_p` with which a link stands out for one user and one group; the number
            of groups is allowed for here.

    Returns:
        The groups with those who join, sorted; a user named by several joins the one with most
        ties, then the first.
    """
    if not groups:
        return groups
    members = pl.DataFrame(
        {
            "group": np.repeat(np.arange(len(groups)), [len(group) for group in groups]),
            "member": np.concatenate(groups),
        }
    )
    strong = pl.col("best") <= log10_enough - np.log10(len(groups))
    close_enough = pl.col("near") >= LEAST_TIES
    tied = _ties(links, members).rename({"ties": "links"})
    close = _ties(near.filter(pl.col("log10_p") <= NEAR), members).rename({"ties": "near"})
    joining = (
        tied.join(close.drop("best"), on=["user", "group"], how="left")
        .with_columns(pl.col("near").fill_null(0))
        .filter((pl.col("links") >= LEAST_TIES) & (strong | close_enough))
        .sort(["user", "links", "near", "group"], descending=[False, True, True, False])
        .unique("user", keep="first", maintain_order=True)
    )
    added: dict[int, list[int]] = {}
    for user, group in joining.select("user", "group").iter_rows():
        added.setdefault(group, []).append(user)
    return [
        np.sort(np.concatenate([group, np.array(added.get(number, []), dtype=np.int64)]))
        for number, group in enumerate(groups)
    ]


def _ties(pairs: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
    """What pairs each outsider with each group: `user, group, ties, best`.

    `ties` counts distinct members, `best` is the least `log10_p`.
    """
    both = pl.concat(
        [
            pairs.select(pl.col(one).alias("user"), pl.col(other).alias("member"), "log10_p")
            for one, other in (("user_a", "user_b"), ("user_b", "user_a"))
        ]
    )
    inside = members.select(pl.col("member").alias("user"))
    return (
        both.join(inside, on="user", how="anti")
        .join(members, on="member", how="inner")
        .group_by("user", "group")
        .agg(pl.col("member").n_unique().alias("ties"), pl.col("log10_p").min().alias("best"))
    )

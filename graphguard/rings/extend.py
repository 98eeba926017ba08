"""Add to a group the users that weaker links and the embedding both point at.

Neither says enough alone: a weak link is one of thousands by chance, and like users are not
therefore in league. A user joins a group if a kept link ties it to two members or more, and the
embedding has two members or more among its mutual neighbours.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

LEAST_TIES = 2
NEAR = -2.0
"""Neighbours count if at most one random pair in a hundred is as similar."""


def extend_groups(
    groups: list[NDArray[np.int64]], links: pl.DataFrame, near: pl.DataFrame
) -> list[NDArray[np.int64]]:
    """Extend each group once.

    Args:
        groups: Members of each group, dense indices; no user in two.
        links: `user_a`, `user_b` of all kept links, weak ones too.
        near: `user_a`, `user_b`, `log10_p` of mutual embedding neighbours.

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
    tied = _ties(links, members).rename({"ties": "links"})
    close = _ties(near.filter(pl.col("log10_p") <= NEAR), members).rename({"ties": "near"})
    joining = (
        tied.join(close, on=["user", "group"], how="inner")
        .filter((pl.col("links") >= LEAST_TIES) & (pl.col("near") >= LEAST_TIES))
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
    """Distinct members of each group that each outsider is paired with: `user`, `group`, `ties`."""
    both = pl.concat(
        [
            pairs.select(pl.col(one).alias("user"), pl.col(other).alias("member"))
            for one, other in (("user_a", "user_b"), ("user_b", "user_a"))
        ]
    ).unique()
    inside = members.select(pl.col("member").alias("user"))
    return (
        both.join(inside, on="user", how="anti")
        .join(members, on="member", how="inner")
        .group_by("user", "group")
        .agg(pl.len().alias("ties"))
    )

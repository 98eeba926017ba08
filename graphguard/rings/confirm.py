"""Links that confirm one another: between users whom discoveries connect, weaker links count too.

A discovery has to stand out among all pairs of users. Once discoveries connect some users, a pair
of these has to stand out among their own pairs only. So a ring whose strongest pairs happen to
form a star is still seen to be dense, while the guests of one busy user are not.
"""

import numpy as np
import polars as pl

from graphguard.graph.components import linked_components

PAIR = ["user_a", "user_b"]


def confirmed_links(links: pl.DataFrame, rate: float) -> pl.DataFrame:
    """Discoveries, and the links that stand out among the pairs of users they connect.

    Args:
        links: All kept links, one row a pair and channel: `user_a`, `user_b`, `channel`,
            `log10_p`, `log10_q`.
        rate: Highest q of a discovery, and highest expected number of false confirmations in a
            connected component.

    Returns:
        The rows of `links` of these pairs, in their order.
    """
    known = links.filter(pl.col("log10_q") <= np.log10(rate))
    if not known.height:
        return known
    sides = [known.get_column(name).to_numpy() for name in PAIR]
    users, places = np.unique(np.concatenate(sides), return_inverse=True)
    component = linked_components(len(users), *np.split(places, 2))
    size = np.bincount(component)[component].astype(np.int64)
    home = pl.DataFrame({"user": users, "component": component, "size": size})
    channels = links.get_column("channel").n_unique()
    pairs = (
        links.group_by(PAIR)
        .agg(pl.col("log10_p").min(), pl.col("log10_q").min())
        .join(home.rename({"user": "user_a"}), on="user_a", how="inner")
        .join(home.rename({"user": "user_b"}), on="user_b", how="inner", suffix="_b")
        .filter(pl.col("component") == pl.col("component_b"))
    )
    tests = channels * pl.col("size") * (pl.col("size") - 1) / 2
    stands_out = pl.col("log10_p") <= np.log10(rate) - tests.log10()
    chosen = pairs.filter((pl.col("log10_q") <= np.log10(rate)) | stands_out)
    return links.join(chosen.select(PAIR), on=PAIR, how="semi", maintain_order="left")

"""The group around each user: how large it is, and how its members hang together."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.rings.confirm import confirmed_links
from graphguard.rings.extend import extend_groups
from graphguard.rings.fusion import pair_bits
from graphguard.rings.grouping import GroupRules, Links, find_groups

NO_NEIGHBOURS = {"user_a": pl.Int64, "user_b": pl.Int64, "log10_p": pl.Float64}


def groups_around(
    links: pl.DataFrame, num_users: int, rate: float, rules: GroupRules
) -> pl.DataFrame:
    """Group users by links alone, as rings are, and say what each user has in its group.

    Args:
        links: `user_a`, `user_b` (dense), `channel`, `log10_p`, `log10_q`, `bits`, one row a pair
            and channel; weak ones too.
        num_users: Users that could have been linked.
        rate: Highest q of a discovery.
        rules: What counts as a group.

    Returns:
        One row a user in a group, sorted by user: `user`; `group`, its number; `size`, users of the
        group; `ties`, members whom strong links tie to the user, and `tie_bits`, their evidence, 0
        for who was added by weaker ones; `density`, share of the group's pairs that are linked;
        `bits_each`, evidence within the group by member.

    Cost: O(links log links).
    """
    strong = pair_bits(confirmed_links(links, rate))
    first, second, bits = (strong.get_column(name).to_numpy() for name in strong.columns)
    groups = find_groups(Links(first, second, bits), rules)
    tests = max(num_users * links.get_column("channel").n_unique(), 1)
    enough = float(np.log10(rate / tests))
    groups = extend_groups(groups, links, pl.DataFrame(schema=NO_NEIGHBOURS), enough)
    return _told(groups, strong)


def _told(groups: list[NDArray[np.int64]], strong: pl.DataFrame) -> pl.DataFrame:
    """What `groups_around` returns, of groups and of the links they were made from."""
    sizes = [len(group) for group in groups]
    members = pl.DataFrame(
        {
            "user": np.concatenate(groups) if groups else np.zeros(0, dtype=np.int64),
            "group": np.repeat(np.arange(len(groups)), sizes),
            "size": np.repeat(np.array(sizes, dtype=np.float64), sizes),
        }
    )
    home = members.select("user", "group")
    inside = strong.join(home.rename({"user": "user_a"}), on="user_a").join(
        home.rename({"user": "user_b"}), on=["user_b", "group"]
    )
    ends = pl.concat(
        [inside.select(pl.col(end).alias("user"), "bits") for end in ("user_a", "user_b")]
    )
    own = ends.group_by("user").agg(
        pl.len().cast(pl.Float64).alias("ties"), pl.col("bits").sort().sum().alias("tie_bits")
    )
    whole = inside.group_by("group").agg(
        pl.len().alias("links"), pl.col("bits").sort().sum().alias("all_bits")
    )
    told = members.join(own, on="user", how="left").join(whole, on="group", how="left")
    pairs = pl.col("size") * (pl.col("size") - 1) / 2
    return told.select(
        "user",
        "group",
        "size",
        pl.col("ties").fill_null(0.0),
        pl.col("tie_bits").fill_null(0.0),
        (pl.col("links") / pairs).alias("density"),
        (pl.col("all_bits") / pl.col("size")).alias("bits_each"),
    ).sort("user")

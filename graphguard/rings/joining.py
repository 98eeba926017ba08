"""Users outside of all rings who join one by what they did on its own objects.

Two tests ask for them: who is known to be bad (`rings/known.py`), and who came beside a ring when
strangers do not (`rings/beside.py`). What they share is here: who came to what, what is a ring's
own, and the links of those who join with all of the ring who are on the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

Ints = NDArray[np.int64]

LEAST_MEMBERS = 3
"""Members of a ring on an object of its own."""
NEAR = {
    "channel": pl.String,
    "group": pl.Int64,
    "user": pl.Int64,
    "object": pl.Int64,
    "log10_q": pl.Float64,
}
"""Who joins which group by coming to which object."""


@dataclass(frozen=True)
class Visits:
    """Who came to what in a channel: each user and object once, shape [num_visits].

    Attributes:
        channel: Its name.
        user: Dense index of the user.
        object: Index of the object.
        time_us: When the user first came; all one where time says nothing.
        reach_us: How far from a member's visit an outsider's counts.
    """

    channel: str
    user: Ints
    object: Ints
    time_us: Ints
    reach_us: int


def homes(groups: Sequence[Ints], users: Ints) -> Ints:
    """Number of each user's group, -1 where it has none; as long as the largest user asks."""
    members = np.concatenate([np.zeros(0, dtype=np.int64), *groups])
    size = int(max(members.max(initial=-1), users.max(initial=-1))) + 1
    home = np.full(size, -1, dtype=np.int64)
    home[members] = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    return home


def came(visits: Visits, home: Ints) -> pl.DataFrame:
    """Visits to what a member of any group came to: `user`, `object`, `time_us`, `home` or null."""
    touched = np.zeros(int(visits.object.max(initial=0)) + 1, dtype=np.bool_)
    touched[visits.object[home[visits.user] >= 0]] = True
    kept = np.flatnonzero(touched[visits.object])
    columns = {"user": visits.user, "object": visits.object, "time_us": visits.time_us}
    frame = pl.DataFrame({name: values[kept] for name, values in columns.items()})
    number = pl.Series("home", home[visits.user[kept]])
    return frame.with_columns(number).with_columns(
        pl.when(pl.col("home") >= 0).then("home").alias("home")
    )


def own_visits(there: pl.DataFrame, least_share: float) -> pl.DataFrame:
    """Members' visits to what is their group's own.

    Args:
        there: Of `came`.
        least_share: Of an object's users that members of the group are at least.

    Returns:
        `group`, `object`, `at_us`.
    """
    inside = there.filter(pl.col("home").is_not_null())
    inside = inside.with_columns(pl.len().over("home", "object").alias("members"))
    many = inside.filter(pl.col("members") >= LEAST_MEMBERS)
    things = many.select("object").unique()
    users = there.join(things, on="object", how="semi").group_by("object").agg(users=pl.len())
    own = many.join(users, on="object").filter(pl.col("members") >= least_share * pl.col("users"))
    return own.select("object", group="home", at_us="time_us")


def grown(groups: list[Ints], joined: pl.DataFrame) -> list[Ints]:
    """The groups with those who join: `group`, `user`."""
    added = joined.select("group", "user").unique()
    return [
        np.union1d(group, added.filter(pl.col("group") == number).get_column("user").to_numpy())
        for number, group in enumerate(groups)
    ]


def joining_links(
    visits: Visits, groups: list[Ints], near: pl.DataFrame, num_pairs: float
) -> pl.DataFrame:
    """Links of those who join with all of the ring who are on the same objects.

    Args:
        visits: Of the channel.
        groups: Members of each group, all who joined it included.
        near: NEAR of the channel.
        num_pairs: All pairs of users: the p of joining is put on their scale.

    Returns:
        `user_a`, `user_b`, `weight`, `log10_p`, `log10_q`, sorted by pair. Of two who both join,
        and of several objects, the less sure q counts.
    """
    there = came(visits, homes(groups, visits.user)).drop_nulls("home")
    there = there.select("object", group="home", other="user")
    both = near.join(there, on=["group", "object"]).filter(pl.col("user") != pl.col("other"))
    return (
        both.group_by(
            pl.min_horizontal("user", "other").alias("user_a"),
            pl.max_horizontal("user", "other").alias("user_b"),
        )
        .agg(
            pl.col("object").n_unique().cast(pl.Int64).alias("weight"),
            pl.col("log10_q").max(),
        )
        .with_columns((pl.col("log10_q") - np.log10(max(num_pairs, 1.0))).alias("log10_p"))
        .sort("user_a", "user_b")
    )

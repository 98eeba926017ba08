"""Accounts known to be bad that acted where a told ring acts.

A member that acted once with its ring leaves no link that stands out, and is like any stranger who
came by. But few strangers come to what is largely the ring's own (a slow call's post, a farm's
phone), and next to none of them was found to be bad by other means. So each bad user outside of all
rings is tested against each ring: of its acts, how many fall by chance on the ring's own objects,
while it is there, where chance takes an act as it takes those of other outsiders?

Bad users are not any users: who rents addresses meets others who do. How often rings come to what
is another ring's own, beside what their activity lets expect, tells how much likelier that is in a
channel, and all its expectations are as many times larger.

Nearly all tests are of users that came nowhere near, and none can be lower than its expectation:
the discoveries are held against what chance gives (`rings/discrete.py`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.rings.discrete import discrete_steps, log10_discrete_q
from graphguard.rings.joining import NEAR, Visits, came, homes, own_visits
from graphguard.rings.set_terms import OF_SET, Numbers, ToldSet
from graphguard.rings.significance import log10_poisson_tail

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

OWN = 0.2
"""Share of an object's users that they are at least."""
COUNTED = ("hits", "acts", "strangers", "likelier", "outside")
"""What the p of one who joins follows from, as `log10_came` takes it."""
KNOWN_TEST = "known"
HALF = 0.5
"""Added to pairs of rings seen and expected, so that few of them say little."""
MOST_HITS = 10
"""Acts on a ring's objects, above which a count is taken for this one."""


def known_members(
    visits: Sequence[Visits], groups: list[Ints], bad: Ints, log10_rate: float
) -> pl.DataFrame:
    """Bad users outside of all groups that came to a group's own objects, more than chance has it.

    Args:
        visits: Of the window, by channel.
        groups: Members of each told group; no user in two.
        bad: Users known to be bad.
        log10_rate: log10 of the false-discovery rate, over all bad users, groups and channels.

    Returns:
        `channel`, `group`, `user`, what its q follows from (`known_numbers`), and `log10_q`: a
        user's rows are of one group, that of its lowest q.

    Cost: O(visits log visits) a channel.
    """
    parts = [_tests(one, groups, bad) for one in visits] if groups and len(bad) else []
    near = [found for found, _ in parts if found.height]
    if not near:
        return _none()
    found = pl.concat(near)
    p = log10_came(*(found.get_column(name).to_numpy() for name in COUNTED))
    expected, tests = np.concatenate([chances for _, chances in parts], axis=1)
    hits = np.arange(1, MOST_HITS + 1)[:, np.newaxis]
    steps = discrete_steps(p, log10_poisson_tail(hits, expected), tests)
    told = found.with_columns(
        pl.Series("log10_p", p),
        pl.Series("log10_false", steps.log10_false),
        pl.Series("rank", steps.rank),
        pl.Series("log10_q", log10_discrete_q(p, *steps)),
    ).filter(pl.col("log10_q") <= log10_rate)
    order = ["user", "log10_q", "group", "channel"]
    home = told.sort(order).unique("user", keep="first").select("user", "group")
    return told.join(home, on=["user", "group"], how="semi").sort("group", "user", "channel")


def known_sets(
    visits: Visits, groups: list[Ints], found: pl.DataFrame
) -> tuple[pl.DataFrame, list[ToldSet]]:
    """What those found came to in a channel.

    Args:
        visits: Of the channel.
        groups: As for `known_members`.
        found: What that returned, of all channels.

    Returns:
        NEAR of the channel; and for each of those found a set of one.
    """
    mine = found.filter(pl.col("channel") == visits.channel)
    there = came(visits, homes(groups, visits.user))
    outside = _outside(there, own_visits(there, OWN), visits.reach_us)
    near = outside.join(mine, on=["group", "user"])
    return near.select(list(NEAR)), _told(mine, near)


def _told(mine: pl.DataFrame, near: pl.DataFrame) -> list[ToldSet]:
    things = near.group_by("user").agg(pl.col("object").unique().sort())
    sets = []
    for row in mine.join(things, on="user").sort("user").iter_rows(named=True):
        terms = {name: row[name] for name in (*COUNTED, "log10_p", "log10_false", "rank")}
        user, objects = np.array([row["user"]]), np.array(row["object"], dtype=np.int64)
        sets.append(ToldSet(KNOWN_TEST, user, objects, 1, row["log10_q"], terms))
    return sets


def known_numbers(users: int, terms: Mapping[str, Any]) -> Numbers:
    """What the terms of one who joins say: p, and q."""
    p = log10_came(*(np.array([terms[name]]) for name in COUNTED))
    step = np.array([terms["log10_false"]]), np.array([terms["rank"]])
    q = float(log10_discrete_q(p, *step)[0])
    return {("log10_p",): float(p[0]), OF_SET: q if users == 1 else 0.0}


def log10_came(hits: Ints, acts: Ints, strangers: Ints, likelier: Floats, outside: Ints) -> Floats:
    """log10 of the chance that so many of the acts on a ring's own objects are one user's.

    Args:
        hits: The user's acts there.
        acts: All its acts.
        strangers: All acts of outsiders there.
        likelier: How many times as often as by activity bad users come there.
        outside: All acts of outsiders.

    >>> np.round(log10_came(*(np.array([one]) for one in (1, 5, 4, 1.0, 100_000))), 2).tolist()
    [-3.7]
    """
    return log10_poisson_tail(np.minimum(hits, MOST_HITS), acts * strangers * likelier / outside)


def _none() -> pl.DataFrame:
    whole = dict.fromkeys(("group", "user", "rank"), pl.Int64)
    real = dict.fromkeys((*COUNTED, "log10_p", "log10_false", "log10_q"), pl.Float64)
    return pl.DataFrame(schema={"channel": pl.String, **whole, **real})


def _tests(visits: Visits, groups: list[Ints], bad: Ints) -> tuple[pl.DataFrame, Floats]:
    """Who came to which group's own, and what all tests expect, as `discrete_steps` takes it."""
    home = homes(groups, visits.user)
    there = came(visits, home)
    outside = _outside(there, own_visits(there, OWN), visits.reach_us)
    hits = pl.len().cast(pl.Int64).alias("hits")
    near = outside.group_by("group", "user").agg(hits, pl.col("home").first())
    strangers = near.group_by("group").agg(pl.col("hits").sum().alias("strangers"))
    acts = np.bincount(visits.user, minlength=len(home))
    every = max(int(acts[home < 0].sum()), 1)
    inside = np.bincount(home[home >= 0], acts[home >= 0]).astype(np.int64)
    likelier = _likelier(inside, near, strangers, every)
    bad = bad[bad < len(home)]
    bad = bad[(home[bad] < 0) & (acts[bad] > 0)]
    asked = pl.DataFrame({"user": bad, "acts": acts[bad]})
    found = (
        near.join(asked, on="user")
        .join(strangers, on="group")
        .select(
            pl.lit(visits.channel).alias("channel"),
            "group",
            "user",
            "hits",
            pl.col("acts").cast(pl.Int64),
            "strangers",
            pl.lit(likelier).alias("likelier"),
            pl.lit(every, dtype=pl.Int64).alias("outside"),
        )
        .sort("group", "user")
    )
    return found, _chances(asked, strangers, likelier / every)


def _chances(asked: pl.DataFrame, strangers: pl.DataFrame, each: float) -> Floats:
    acts, users = np.unique(asked.get_column("acts").to_numpy(), return_counts=True)
    rare, groups = np.unique(strangers.get_column("strangers").to_numpy(), return_counts=True)
    return np.stack([np.outer(acts, rare).ravel() * each, np.outer(users, groups).ravel()])


def _likelier(acts: Ints, near: pl.DataFrame, strangers: pl.DataFrame, every: int) -> float:
    """How many times as often as by their activity members of rings are on another ring's own.

    Counted are pairs of rings, so that a ring told as two does not speak for all. `acts` are those
    of each ring's members.
    """
    others = near.drop_nulls("home").filter(pl.col("home") != pl.col("group"))
    seen = others.select("home", "group").unique().height
    group, there = (strangers.get_column(name).to_numpy() for name in ("group", "strangers"))
    # Of many rings few have numbers of their own.
    rings, many = (np.unique(values, return_counts=True) for values in (acts, there))
    pairs = np.outer(rings[1], many[1]) * _any(np.outer(rings[0], many[0]) / every)
    expected = float(pairs.sum() - _any(acts[group] * there / every).sum())
    return max((seen + HALF) / (expected + HALF), 1.0)


def _any(mean: Floats) -> Floats:
    """Chance of one or more where so many are expected."""
    return -np.expm1(-mean)


def _outside(there: pl.DataFrame, own: pl.DataFrame, reach_us: int) -> pl.DataFrame:
    """Visits of others to a group's own, near a member's: `group`, `object`, `user`, `home`."""
    ends = own.group_by("group", "object").agg(at_us=pl.col("at_us").sort())
    both = there.join(ends, on="object").filter(pl.col("home").ne_missing(pl.col("group")))
    times = both.select("group", "object", "user", "home", "time_us").sort("time_us")
    members = own.select("group", "object", "at_us").sort("at_us")
    by = ["group", "object"]
    near = times.join_asof(
        members,
        left_on="time_us",
        right_on="at_us",
        by=by,
        strategy="nearest",
        tolerance=reach_us,
        check_sortedness=False,
    )
    return near.drop_nulls("at_us").select("group", "object", "user", "home")

"""Who acted together in an earlier window, and does again.

A slow ring leaves little in one window: of its members half act once. But in the window before
others of its calls were seen, and who its members are is known from there. Tonight's acts are other
acts, so these groups are guesses made in advance, and few: five of one group on a post that has
seven users need not stand out among all pairs of users, or of objects, to be no chance.

Each group and object is a test: of the object's users so many are the group's, where chance takes
them from all users by their activity. That is asked more of who likes the same: as often as users
of the group are beside each other on what is not their own; and where authors are known, as often
as they come to other objects of the author and of the author's community (`rings/tastes.py`). A
fan club that was taken for a ring comes to nothing else, and is not told again. Most tests expect
next to nothing and can have no low p, so discoveries are held against what chance gives
(`rings/discrete.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array

from graphguard.graph.components import linked_components
from graphguard.rings.discrete import discrete_steps, log10_discrete_q
from graphguard.rings.joining import Visits
from graphguard.rings.known import HALF, OWN
from graphguard.rings.nulls import ALPHAS, NullShard
from graphguard.rings.set_terms import OF_SET, Numbers, ToldSet
from graphguard.rings.significance import log10_poisson_tail
from graphguard.rings.tastes import Tastes

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

EARLIER_TEST = "earlier"
LEAST_USERS = 2
MOST = 64
"""Users of a group on an object, above which a count is taken for this one."""
STEPS = 50
"""What is expected is rounded up by a fiftieth where what chance gives is summed up."""
LEAST_EXPECTED = 1e-12
Counts = tuple[Ints, Ints]
"""Logarithms of what tests expect, in STEPS, each once and rising; and how many these are."""
TERMS = ("users", "each", "log10_p", "log10_false", "rank")
FOUND = {
    "channel": pl.Int64,
    "group": pl.Int64,
    "object": pl.Int64,
    "members": pl.Int64,
    "users": pl.Int64,
    "expected": pl.Float64,
}


@dataclass(frozen=True)
class Channel:
    """Who came to what tonight, and what they like.

    Attributes:
        visits: Of the window.
        tastes: Of the same objects, where authors are known: objects without any are left out.
    """

    visits: Visits
    tastes: Tastes | None


def whole_groups(groups: Sequence[Ints]) -> list[Ints]:
    """Groups of several windows, those that share half of the smaller one as one.

    Args:
        groups: Users of each group, sorted.

    Returns:
        Sorted users of each, by the first.

    Cost: O(sum over users of the square of their groups).
    """
    if not groups:
        return []
    sizes = np.array([len(group) for group in groups])
    users, place = np.unique(np.concatenate(groups), return_inverse=True)
    number = np.repeat(np.arange(len(groups)), sizes)
    shape = (len(groups), len(users))
    held = csr_array((np.ones(len(number), dtype=np.int32), (number, place)), shape=shape)
    common = (held @ held.T).tocoo()
    same = 2 * common.data >= np.minimum(sizes[common.row], sizes[common.col])
    ends = (common.row[same].astype(np.int64), common.col[same].astype(np.int64))
    component = linked_components(len(groups), *ends)
    whole = [
        np.unique(
            np.concatenate([groups[one] for one in np.flatnonzero(component == joint).tolist()])
        )
        for joint in range(int(component.max()) + 1)
    ]
    return sorted(whole, key=lambda group: group.tolist())


def meet_again(
    channels: Sequence[Channel], groups: Sequence[Ints], log10_rate: float
) -> list[list[ToldSet]]:
    """Objects that users of an earlier group came to together once more, by channel.

    Args:
        channels: Of tonight's window, which no group was found in.
        groups: Users of each earlier group, sorted.
        log10_rate: log10 of the false-discovery rate, over all groups, objects and channels.

    Returns:
        Of each channel the users of a group on each such object.

    Cost: O(groups * objects), and the visits of the groups' users.
    """
    told = _judged(channels, groups)[0].filter(
        (pl.col("log10_q") <= log10_rate)
        & (pl.col("members") >= LEAST_USERS)
        & (pl.col("members") >= OWN * pl.col("users"))
    )
    return [
        _sets(one.visits, groups, told.filter(pl.col("channel") == number))
        for number, one in enumerate(channels)
    ]


def earlier_shard(channel: Channel, groups: Sequence[Ints]) -> NullShard:
    """What the same tests say of acts that were dealt anew.

    Args:
        channel: Of a dealt night.
        groups: Users of each earlier group, sorted.
    """
    tests, number = _judged([channel], groups)
    kept = tests.filter(pl.col("log10_p") <= np.log10(ALPHAS[0]))
    p, q = (kept.get_column(name).to_numpy() for name in ("log10_p", "log10_q"))
    return NullShard(p, float(number), q)


def _judged(channels: Sequence[Channel], groups: Sequence[Ints]) -> tuple[pl.DataFrame, int]:
    """FOUND of all channels with p, q and what they follow from; and how many tests there are."""
    parts = [_tests(one, groups, number) for number, one in enumerate(channels)]
    found = pl.concat([pl.DataFrame(schema=FOUND), *(table for table, _ in parts)])
    p = log10_again(*(found.get_column(name).to_numpy() for name in ("members", "expected")))
    logarithms, times = _summed([counts for _, counts in parts])
    tails = log10_again(np.arange(1, MOST + 1)[:, np.newaxis], np.exp(logarithms / STEPS))
    steps = discrete_steps(p, tails, times.astype(np.float64))
    judged = found.with_columns(
        (pl.col("expected") / pl.col("users")).alias("each"),
        pl.Series("log10_p", p),
        pl.Series("log10_false", steps.log10_false),
        pl.Series("rank", steps.rank),
        pl.Series("log10_q", log10_discrete_q(p, *steps)),
    )
    return judged, int(times.sum())


def log10_again(members: Ints, expected: Floats) -> Floats:
    """log10 of the chance that so many users of a group or more come to an object.

    >>> np.round(log10_again(np.array([3]), np.array([0.01])), 2).tolist()
    [-6.78]
    """
    return log10_poisson_tail(np.minimum(members, MOST), expected)


def earlier_numbers(users: int, terms: Mapping[str, Any]) -> Numbers:
    """What the terms of a group's users on an object say: p, and q."""
    expected = float(terms["users"]) * float(terms["each"])
    p = log10_again(np.array([users]), np.array([expected]))
    step = np.array([terms["log10_false"]]), np.array([terms["rank"]])
    return {("log10_p",): float(p[0]), OF_SET: float(log10_discrete_q(p, *step)[0])}


def links_again(sets: Sequence[ToldSet], num_pairs: float) -> pl.DataFrame:
    """The pairs inside sets of one channel.

    Args:
        sets: Each on one object.
        num_pairs: All pairs of users: p is put on their scale.

    Returns:
        `user_a`, `user_b`, `weight` (objects), `log10_p`, `log10_q` (the least), sorted.

    Cost: O(pairs inside each set).
    """
    rows = pl.DataFrame(
        {
            "at": np.repeat(np.arange(len(sets)), [len(one.users) for one in sets]),
            "user": np.concatenate([np.zeros(0, dtype=np.int64), *(one.users for one in sets)]),
        }
    )
    about = pl.DataFrame(
        {
            "at": np.arange(len(sets)),
            "object": np.array([int(one.objects[0]) for one in sets], dtype=np.int64),
            "log10_q": np.array([one.log10_q for one in sets], dtype=np.float64),
        }
    )
    both = rows.join(rows, on="at", suffix="_b").filter(pl.col("user") < pl.col("user_b"))
    return (
        both.join(about, on="at")
        .group_by(user_a="user", user_b="user_b")
        .agg(
            pl.col("object").n_unique().cast(pl.Int64).alias("weight"),
            pl.col("log10_q").min(),
        )
        .with_columns((pl.col("log10_q") - np.log10(max(num_pairs, 1.0))).alias("log10_p"))
        .sort("user_a", "user_b")
    )


def _tests(channel: Channel, groups: Sequence[Ints], number: int) -> tuple[pl.DataFrame, Counts]:
    """FOUND of a channel; and how many of all its tests expect so much."""
    visits = channel.visits
    users = np.bincount(visits.object)
    asked = np.flatnonzero(users) if channel.tastes is None else channel.tastes.things
    members, acts = _members(visits, groups)
    total = max(len(visits.user), 1)
    found, counts = [pl.DataFrame(schema=FOUND)], []
    for group, there in sorted(members.partition_by("group", as_dict=True).items()):
        place = there.get_column("object").to_numpy()
        came = np.zeros(len(users), dtype=np.int64)
        came[place] = there.get_column("members").to_numpy()
        share = int(acts[group[0]]) / total
        each = _each(came, users, share)
        if channel.tastes is not None:
            liked = channel.tastes.of_authors(groups[group[0]], came[asked])
            mean = np.maximum(users[asked] * each, liked)
        else:
            mean = users[asked] * each
        counts.append(_counted(mean))
        here = np.flatnonzero(came[asked])
        found.append(
            pl.DataFrame(
                {
                    "channel": np.full(len(here), number),
                    "group": np.full(len(here), group[0]),
                    "object": asked[here],
                    "members": came[asked[here]],
                    "users": users[asked[here]],
                    "expected": np.maximum(mean[here], LEAST_EXPECTED),
                },
                schema=FOUND,
            )
        )
    return pl.concat(found), _summed(counts)


def _members(visits: Visits, groups: Sequence[Ints]) -> tuple[pl.DataFrame, Ints]:
    """Users of each group on each object (`group`, `object`, `members`), and each group's acts."""
    home = pl.DataFrame(
        {
            "group": np.repeat(np.arange(len(groups)), [len(group) for group in groups]),
            "user": np.concatenate([np.zeros(0, dtype=np.int64), *groups]),
        }
    )
    came = pl.DataFrame({"user": visits.user, "object": visits.object})
    there = came.join(home, on="user").group_by("group", "object").agg(members=pl.len())
    there = there.sort("group", "object")
    place, number = (there.get_column(name).to_numpy() for name in ("group", "members"))
    acts = np.bincount(place, number, minlength=len(groups)).astype(np.int64)
    return there, acts


def _each(came: Ints, users: Ints, share: float) -> float:
    """What share of an object's users are a group's, on what is not its own.

    As many pairs of its users as are beside each other there say how much oftener than by activity
    they come together: by what they like, or when they are awake.
    """
    others = came < OWN * users
    seen = float(came[others] @ (came[others] - 1)) / 2
    expected = share**2 * float(users[others].astype(np.float64) @ users[others]) / 2
    return share * float(np.sqrt(max((seen + HALF) / (expected + HALF), 1.0)))


def _counted(mean: Floats) -> Counts:
    """How many tests expect so much, rounded up."""
    step = np.ceil(np.log(np.maximum(mean, LEAST_EXPECTED)) * STEPS).astype(np.int64)
    return np.unique(step, return_counts=True)


def _summed(counts: Sequence[Counts]) -> Counts:
    """The same of several together."""
    nothing = np.zeros(0, dtype=np.int64)
    steps = np.concatenate([nothing, *(step for step, _ in counts)])
    number = np.concatenate([nothing, *(number for _, number in counts)])
    values, place = np.unique(steps, return_inverse=True)
    return values, np.bincount(place, number, minlength=len(values)).astype(np.int64)


def _sets(visits: Visits, groups: Sequence[Ints], told: pl.DataFrame) -> list[ToldSet]:
    order = np.argsort(visits.object, kind="stable")
    thing = visits.object[order]
    sets = []
    for row in told.sort("group", "object").iter_rows(named=True):
        low, high = np.searchsorted(thing, [row["object"], row["object"] + 1])
        users = np.intersect1d(visits.user[order[low:high]], groups[row["group"]])
        terms = {name: row[name] for name in TERMS}
        on = np.array([row["object"]], dtype=np.int64)
        sets.append(ToldSet(EARLIER_TEST, users, on, len(users), row["log10_q"], terms))
    return sets

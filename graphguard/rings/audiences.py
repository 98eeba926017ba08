"""Rings that act slowly: objects whose audiences share more users than tastes explain.

A ring that acts over a day leaves pairs of users that share two to five objects, which is hardly
unlikely of any of them. But two ordinary objects that share twelve of their twenty users are one
event and not sixty-six pairs of users, and it is tested as one, under the null of
`rings/tastes.py`. Objects that share less are tested several together (`rings/audience_sets.py`),
or lie together in a ring (`rings/cores.py`, objects in place of users). Who touched several objects
of a group so found is a member.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array, triu

from graphguard.rings.audience_sets import AudienceSet, audience_sets, log10_sets
from graphguard.rings.cores import WEAK, core_links, log10_connected
from graphguard.rings.grouping import GroupRules, Links, find_groups
from graphguard.rings.meetings import blocks_of
from graphguard.rings.set_terms import OF_SET, Numbers, Terms, ToldSet, log10_q_of, standing
from graphguard.rings.significance import all_pairs, log10_poisson_tail, log10_q
from graphguard.rings.tastes import LEAST_USERS, Tastes

Ints = NDArray[np.int64]
LEVELS = (WEAK, -4.5, -5.5, -6.5)
"""log10 p from which on a pair of objects counts for a core: many weak ones, or few strong ones."""
WAYS = 3
"""In which a pair of objects is told: by itself, in a set, in a core."""
STRANGERS = 0.01
"""Share of a set that may be in it by chance."""
SHARED_AT_ONCE = 5_000_000
PAIR, ENDS = ["user_a", "user_b"], ["object_a", "object_b"]


@dataclass(frozen=True)
class Company:
    """Users who are the audience of several objects.

    Attributes:
        things: Places of the audiences.
        users: Members, sorted.
        log10_q: Of the set.
        terms: What it follows from: how each pair of its objects was told.
    """

    things: Ints
    users: Ints
    log10_q: float
    terms: Terms

    def told(self, tastes: Tastes) -> ToldSet:
        """As a set of users that met on objects."""
        objects = tastes.things[self.things]
        return ToldSet("audience", self.users, objects, len(self.users), self.log10_q, self.terms)


def audience_companies(tastes: Tastes, log10_rate: float) -> list[Company]:
    """Sets of users that are the audience of several objects.

    Args:
        tastes: All audiences.
        log10_rate: log10 of the false-discovery rate.
    """
    told = told_pairs(tastes, shared_audiences(tastes), log10_rate)
    return companies(tastes, told, log10_rate)


def shared_audiences(tastes: Tastes) -> pl.DataFrame:
    """Pairs of objects of different authors that share unlikely many users.

    Returns:
        `object_a`, `object_b` (places of audiences), `common`, `expected`, `log10_p` of at most
        WEAK, sorted by both.

    Cost: O(sum over users of the square of their objects), a block of objects at a time.
    """
    every = [_shared(tastes, part) for part in _parts(tastes.users)]
    none = {"object_a": pl.Int64, "object_b": pl.Int64, "common": pl.Int64}
    empty = pl.DataFrame(schema={**none, "expected": pl.Float64, "log10_p": pl.Float64})
    return pl.concat([empty, *every]).sort(ENDS)


def told_pairs(tastes: Tastes, shared: pl.DataFrame, log10_rate: float) -> pl.DataFrame:
    """Pairs of objects that are discoveries, or lie in sets or cores of weaker ones.

    Discoveries are made among all pairs of objects; the ways to be told are allowed for.

    Args:
        tastes: All audiences.
        shared: Of `shared_audiences`.
        log10_rate: log10 of the false-discovery rate.

    Returns:
        The rows that are told, with `log10_q` and `way`: in which it was, as JSON.
    """
    num_things = len(tastes)
    log10_p = shared.get_column("log10_p").to_numpy()
    alone = log10_q(log10_p, all_pairs(num_things))
    every = shared.with_columns(
        pl.Series("log10_q", alone + np.log10(WAYS)), pl.lit("", dtype=pl.String).alias("way")
    )
    if not every.height:
        return every
    by_itself = every.get_column("log10_q").to_numpy() <= log10_rate
    stands = standing(log10_p, all_pairs(num_things), np.flatnonzero(by_itself))
    ways = [json.dumps({"way": "alone"} | one) for one in stands]
    told = every.filter(pl.Series(by_itself)).with_columns(pl.Series("way", ways, dtype=pl.String))
    sets = audience_sets(tastes, shared, log10_rate - np.log10(WAYS))
    told = pl.concat([told, *(_inside(every, one) for one in sets)])
    told = told.sort(*ENDS, "log10_q", "way").unique(ENDS, keep="first")
    return with_cores(told, shared, num_things, log10_rate)


def with_cores(
    told: pl.DataFrame, shared: pl.DataFrame, num_things: int, log10_rate: float
) -> pl.DataFrame:
    """Pairs that are told already, and those in cores of weak ones.

    Args:
        told: Rows of `shared`, with `log10_q`.
        shared: Of `shared_audiences`.
        num_things: Objects that could have been paired.
        log10_rate: log10 of the false-discovery rate.
    """
    links = shared.rename(dict(zip(ENDS, PAIR, strict=True)))
    while True:
        found = [told, *_cores(links, told, num_things, log10_rate)]
        more = pl.concat(found).sort(*ENDS, "log10_q").unique(ENDS, keep="first")
        if more.height == told.height:
            return told.sort(ENDS)
        # What is no chance says nothing of how many links chance makes.
        told = more


def _inside(every: pl.DataFrame, one: AudienceSet) -> pl.DataFrame:
    """The pairs inside a set."""
    things = pl.Series(one.things).implode()
    mine = every.filter(pl.col("object_a").is_in(things), pl.col("object_b").is_in(things))
    way = json.dumps({"way": "set", "draws": one.draws})
    value = min(one.log10_q + np.log10(WAYS), 0.0)
    return mine.with_columns(pl.lit(value).alias("log10_q"), pl.lit(way).alias("way"))


def _cores(
    links: pl.DataFrame, told: pl.DataFrame, num_things: int, log10_rate: float
) -> Iterator[pl.DataFrame]:
    ways = np.log10(WAYS * len(LEVELS))
    for level in LEVELS:
        known = told.filter(pl.col("log10_p") <= level).height
        core = core_links(links, num_things, log10_rate - ways, (level, known))
        named = core.rename(dict(zip(PAIR, ENDS, strict=True)))
        counts = {"links": links.filter(pl.col("log10_p") <= level).height, "known": known}
        way = [
            json.dumps({"way": "core", "connected": size} | counts)
            for size in core.get_column("connected")
        ]
        yield named.with_columns(
            pl.col("log10_q") + ways, pl.Series("way", way, dtype=pl.String)
        ).select(told.columns)


def companies(tastes: Tastes, told: pl.DataFrame, log10_rate: float) -> list[Company]:
    """Sets of users that told pairs of objects share, or several objects that these connect.

    Those count who touched two of the objects or more, less whom chance may bring.

    Args:
        tastes: All audiences.
        told: Of `told_pairs`.
        log10_rate: log10 of the false-discovery rate, of objects that are added.
    """
    first, second = (told.get_column(name).to_numpy() for name in ENDS)
    q = told.get_column("log10_q").to_numpy()
    bits = -told.get_column("log10_p").to_numpy()
    groups = find_groups(Links(first, second, bits), GroupRules(min_members=3))
    home = np.full(len(tastes), -1, dtype=np.int64)
    for number, things in enumerate(groups):
        home[things] = number
    inside = (home[first] >= 0) & (home[first] == home[second])
    mine = [np.flatnonzero(inside & (home[first] == number)) for number in range(len(groups))]
    mine += list(np.flatnonzero(~inside)[:, None])
    every = [*groups, *np.stack([first, second], axis=1)[~inside]]
    enough = log10_rate - np.log10(max(len(every), 1))
    found = []
    for things, rows in zip(every, mine, strict=True):
        more = _grown(tastes, things, enough)
        members = _members(tastes, more)
        if len(members) >= LEAST_USERS:
            terms = _terms(told[rows], more, len(tastes))
            found.append(Company(more, members, float(q[rows].max()), terms))
    return found


def _terms(told: pl.DataFrame, things: Ints, num_things: int) -> Terms:
    """How the pairs of objects were told that a group was made of; ends are places in `things`."""
    pairs = []
    columns = (*ENDS, "common", "expected", "log10_p", "log10_q", "way")
    for row in told.select(columns).iter_rows(named=True):
        ends = np.searchsorted(things, [row[end] for end in ENDS]).tolist()
        facts = {name: row[name] for name in ("common", "expected", "log10_p", "log10_q")}
        pairs.append({"ends": ends} | json.loads(row["way"]) | facts)
    return {"things": num_things, "pairs": pairs}


def audience_numbers(users: int, terms: Mapping[str, Any]) -> Numbers:
    """What the terms of a company say: p of each pair of objects, and q of the likeliest.

    How many users it has says nothing of its objects.
    """
    numbers: Numbers = {}
    every = [-np.inf if users >= LEAST_USERS else 0.0]
    for place, pair in enumerate(terms["pairs"]):
        common, expected = np.array([pair["common"]]), np.array([pair["expected"]])
        log10_p = float(log10_poisson_tail(common, expected)[0])
        every.append(_log10_q_told(log10_p, pair, terms["things"]))
        numbers[("pairs", place, "log10_p")] = log10_p
        numbers[("pairs", place, "log10_q")] = every[-1]
    return numbers | {OF_SET: float(max(every))}


def _log10_q_told(log10_p: float, pair: Mapping[str, Any], num_things: int) -> float:
    """Q of a pair of objects with this p, in the way in which it was told."""
    if pair["way"] == "alone":
        return log10_q_of(log10_p, pair) + float(np.log10(WAYS))
    if pair["way"] == "set":
        draws = pair["draws"]
        log10_q = log10_sets(sum(draws), len(draws) + 1, num_things)
        return min(log10_q + float(np.log10(WAYS)), 0.0)
    counts = (pair["links"], pair["known"])
    chance = float(log10_connected(np.array([pair["connected"]]), counts, num_things)[0])
    return min(chance, 0.0) + float(np.log10(WAYS * len(LEVELS)))


def company_links(tastes: Tastes, found: list[Company], num_pairs: float) -> pl.DataFrame:
    """The pairs inside the sets that share an object of theirs, as `recurrence.links_within`."""
    names = {"user_a": pl.Int64, "user_b": pl.Int64, "object": pl.Int64, "least": pl.Float64}
    rows = [pl.DataFrame(schema=names)]
    for one in found:
        for thing in one.things.tolist():
            here = np.intersect1d(tastes.audience(thing), one.users, assume_unique=True)
            a, b = np.triu_indices(len(here), 1)
            columns = {"user_a": here[a], "user_b": here[b]}
            rows.append(
                pl.DataFrame(columns, schema_overrides=names).with_columns(
                    pl.lit(thing, dtype=pl.Int64).alias("object"),
                    pl.lit(one.log10_q).alias("least"),
                )
            )
    least = pl.col("least").min()
    return (
        pl.concat(rows)
        .group_by(PAIR)
        .agg(
            pl.col("object").n_unique().cast(pl.Int64).alias("weight"),
            (least - np.log10(max(num_pairs, 1.0))).alias("log10_p"),
            least.alias("log10_q"),
        )
        .sort(PAIR)
    )


def _parts(users: csr_array) -> Iterator[slice]:
    """Objects in order, as many as share so much with all objects."""
    done = np.bincount(users.indices, minlength=users.shape[1])
    owner = np.repeat(np.arange(users.shape[0]), np.diff(users.indptr))
    cost = np.bincount(owner, done[users.indices], minlength=users.shape[0])
    yield from blocks_of(cost.astype(np.int64), SHARED_AT_ONCE)


def _shared(tastes: Tastes, part: slice) -> pl.DataFrame:
    """`shared_audiences` of some objects with those after them."""
    common = triu(tastes.users[part] @ tastes.users.T, k=part.start + 1).tocoo()
    enough = common.data >= LEAST_USERS
    one, other = (ends[enough].astype(np.int64) for ends in (common.row + part.start, common.col))
    number = common.data[enough].astype(np.int64)
    # What one author makes has one audience. And most pairs are known not to be unlikely at once.
    kept = tastes.source[one] != tastes.source[other]
    one, other, number = one[kept], other[kept], number[kept]
    hopeful = log10_poisson_tail(number, tastes.at_least(one, other)) <= WEAK
    one, other, number = one[hopeful], other[hopeful], number[hopeful]
    expected = tastes.expected(one, other, number)
    columns = {"object_a": one, "object_b": other, "common": number, "expected": expected}
    value = pl.Series("log10_p", log10_poisson_tail(number, expected))
    return pl.DataFrame(columns).with_columns(value).filter(pl.col("log10_p") <= WEAK)


def _grown(tastes: Tastes, things: Ints, log10_rate: float) -> Ints:
    """A group of objects, and those that its members came to as to these."""
    members = _members(tastes, things)
    came = np.asarray(tastes.users[:, members].sum(axis=1)).reshape(-1)
    q = log10_q(log10_poisson_tail(came, tastes.of_things(members)), len(tastes))
    more = np.flatnonzero((q <= log10_rate) & (came >= 2))
    return np.union1d(things, more)


def _members(tastes: Tastes, things: Ints) -> Ints:
    """Who touched two objects of a group or more, less whom chance may bring.

    Who touched one says how strangers come: the members' own touches do not.
    """
    touched = np.asarray(tastes.users[things].sum(axis=0)).reshape(-1)
    user = np.flatnonzero(touched >= 2)
    expected = tastes.of_users(user, np.flatnonzero(touched == 1), things)
    q = log10_q(log10_poisson_tail(touched[user], expected), tastes.active)
    members: Ints = user[q <= np.log10(STRANGERS)]
    return members

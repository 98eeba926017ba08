"""Sets of objects that share one audience, no two of which share enough."""

import numpy as np
import polars as pl
import pytest
from scipy.sparse import triu
from scipy.stats import gamma

from graphguard.rings.audience_sets import MOST_THINGS, audience_sets, log10_sets
from graphguard.rings.audiences import shared_audiences
from graphguard.rings.meetings import Acts
from graphguard.rings.significance import all_pairs, log10_poisson_tail, log10_q
from graphguard.rings.tastes import find_tastes

DAY = 86_400_000_000
COMMUNITIES, USERS, AUTHORS, POSTS = 12, 80, 20, 4
NUM_USERS = COMMUNITIES * USERS
RING = tuple(range(5, NUM_USERS, 96))
RATE = -2.0


def platform(seed, *, ring=(), calls=0, chance=0.6):
    """Users like posts of their community in their first day; a ring what it is called to."""
    rng = np.random.default_rng(seed)
    author = np.arange(COMMUNITIES * AUTHORS * POSTS) // POSTS
    author = author // AUTHORS * USERS + author % AUTHORS
    born = rng.integers(0, 10 * DAY, len(author))
    touched = set()
    for user in range(NUM_USERS):
        mine = np.flatnonzero(author // USERS == user // USERS)
        liked = rng.choice(mine, rng.poisson(6) + 1, replace=False)
        touched |= {(int(thing), user) for thing in liked}
    called = rng.choice(len(author), calls, replace=False)
    for thing in called:
        touched |= {(int(thing), user) for user in ring if rng.random() < chance}
    thing, user = np.array(sorted(touched)).T
    time = born[thing] + rng.integers(0, DAY, len(thing))
    return find_tastes(Acts(user, thing, time), author, NUM_USERS, 200), set(called.tolist())


def test_a_ring_none_of_whose_pairs_is_a_discovery_is_told_as_a_set():
    told = right = 0
    for seed in range(6):
        tastes, called = platform(seed, ring=RING, calls=6)
        shared = shared_audiences(tastes)
        p = shared.get_column("log10_p").to_numpy()
        weak = shared.filter(pl.Series(log10_q(p, all_pairs(len(tastes))) > RATE))

        for one in audience_sets(tastes, weak, RATE):
            told += 1
            right += set(tastes.things[one.things].tolist()) <= called
            assert len(one.things) >= 3
            assert one.log10_q <= RATE

    assert told >= 3
    assert right == told


def test_platforms_without_a_ring_have_no_set():
    for seed in range(10, 16):
        tastes, _ = platform(seed)
        common = triu((tastes.users @ tastes.users.T), k=1).tocoo()
        ends = [one[common.data >= 3].astype(np.int64) for one in (common.row, common.col)]
        expected = tastes.expected(*ends, common.data[common.data >= 3].astype(np.int64))
        p = log10_poisson_tail(common.data[common.data >= 3], expected)
        pairs = pl.DataFrame({"object_a": ends[0], "object_b": ends[1], "log10_p": p})

        assert pairs.height > 100
        assert not audience_sets(tastes, pairs.sort("log10_p").head(100), 0.0)


def test_an_author_has_one_object_in_a_set():
    tastes, _ = platform(1, ring=RING, calls=10, chance=0.9)
    found = audience_sets(tastes, shared_audiences(tastes), RATE)

    assert found
    for one in found:
        sources = tastes.source[one.things]
        assert len(set(sources.tolist())) == len(sources) <= MOST_THINGS


def test_what_is_expected_of_a_set_is_the_likings_of_all_its_users_on_its_days():
    tastes, _ = platform(2)
    given = np.array([3, 40])
    members = np.union1d(tastes.audience(3), tastes.audience(40))
    asked = np.array([7, 90, 200])
    came = np.array([np.isin(members, tastes.audience(thing)).sum() for thing in asked])

    found = tastes.of_set(members, asked, came, given)

    visits = tastes.visits.toarray()
    falls = tastes.falls.toarray()
    for place, thing in enumerate(asked.tolist()):
        by_day = visits[members].sum(axis=0) - falls[given].T @ tastes.size[given]
        there = (by_day - came[place] * falls[thing]) * falls[thing] / tastes.of_day
        often = max(there.sum() / max(by_day.sum() - came[place], 1.0), 1.0)
        liked = max(
            float(scale.mixture.toarray()[thing] @ scale.likes.toarray()[members].sum(axis=0))
            for scale in tastes.scales
        )
        large = tastes.scales[0]
        by_author = large.likes.toarray()[members, large.block[thing]].sum() * tastes.size[thing]
        fans = tastes.likings.toarray()[members, tastes.source[thing]].sum()
        liked = max(liked, by_author) + fans * tastes.author_weight[thing]
        assert found[place] == pytest.approx(liked * often)


def test_the_chance_of_a_product_is_fishers():
    # -ln of a product of k even draws is gamma distributed with shape k.
    for log10_p, size in ((-20.0, 3), (-31.5, 6)):
        product = gamma.sf(-log10_p * np.log(10), size - 1)
        ways = all_pairs(500) * 500 ** (size - 2) * MOST_THINGS
        assert log10_sets(log10_p, size, 500) == pytest.approx(np.log10(product * ways))

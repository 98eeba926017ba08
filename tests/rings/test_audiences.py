"""Objects whose audiences share more users than tastes explain."""

import json

import numpy as np
import polars as pl
import pytest
from scipy.sparse import triu
from scipy.stats import gamma

from graphguard.rings.audience_sets import MOST_THINGS, audience_sets, log10_sets
from graphguard.rings.audiences import (
    audience_companies,
    audience_numbers,
    companies,
    company_links,
    shared_audiences,
    told_pairs,
    with_cores,
)
from graphguard.rings.meetings import Acts
from graphguard.rings.set_terms import OF_SET, plain
from graphguard.rings.significance import all_pairs, log10_poisson_tail, log10_q
from graphguard.rings.tastes import find_tastes

DAY = 86_400_000_000
HOUR = 3_600_000_000
COMMUNITIES, USERS, AUTHORS, POSTS = 12, 80, 20, 4
NUM_USERS = COMMUNITIES * USERS
RING = range(5, NUM_USERS, 80)
RATE = -2.0


def platform(rng, *, ring=(), calls=0, fans=0, chance=0.7):
    """Users like posts of their community, fans all of one author's; a ring what it is called to.

    Acts, and authors of the objects.
    """
    author = np.repeat(np.arange(COMMUNITIES * AUTHORS), POSTS)
    author = author // AUTHORS * USERS + author % AUTHORS
    born = rng.integers(0, 10 * DAY, len(author))
    touched = set()
    for user in range(NUM_USERS):
        mine = np.flatnonzero(author // USERS == user // USERS)
        liked = rng.choice(mine, rng.poisson(6) + 1, replace=False)
        touched |= {(int(thing), user) for thing in liked}
    touched |= {
        (int(thing), 7 * fan) for fan in range(fans) for thing in np.flatnonzero(author < 2)
    }
    for thing in rng.choice(len(author), calls, replace=False):
        touched |= {(int(thing), user) for user in ring if rng.random() < chance}
    thing, user = np.array(sorted(touched)).T
    time = born[thing] + rng.integers(0, 20 * HOUR, len(thing))
    return Acts(user, thing, time), author


def links_of(acts, author, most=200):
    tastes = find_tastes(acts, author, NUM_USERS, most)
    told = told_pairs(tastes, shared_audiences(tastes), RATE)
    return company_links(tastes, companies(tastes, told, RATE), all_pairs(NUM_USERS))


def ends(links):
    return set(links.select("user_a", "user_b").iter_rows())


def test_a_ring_that_acts_over_a_day_is_told_and_nobody_else_is():
    links = links_of(*platform(np.random.default_rng(1), ring=RING, calls=8))

    users = {user for pair in ends(links) for user in pair}
    assert users == set(RING)
    assert links.height >= 0.9 * all_pairs(len(RING))
    assert (links.get_column("log10_q") <= RATE).all()


def test_a_pair_counts_the_objects_it_shares_and_its_p_is_on_the_scale_of_all_pairs():
    acts, author = platform(np.random.default_rng(1), ring=RING, calls=8)
    links = links_of(acts, author)

    touched = {user: set(acts.object[acts.user == user].tolist()) for user in RING}
    shared = [len(touched[a] & touched[b]) for a, b in links.select("user_a", "user_b").iter_rows()]
    weight = links.get_column("weight").to_numpy()
    assert (weight >= 1).all()
    assert (weight <= shared).all()
    scale = links.get_column("log10_q") - links.get_column("log10_p")
    assert np.allclose(scale.to_numpy(), np.log10(all_pairs(NUM_USERS)))


def test_two_calls_of_a_larger_ring_are_told():
    ring = range(3, NUM_USERS, 32)
    links = links_of(*platform(np.random.default_rng(3), ring=ring, calls=2, chance=0.8))

    assert links.height >= 100
    assert {user for pair in ends(links) for user in pair} <= set(ring)


def test_what_two_audiences_did_on_the_two_objects_says_nothing_of_their_habits():
    tastes = find_tastes(*platform(np.random.default_rng(4), ring=RING, calls=6), NUM_USERS, 200)
    pairs = shared_audiences(tastes).head(4)
    ends = [pairs.get_column(name).to_numpy() for name in ("object_a", "object_b")]
    # Pairs of one community and of two, that share users and that share none.
    given, asked = np.append(ends[0], [0, 1, 5]), np.append(ends[1], [1, 2, 300])
    common = np.array(
        [len(np.intersect1d(*map(tastes.audience, two))) for two in zip(given, asked, strict=True)]
    )
    shared = tastes._shared(given, asked)
    for scale in tastes.scales:
        found = tastes._by_mixture(scale, given, asked, (common, shared))

        done = scale.likes.toarray() * scale.touches
        for place, (a, b) in enumerate(zip(given.tolist(), asked.tolist(), strict=True)):
            left, touches = done.copy(), scale.touches.copy()
            for thing in (a, b):
                left[tastes.audience(thing), scale.block[thing]] -= 1
                touches[scale.block[thing]] -= tastes.size[thing]
            there = tastes.audience(b)
            habits = (left[there] * tastes.of_one[there][:, None]).sum(axis=0)
            reach = left[tastes.audience(a)].sum(axis=0) / np.maximum(touches, 1.0)
            known = max(habits.sum(), 1.0)
            assert found[place] == pytest.approx(habits @ reach * len(there) / known, abs=1e-9)
    assert (common >= 3).any()
    assert (common == 0).any()


def test_communities_and_fans_of_an_author_explain_themselves():
    for seed in range(4):
        links = links_of(*platform(np.random.default_rng(seed), fans=40))

        assert not links.height


def test_fans_of_an_author_are_not_drawn_into_a_ring_beside_them():
    links = links_of(*platform(np.random.default_rng(3), ring=RING, calls=8, fans=40))

    users = {user for pair in ends(links) for user in pair}
    assert users <= set(RING)
    assert len(users) >= 10


def test_who_comes_for_a_day_and_likes_what_is_fresh_is_in_no_ring():
    # Each user is there on one day of ten and likes six of the twenty posts his community has then.
    rng = np.random.default_rng(5)
    per_day = 20
    number = COMMUNITIES * 10 * per_day
    author = np.arange(number) // (10 * per_day) * USERS + np.arange(number) % 41
    touched = []
    for user in range(NUM_USERS):
        day = user % 10
        start = (user // USERS * 10 + day) * per_day
        liked = start + rng.choice(per_day, 6, replace=False)
        touched += [(thing, user, day * DAY + rng.integers(0, DAY)) for thing in liked.tolist()]
    thing, user, time = np.array(touched).T

    assert not links_of(Acts(user, thing, time), author).height


def test_what_chance_deals_is_at_most_as_unlikely_as_it_says():
    small = {alpha: 0 for alpha in (10**-3.5, 1e-4, 1e-5)}
    tests = 0.0
    for seed in range(4):
        acts, author = platform(np.random.default_rng(10 + seed), fans=30)
        tastes = find_tastes(acts, author, NUM_USERS, 200)
        p = shared_audiences(tastes).get_column("log10_p").to_numpy()
        tests += all_pairs(len(tastes))
        for alpha in small:
            small[alpha] += int((p <= np.log10(alpha)).sum())

    assert tests > 100_000
    assert all(count <= alpha * tests for alpha, count in small.items())


def test_numbers_of_objects_do_not_matter():
    acts, author = platform(np.random.default_rng(1), ring=RING, calls=8)
    number = np.random.default_rng(9).permutation(len(author))
    other = np.empty_like(author)
    other[number] = author
    order = np.random.default_rng(8).permutation(len(acts))
    moved = Acts(acts.user[order], number[acts.object[order]], acts.time_us[order])

    plain, renumbered = links_of(acts, author), links_of(moved, other)

    assert renumbered.drop("log10_p", "log10_q").equals(plain.drop("log10_p", "log10_q"))
    for name in ("log10_p", "log10_q"):
        assert np.allclose(renumbered.get_column(name), plain.get_column(name))


def test_objects_of_unknown_authors_and_crowds_are_left_out():
    acts, author = platform(np.random.default_rng(1), ring=RING, calls=8)

    assert not links_of(acts, np.full_like(author, -1)).height
    assert not links_of(acts, author, most=5).height


def test_no_acts_tell_nothing():
    none = np.zeros(0, dtype=np.int64)

    links = links_of(Acts(none, none, none), none)

    assert links.columns == ["user_a", "user_b", "weight", "log10_p", "log10_q"]
    assert not links.height


def test_a_weak_core_is_told_though_none_of_its_pairs_is():
    # 60 objects, all pairs of the first six of which have p = 1e-5.
    a, b = np.triu_indices(6, 1)
    columns = {"object_a": a, "object_b": b, "common": 4, "expected": 0.1, "log10_p": -5.0}
    shared = pl.DataFrame(columns, schema_overrides={"common": pl.Int64})

    none = shared.clear().with_columns(pl.lit(0.0).alias("log10_q"))

    told = with_cores(none, shared, 2_000, RATE)

    assert told.height == 15
    assert (told.get_column("log10_q") > -5.0 + np.log10(all_pairs(2_000)) - 10).all()
    assert not with_cores(none, shared.filter(pl.col("object_b") < 3), 2_000, RATE).height


def sparse_ring(seed, *, calls=6, chance=0.6):
    """Tastes of a platform with a ring of ten that comes to few calls, and the objects of these."""
    ring = list(range(5, NUM_USERS, 96))
    acts, author = platform(np.random.default_rng(seed), ring=ring, calls=calls, chance=chance)
    came = np.bincount(acts.object[np.isin(acts.user, ring)], minlength=len(author))
    called = set(np.flatnonzero(came >= 3).tolist())
    return find_tastes(acts, author, NUM_USERS, 200), called


def test_a_ring_none_of_whose_pairs_is_a_discovery_is_told_as_a_set():
    told = right = 0
    for seed in range(6):
        tastes, called = sparse_ring(seed)
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
        tastes, _ = sparse_ring(seed, calls=0)
        common = triu((tastes.users @ tastes.users.T), k=1).tocoo()
        ends = [one[common.data >= 3].astype(np.int64) for one in (common.row, common.col)]
        expected = tastes.expected(*ends, common.data[common.data >= 3].astype(np.int64))
        p = log10_poisson_tail(common.data[common.data >= 3], expected)
        pairs = pl.DataFrame({"object_a": ends[0], "object_b": ends[1], "log10_p": p})

        assert pairs.height > 100
        assert not audience_sets(tastes, pairs.sort("log10_p").head(100), 0.0)


def test_an_author_has_one_object_in_a_set():
    tastes, _ = sparse_ring(1, calls=10, chance=0.9)
    found = audience_sets(tastes, shared_audiences(tastes), RATE)

    assert found
    for one in found:
        sources = tastes.source[one.things]
        assert len(set(sources.tolist())) == len(sources) <= MOST_THINGS


def test_what_is_expected_of_a_set_is_the_likings_of_all_its_users_on_its_days():
    tastes, _ = sparse_ring(2, calls=0)
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


@pytest.mark.parametrize(
    ("seed", "calls", "chance"), [(1, 8, 0.7), (1, 10, 0.9), (0, 6, 0.6), (2, 6, 0.6), (4, 6, 0.6)]
)
def test_q_of_a_company_follows_again_from_how_its_objects_were_told(seed, calls, chance):
    tastes, _ = sparse_ring(seed, calls=calls, chance=chance)

    for company in audience_companies(tastes, RATE):
        told = company.told(tastes)
        numbers = audience_numbers(told.size, plain(told.terms))

        assert numbers[OF_SET] == pytest.approx(told.log10_q)
        assert told.objects.tolist() == tastes.things[company.things].tolist()
        for place, pair in enumerate(told.terms["pairs"]):
            one, other = (tastes.audience(int(company.things[end])) for end in pair["ends"])
            assert pair["common"] == len(np.intersect1d(one, other))
            assert numbers["pairs", place, "log10_p"] == pytest.approx(pair["log10_p"])
            assert numbers["pairs", place, "log10_q"] == pytest.approx(pair["log10_q"])


def test_objects_are_told_in_all_three_ways():
    ways = set()
    for seed, calls, chance in ((3, 2, 1.0), (1, 10, 0.9), (0, 6, 0.6), (2, 6, 0.6)):
        tastes, _ = sparse_ring(seed, calls=calls, chance=chance)
        told = told_pairs(tastes, shared_audiences(tastes), RATE)
        ways |= {json.loads(way)["way"] for way in told.get_column("way")}

    assert ways == {"alone", "set", "core"}

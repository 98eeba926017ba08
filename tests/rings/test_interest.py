import numpy as np
import pytest

from graphguard.graph.keyed import key_hash
from graphguard.rings.coaction import find_coactions
from graphguard.rings.interest import _told_by_others, find_interests, interest_test
from graphguard.rings.link import LinkRules, coaction_links
from graphguard.rings.meetings import Acts

DAY = 86_400_000_000
HOUR = 3_600_000_000
COMMUNITIES, USERS, AUTHORS, POSTS = 12, 60, 15, 3


def platform(rng, ring=(), calls=0):
    """Users like posts of their community's authors; a fan club likes one author's; a ring posts.

    Acts, births and authors of the objects.
    """
    author = np.repeat(np.arange(COMMUNITIES * AUTHORS), POSTS)
    born = rng.integers(0, 10 * DAY, len(author))
    users, objects = [], []
    for community in range(COMMUNITIES):
        mine = np.flatnonzero(author // AUTHORS == community)
        for user in range(community * USERS, (community + 1) * USERS):
            liked = rng.choice(mine, min(rng.poisson(5) + 1, len(mine)), replace=False)
            users += [user] * len(liked)
            objects += liked.tolist()
    for user in range(10):
        fan_of = np.flatnonzero(author == 0)
        users += [user] * len(fan_of)
        objects += fan_of.tolist()
    for thing in rng.choice(len(author), calls, replace=False):
        joined = [user for user in ring if rng.random() < 0.7]
        users += joined
        objects += [int(thing)] * len(joined)
    both = np.unique(np.stack([objects, users]), axis=1)
    time = born[both[0]] + rng.integers(0, 20 * HOUR, both.shape[1])
    return Acts(both[1], both[0], time), born, author


def hashes():
    return key_hash(map(str, range(COMMUNITIES * USERS)))


def judged(acts, author):
    """Every pair that met twice in a day, with its log10 p."""
    found = find_coactions(acts, [DAY], hashes(), 10_000)
    interests = find_interests(acts, author, COMMUNITIES * USERS)
    weight = found.pairs.get_column("weight_0").to_numpy()
    log10_p = interest_test(found, np.arange(len(weight)), weight, 0, interests).log10_p
    return found.pairs.select("user_a", "user_b").to_numpy(), log10_p


def test_a_community_and_its_fans_explain_themselves():
    least = [judged(*platform(np.random.default_rng(seed))[::2])[1] for seed in range(5)]
    pairs = 5 * COMMUNITIES * USERS * (COMMUNITIES * USERS - 1) / 2
    for alpha in (1e-3, 1e-4, 1e-5):
        expected = pairs * alpha
        assert sum((p <= np.log10(alpha)).sum() for p in least) <= expected + 3 * np.sqrt(expected)


def test_users_of_many_communities_who_share_posts_stand_out():
    ring = [community * USERS + 7 for community in range(COMMUNITIES)]
    acts, _, author = platform(np.random.default_rng(1), ring, calls=14)

    pairs, log10_p = judged(acts, author)

    inside = np.isin(pairs, ring).all(axis=1)
    assert np.median(log10_p[inside]) < -4
    assert inside[np.argsort(log10_p)[:40]].all()


def test_only_slow_windows_with_known_authors_are_held_against_interests():
    ring = [community * USERS + 7 for community in range(COMMUNITIES)]
    acts, born, author = platform(np.random.default_rng(2), ring, calls=14)
    rules = LinkRules([HOUR, DAY], 10_000, 1_000, hashes())

    def inside(links):
        pairs = links.filter(links.get_column("log10_p") <= -5).select("user_a", "user_b")
        return int(np.isin(pairs.to_numpy(), ring).all(axis=1).sum())

    with_authors = coaction_links(acts, born, rules, author)
    assert inside(with_authors) > 30
    assert set(with_authors.get_column("window_us")) == {DAY}
    assert inside(coaction_links(acts, born, rules)) == 0


@pytest.mark.parametrize("known", [True, False])
def test_numbers_of_objects_and_order_of_acts_change_no_p(known):
    ring = [community * USERS + 7 for community in range(COMMUNITIES)]
    acts, _, author = platform(np.random.default_rng(3), ring, calls=14)
    author = author if known else np.where(author % 3 == 0, -1, author)
    rng = np.random.default_rng(0)
    order, new = rng.permutation(len(acts)), rng.permutation(len(author))
    moved = Acts(acts.user[order], new[acts.object[order]], acts.time_us[order])
    of_moved = np.empty_like(author)
    of_moved[new] = author

    here, there = judged(acts, author), judged(moved, of_moved)

    assert (here[0] == there[0]).all()
    assert here[1] == pytest.approx(there[1], abs=1e-9)


def test_an_object_of_unknown_author_is_its_own():
    acts, _, author = platform(np.random.default_rng(4))
    unknown = find_interests(acts, np.full(len(author), -1), COMMUNITIES * USERS)
    # A user touches an object once, so nothing of one author is liked twice.
    assert unknown.by_author.nnz == 0
    assert find_interests(acts, author, COMMUNITIES * USERS).by_author.nnz > 0


def test_a_ring_is_no_community_of_its_own():
    # 720 users like posts at random, two of an author: no communities but what chance makes.
    rng = np.random.default_rng(2)
    author = np.repeat(np.arange(1_000), 2)
    ring = list(range(0, 720, 48))
    users, objects = rng.integers(0, 720, 5_000), rng.integers(0, len(author), 5_000)
    for thing in rng.choice(len(author), 20, replace=False):
        joined = [user for user in ring if rng.random() < 0.8]
        users, objects = np.append(users, joined), np.append(objects, [thing] * len(joined))
    acts = Acts(users, objects, rng.integers(0, 20 * HOUR, len(users)))

    pairs, log10_p = judged(acts, author)

    inside = np.isin(pairs, ring).all(axis=1)
    assert inside.sum() == len(ring) * (len(ring) - 1) / 2
    # Where the posts that the ring is called to make a community of its own it is -0.9.
    assert np.median(log10_p[inside]) < -5
    assert log10_p[~inside].min() > -6


def test_a_posts_community_is_told_by_what_else_its_author_made():
    # Of author 0: post 0 is liked by users 0, 1 and 2, of community 5, post 1 by 3 and 4, of 6.
    # Author 1 made post 2 alone, which 0 and 1 like; of author 2 nobody likes anything but post 3,
    # so of that nothing else tells.
    first = Acts(
        np.array([0, 1, 2, 3, 4, 0, 1, 3]), np.array([0, 0, 0, 1, 1, 2, 2, 3]), np.arange(8)
    )
    source, of_source = np.array([0, 0, 1, 2]), np.array([5, 7, 8])

    block = _told_by_others(first, source, np.array([5, 5, 5, 6, 6]), of_source)

    assert block.tolist() == [6, 5, 7, 8]

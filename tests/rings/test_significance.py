import numpy as np
import polars as pl
import pytest
from scipy.special import gammaln
from scipy.stats import binom, poisson

from graphguard.graph.keyed import key_hash
from graphguard.rings.coaction import find_coactions
from graphguard.rings.link import LinkRules, coaction_links
from graphguard.rings.meetings import Acts
from graphguard.rings.significance import (
    all_pairs,
    expected_weights,
    log10_binomial_tail,
    log10_poisson_tail,
    log10_q,
    log_factorial,
    sharing_test,
)


def test_the_tail_is_poissons_and_never_below_it():
    count, mean = np.meshgrid(np.arange(1, 30), np.array([1e-6, 0.1, 1.0, 5.0, 20.0]))
    exact = poisson.logsf(count - 1, mean) / np.log(10)

    told = log10_poisson_tail(count, mean)

    assert (told >= exact - 1e-9).all()
    assert np.abs(told - exact).max() < 0.5


def test_a_tail_that_underflows_is_still_a_number():
    told = log10_poisson_tail(np.array([400]), np.array([1e-9]))

    assert -4500 < told[0] < -4000


def test_expected_weights_sum_to_half_the_visit_pairs():
    rng = np.random.default_rng(0)
    user, thing = rng.zipf(1.8, 20_000) % 400, rng.integers(0, 800, 20_000)
    acts = Acts(user, thing, rng.integers(0, 10**7, 20_000))
    hashes = key_hash(str(n) for n in range(400))

    found = find_coactions(acts, [10**5], hashes, 10**9)
    d = found.visits.astype(float)
    over_all_pairs = (d.sum() ** 2 - (d**2).sum()) / 2 * found.visit_pairs[0] / d.sum() ** 2

    # Users do not pair with themselves, so the heaviest users' own share is missing.
    own = (d**2).sum() / d.sum() ** 2
    assert over_all_pairs == pytest.approx(found.visit_pairs[0] / 2 * (1 - own), rel=1e-9)
    assert expected_weights(found, 0).sum() <= over_all_pairs


def test_discoveries_count_every_pair_that_was_not_seen():
    p = np.array([-9.0, -8.0, -2.0])

    assert log10_q(p, 10**6).tolist() == pytest.approx([-3.0, -2.0 - np.log10(2), 0.0])
    assert all_pairs(4) == 6


def test_under_the_null_the_share_of_small_p_is_at_most_alpha():
    # 300 users, 400 objects, independent draws: no pair is in league with another
    for seed in range(3):
        rng = np.random.default_rng(seed)
        user, thing = rng.integers(0, 300, 8_000), rng.integers(0, 400, 8_000)
        acts = Acts(user, thing, rng.integers(0, 10**9, 8_000))
        found = find_coactions(acts, [10**7], key_hash(str(n) for n in range(300)), 10**9)
        p = log10_poisson_tail(found.pairs["weight_0"].to_numpy(), expected_weights(found, 0))
        for alpha in (1e-2, 1e-3, 1e-4):
            share = (p <= np.log10(alpha)).sum() / all_pairs(300)
            assert share <= alpha * 1.1 + 3 * np.sqrt(alpha / all_pairs(300))


def test_a_cafe_says_nothing_and_two_rare_devices_say_much():
    # 500 users on one address; users 0, 1, 2 also share two devices of their own
    crowd = np.arange(500)
    user = np.concatenate([crowd, crowd, [0, 1, 2, 0, 1, 2]])
    thing = np.concatenate([np.zeros(500, int), 10 + crowd, [1, 1, 1, 2, 2, 2]])
    pairs = pl.DataFrame({"user_a": [0, 3], "user_b": [1, 4], "sizes": [[3, 3, 500], [500]]})

    found = sharing_test(user, thing, pairs, 500)

    assert found.log10_p[0] < -6
    assert found.log10_p[1] > -1
    assert found.shared[0] == 2
    assert found.most_users[0] == 4
    assert found.expected[0] < 1e-3


def test_the_binomial_tail_is_never_below_the_true_one_and_near_it():
    count, trials = np.array([3, 19, 12, 2]), np.array([3, 19, 40, 9])
    expected = np.array([0.3, 5, 2, 3.0])

    tail = log10_binomial_tail(count, trials, expected)

    true = binom.logsf(count - 1, trials, expected / trials) / np.log(10)
    assert (tail >= true - 1e-9).all()
    assert tail[:3] == pytest.approx(true[:3], abs=0.05)
    # Below the mean nothing is surprising.
    assert tail[3] == 0


def test_a_ring_that_meets_where_hardly_anybody_else_does_does_not_hide_itself():
    # 12,000 acts over six days: a dozen meetings by chance, and ten users who meet on 30 objects
    rng = np.random.default_rng(1)
    six_days = 6 * 86_400 * 10**6
    start = np.repeat(rng.integers(0, six_days, 30), 10)
    acts = Acts(
        np.concatenate([np.tile(np.arange(10), 30), rng.integers(0, 600, 12_000)]),
        np.concatenate([np.repeat(np.arange(30), 10), rng.integers(0, 800, 12_000)]),
        np.concatenate(
            [start + rng.integers(0, 6 * 10**7, 300), rng.integers(0, six_days, 12_000)]
        ),
    )
    rules = LinkRules([6 * 10**7], 200, 1000, key_hash(str(n) for n in range(600)))

    links = coaction_links(acts, np.zeros(800, dtype=np.int64), rules)

    found = links.filter(pl.Series(log10_q(links["log10_p"].to_numpy(), all_pairs(600)) <= -2))
    assert found.height == 45
    assert found["user_b"].max() < 10


def platform(rng, *, early):
    """1,200 users on 600 objects over days; a ring on 15 objects; fans on another 15.

    The ring joins within 30 s of one another and is the first that is ever seen there, the fans
    come within the first two minutes of objects whose birth is known.
    """
    born = rng.integers(0, 5 * 10**11, 630)
    user, thing = rng.integers(0, 1200, 9000), rng.integers(0, 600, 9000)
    parts = [(user, thing, rng.lognormal(8.5, 1.6, 9000) * 1e6)]
    for members, first, within in ((np.arange(8), 600, 30e6), (np.arange(8, 16), 615, 120e6)):
        objects = np.repeat(np.arange(first, first + 15), 8)
        parts.append((np.tile(members, 15), objects, rng.uniform(0, within, 120)))
    user, thing, delay = (np.concatenate(each) for each in zip(*parts, strict=True))
    time = born[thing] + delay.astype(np.int64)
    unknown = np.full(630, 2**62)
    np.minimum.at(unknown, thing, time)
    known = np.arange(630) >= 615
    return Acts(user, thing, time), np.where(known | early, born, unknown)


def test_a_ring_that_comes_first_is_found_and_early_fans_are_not():
    acts, born = platform(np.random.default_rng(7), early=False)
    rules = LinkRules([60_000_000], 200, 1000, key_hash(str(n) for n in range(1200)))

    links = coaction_links(acts, born, rules)

    found = links.filter(pl.Series(log10_q(links["log10_p"].to_numpy(), all_pairs(1200)) <= -2))
    pairs = set(found.select("user_a", "user_b").rows())
    assert pairs == {(a, b) for a in range(8) for b in range(a + 1, 8)}


def test_who_is_always_there_when_an_object_appears_meets_by_necessity():
    acts, born = platform(np.random.default_rng(7), early=True)
    rules = LinkRules([60_000_000], 200, 1000, key_hash(str(n) for n in range(1200)))

    links = coaction_links(acts, born, rules)

    assert log10_q(links["log10_p"].to_numpy(), all_pairs(1200)).min(initial=0) > -2


def test_logarithms_of_factorials_are_scipys():
    number = np.concatenate([np.arange(3000), [10**5, 10**7, 3]])

    np.testing.assert_allclose(log_factorial(number), gammaln(number + 1.0), rtol=4e-16)

import numpy as np
import polars as pl
import pytest
from scipy.stats import poisson

from graphguard.graph.keyed import key_hash
from graphguard.rings.coaction import find_coactions
from graphguard.rings.meetings import Acts
from graphguard.rings.significance import (
    all_pairs,
    expected_weights,
    log10_poisson_tail,
    log10_q,
    sharing_p,
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


def test_expected_weights_sum_to_half_the_slot_pairs():
    rng = np.random.default_rng(0)
    user, thing = rng.zipf(1.8, 20_000) % 400, rng.integers(0, 800, 20_000)
    acts = Acts(user, thing, rng.integers(0, 10**7, 20_000))
    hashes = key_hash(str(n) for n in range(400))

    found = find_coactions(acts, [10**5], hashes, 10**9)
    d = found.slots[0].astype(float)
    over_all_pairs = (d.sum() ** 2 - (d**2).sum()) / 2 * found.slot_pairs[0] / d.sum() ** 2

    # Users do not pair with themselves, so the heaviest users' own share is missing.
    own = (d**2).sum() / d.sum() ** 2
    assert over_all_pairs == pytest.approx(found.slot_pairs[0] / 2 * (1 - own), rel=1e-9)
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

    p, expected, shared = sharing_p(user, thing, pairs, 500)

    assert p[0] < -6
    assert p[1] > -1
    assert shared[0] == 2
    assert expected[0] < 1e-3

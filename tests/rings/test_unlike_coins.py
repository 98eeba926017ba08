"""So many heads of unlike coins: the tail is the exact one, however unlike and however small."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

from graphguard.rings import unlike_coins
from graphguard.rings.significance import log10_binomial_tail
from graphguard.rings.unlike_coins import log10_coins_tail


def sets(*chances):
    owner = np.repeat(np.arange(len(chances)), [len(one) for one in chances])
    return owner, np.concatenate([np.asarray(one, dtype=float) for one in chances])


def enumerated(chance, count):
    """The chance of each outcome with enough heads, added up."""
    faces = np.array(list(product([0, 1], repeat=len(chance))), dtype=bool)
    outcome = np.where(faces, chance, 1 - np.asarray(chance)).prod(axis=1)
    return outcome[faces.sum(axis=1) >= count].sum()


@pytest.mark.parametrize("least_tail", [-250.0, 0.0], ids=["plain", "leaned"])
def test_the_tail_is_what_all_outcomes_add_up_to(monkeypatch, least_tail):
    # Chances from near 0 to certain; every number of heads from none to all.
    monkeypatch.setattr(unlike_coins, "LEAST_TAIL", least_tail)
    rng = np.random.default_rng(1)
    drawn, heads = [], []
    for number in (1, 2, 5, 9):
        for _ in range(5):
            chance = rng.random(number) ** rng.integers(1, 8)
            chance[rng.random(number) < 0.1] = 1.0
            drawn += [chance] * (number + 1)
            heads += range(number + 1)
    owner, chance = sets(*drawn)
    order = rng.permutation(len(owner))

    told = log10_coins_tail(np.array(heads), owner[order], chance[order])

    true = [np.log10(enumerated(one, count)) for one, count in zip(drawn, heads, strict=True)]
    assert told == pytest.approx(np.minimum(true, 0), abs=1e-12)


def test_like_coins_are_binomial():
    count = np.arange(41)
    told = log10_coins_tail(count, np.repeat(count, 40), np.full(41 * 40, 0.07))

    assert told == pytest.approx(binom.logsf(count - 1, 40, 0.07) / np.log(10), abs=1e-9)


def test_the_tail_of_unlike_coins_lies_below_the_bound_of_like_ones():
    # Ten of ten, at .9 five times and at .04 five times: the product, which like coins overstate.
    chance = [0.9] * 5 + [0.04] * 5
    told = log10_coins_tail(np.array([10]), *sets(chance))
    bound = log10_binomial_tail(np.array([10]), np.array([10]), np.array([sum(chance)]))

    assert told == pytest.approx([np.log10(chance).sum()])
    assert bound[0] > told[0] + 3.9


def test_what_underflows_is_still_a_number():
    # All of a hundred at 1e-9; fifty of sixty at 1e-20: C(60, 50) times 1e-1000.
    told = log10_coins_tail(np.array([100, 50]), *sets([1e-9] * 100, [1e-20] * 60))

    assert told == pytest.approx([-900, np.log10(75_394_027_566) - 1000], abs=1e-9)
    # One that cannot be is next to impossible.
    assert log10_coins_tail(np.array([1]), *sets([0.0])) == pytest.approx([-100])


def test_nothing_is_surprising_where_there_is_nothing_to_be_surprised_by():
    # Certain meetings; none asked for; more than there are coins; no coins at all.
    told = log10_coins_tail(np.array([2, 0, 3, 1]), *sets([1.0, 1.0], [0.1], [0.1, 0.1], []))

    assert told.tolist() == [0, 0, 0, 0]


def test_a_set_too_large_is_bounded_from_above(monkeypatch):
    rng = np.random.default_rng(2)
    count = np.array([30, 3, 40, 12])
    owner, chance = sets(*(rng.random(40) ** power for power in (1, 6, 1, 2)))
    exact = log10_coins_tail(count, owner, chance)

    monkeypatch.setattr(unlike_coins, "MOST_STEPS", 10)
    bound = log10_coins_tail(count, owner, chance)

    assert (bound >= exact).all()
    # All of them is a product, which Chernoff's bound nearly is; elsewhere it lies a little above.
    assert bound[[0, 2]] == pytest.approx(exact[[0, 2]], abs=1.5)


def test_many_sets_are_taken_in_parts(monkeypatch):
    rng = np.random.default_rng(3)
    number = rng.integers(1, 30, 200)
    owner, chance = np.repeat(np.arange(200), number), rng.random(number.sum())
    count = rng.integers(0, number + 1)
    whole = log10_coins_tail(count, owner, chance)

    monkeypatch.setattr(unlike_coins, "CELLS_AT_ONCE", 50)

    assert log10_coins_tail(count, owner, chance) == pytest.approx(whole, abs=1e-12)

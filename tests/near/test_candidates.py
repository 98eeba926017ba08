import numpy as np
import pytest

from graphguard.near.candidates import near_pairs


def everything(pairs):
    return np.ones(pairs.shape[1], dtype=bool)


def keys(*values):
    return np.array(values, dtype=np.uint64)


def test_things_that_agree_in_a_band_are_paired_once_and_others_never():
    # band 0: a-b and c-d.   band 1: a-b again, and b-c.
    bands = [keys(1, 1, 2, 2), keys(5, 5, 5, 6)]

    pairs = near_pairs(bands, np.array([2, 0, 3, 1]), everything)

    assert pairs.T.tolist() == [[0, 1], [0, 2], [1, 2], [2, 3]]


def test_only_what_is_alike_stays_and_nothing_is_asked_twice():
    asked = []

    def even(pairs):
        asked.extend(map(tuple, pairs.T.tolist()))
        return pairs.sum(axis=0) % 2 == 0

    same = keys(*[7] * 5)
    pairs = near_pairs([same, same, same], np.arange(5), even)

    assert sorted(asked) == [(a, b) for a in range(5) for b in range(a + 1, 5)]
    assert pairs.T.tolist() == [[0, 2], [0, 4], [1, 3], [2, 4]]


def test_a_crowded_key_costs_a_bounded_number_a_member():
    number, reach = 5_000, 4
    rank = np.random.default_rng(0).permutation(number)

    pairs = near_pairs([np.zeros(number, dtype=np.uint64)], rank, everything, reach)

    first = int(np.argmin(rank))
    assert pairs.shape[1] <= (reach + 1) * number
    # Everybody meets the first, so what is near it is found in any crowd.
    assert ((pairs == first).any(axis=0)).sum() == number - 1
    assert np.bincount(pairs[pairs != first], minlength=number).max() <= 2 * reach + 1


def test_what_is_found_follows_ranks_and_not_places():
    rng = np.random.default_rng(1)
    bands = [rng.integers(0, 20, 300).astype(np.uint64) for _ in range(3)]
    rank, moved = rng.permutation(300), rng.permutation(300)

    here = near_pairs(bands, rank, everything, 2)
    there = near_pairs([band[moved] for band in bands], rank[moved], everything, 2)

    assert {frozenset(moved[pair]) for pair in there.T} == {frozenset(pair) for pair in here.T}


@pytest.mark.parametrize("number", [0, 1])
def test_where_nothing_agrees_there_are_no_pairs(number):
    pairs = near_pairs([np.arange(number, dtype=np.uint64)], np.arange(number), everything)
    assert pairs.shape == (2, 0)

import datasketch
import numpy as np
import polars as pl
import pytest

from graphguard.near.minhash import Banding, banding, signatures
from graphguard.near.shingles import Shingles, shingles


def overlapping(common, alone):
    """Two sets of marks that share `common` and have `alone` of their own each."""
    marks = np.random.default_rng(common).integers(0, 2**63, common + 2 * alone).astype(np.uint64)
    one, other = marks[: common + alone], np.delete(marks, slice(common, common + alone))
    start = np.cumsum([0, common + alone, common + alone])
    return Shingles(start, np.concatenate([np.sort(one), np.sort(other)]))


@pytest.mark.parametrize(("common", "alone"), [(10, 45), (50, 25), (90, 5), (3, 1)])
def test_orders_agree_as_often_as_sets_are_alike(common, alone):
    sets, orders = overlapping(common, alone), 2_000
    similarity = common / (common + 2 * alone)

    keys = signatures(sets, Banding(orders, 1), seed=3).keys

    agreed = np.mean([one == other for one, other in keys])
    assert abs(agreed - similarity) < 4 * np.sqrt(similarity * (1 - similarity) / orders)


def test_bands_agree_as_often_as_the_curve_says():
    sets, cut = overlapping(50, 25), Banding(5, 3)
    trials = [any(a == b for a, b in signatures(sets, cut, seed).keys) for seed in range(600)]
    assert abs(np.mean(trials) - cut.chance(0.5)) < 0.08


def test_equal_sets_agree_in_every_band_and_other_seeds_give_other_keys():
    sets = shingles(pl.Series(["one text of some words"] * 2 + ["quite another thing"]), 4)
    keys = signatures(sets, Banding(4, 2), seed=0).keys

    assert (keys[:, 0] == keys[:, 1]).all()
    assert (keys[:, 0] != keys[:, 2]).all()
    assert not (keys == signatures(sets, Banding(4, 2), seed=1).keys).any()


def test_keys_are_the_same_on_every_machine():
    (keys,) = signatures(shingles(pl.Series(["earn 0 eur"]), 4), Banding(1, 2), seed=0).keys
    assert keys.tolist() == [104850960093741205]


@pytest.mark.parametrize("threshold", [0.2, 0.4, 0.5, 0.8, 0.95])
def test_bands_reach_the_stated_recall_and_longer_ones_do_not(threshold):
    cut = banding(threshold, 0.95, 128)
    longer = Banding(128 // (cut.rows + 1), cut.rows + 1)

    assert cut.chance(threshold) >= 0.95
    assert cut.bands * cut.rows <= 128
    assert longer.chance(threshold) < 0.95


def test_a_recall_out_of_reach_is_refused():
    with pytest.raises(ValueError, match="16 permutations cannot find pairs of similarity 0.1"):
        banding(0.1, 0.99, 16)


def test_the_curve_is_no_worse_than_the_reference_s_at_its_threshold():
    theirs = datasketch.MinHashLSH(threshold=0.5, num_perm=128)
    ours = banding(0.5, 0.95, 128)
    assert ours.chance(0.5) >= Banding(theirs.b, theirs.r).chance(0.5)


@pytest.mark.parametrize("similarity", [0.3, 0.5, 0.8])
def test_a_sketch_rules_out_few_pairs_of_the_similarity_and_most_unlike_ones(similarity):
    common = round(2_000 * similarity / (1 + similarity))
    alone = 1_000 - common
    cut = Banding(24, 3)

    def kept(sets):
        return np.mean(
            [
                signatures(sets, cut, seed).likely(np.array([[0], [1]]), similarity)[0]
                for seed in range(300)
            ]
        )

    assert kept(overlapping(common, alone)) >= 0.97
    assert kept(overlapping(common // 3, 1_000 - common // 3)) <= 0.05

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from graphguard.evaluate.metrics import auroc
from graphguard.evaluate.splits import (
    GroupTorn,
    check_masks,
    require_whole_groups,
    split_in_half_by_component,
    stratified_folds,
    stratified_group_folds,
)
from graphguard.graph.keyed import key_hash, seeded


def hashes(count, seed=0):
    return seeded(key_hash(f"user{number}" for number in range(count)), seed)


def test_hashes_are_those_of_every_other_machine():
    # Frozen: a change here moves every user to another fold.
    assert key_hash(["a", "b", "é"]).tolist() == [
        3405396810240292928,
        8453121595177857668,
        3394012004367669963,
    ]
    assert seeded(np.arange(2, dtype=np.uint64), 7).tolist() == [
        14232521865600346940,
        9648886400068060533,
    ]


def test_splitmix_matches_its_published_first_number():
    # Vigna's splitmix64.c with state 0 gives 0xE220A8397B1DCDAF first.
    assert int(seeded(np.zeros(1, dtype=np.uint64), 0)[0]) == 0xE220A8397B1DCDAF


def test_folds_hold_equal_numbers_of_each_class():
    label = np.repeat([1, 0], [10, 101])

    fold = stratified_folds(hashes(111), label, folds=5)

    assert np.bincount(fold[label == 1]).tolist() == [2, 2, 2, 2, 2]
    assert np.bincount(fold[label == 0]).tolist() == [21, 20, 20, 20, 20]


@settings(deadline=None)
@given(st.permutations(range(30)), st.integers(0, 5))
def test_renumbering_rows_moves_nobody_to_another_fold(order, seed):
    order = np.array(order)
    hashed = hashes(30, seed)
    label = (np.arange(30) % 4 == 0).astype(int)
    group = np.arange(30) // 3
    renamed = (group * 7 + 3) % 101

    assert (
        stratified_folds(hashed[order], label[order], 3)
        == stratified_folds(hashed, label, 3)[order]
    ).all()
    assert (
        stratified_group_folds(renamed[order], hashed[order], label[order], 3)
        == stratified_group_folds(group, hashed, label, 3)[order]
    ).all()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 1)), min_size=1, max_size=60))
def test_a_group_is_never_torn(rows):
    group = np.array([each[0] for each in rows])
    label = np.array([each[1] for each in rows])

    fold = stratified_group_folds(group, hashes(len(rows)), label, 3)

    for number in np.unique(group):
        assert len(np.unique(fold[group == number])) == 1


def test_group_folds_share_the_positives():
    # 6 rings of 5 positives and 60 lone negatives, in 3 folds: 2 rings and 20 lone rows each
    group = np.concatenate([np.repeat(np.arange(6), 5), np.arange(6, 66)])
    label = (group < 6).astype(int)

    fold = stratified_group_folds(group, hashes(90), label, 3)

    assert np.bincount(fold[label == 1]).tolist() == [10, 10, 10]
    assert np.bincount(fold).tolist() == [30, 30, 30]


def test_halves_share_no_component_and_the_positives():
    component = np.repeat(np.arange(40), 5)
    label = (component % 4 == 0).astype(int)

    first = split_in_half_by_component(component, hashes(200), label)

    assert not set(component[first]) & set(component[~first])
    assert label[first].sum() == label[~first].sum() == 25
    assert first.sum() == 100


def test_another_seed_makes_other_folds():
    label = np.zeros(100, dtype=int)

    assert (
        stratified_folds(hashes(100, 1), label, 5) != stratified_folds(hashes(100, 2), label, 5)
    ).any()


def test_masks_that_share_a_row_are_refused():
    train = np.array([True, True, False])

    check_masks({"train": train, "test": ~train}, 3)
    with pytest.raises(ValueError, match="'train' and 'test' share 1 rows, first 1"):
        check_masks({"train": train, "test": np.array([False, True, True])}, 3)
    with pytest.raises(ValueError, match="'test' holds no row"):
        check_masks({"test": np.zeros(3, dtype=bool)}, 3)
    with pytest.raises(ValueError, match="got int64"):
        check_masks({"test": np.arange(3)}, 3)


def test_one_fold_is_refused():
    with pytest.raises(ValueError, match="got 1"):
        stratified_folds(hashes(3), np.zeros(3), 1)


def test_an_odd_number_of_positives_does_not_send_all_negatives_to_one_half():
    label = np.array([1, 1, 1] + [0] * 100)

    first = split_in_half_by_component(np.arange(103), hashes(103), label)

    assert sorted([int(label[first].sum()), int(label[~first].sum())]) == [1, 2]
    assert abs(int(first.sum()) - int((~first).sum())) <= 1


def test_a_ring_split_across_folds_is_refused_by_name():
    # ring 5 has a row in fold 0 and one in fold 2; ring 8 is whole
    fold, ring = np.array([0, 2, 1, 1]), np.array([5, 5, 8, 8])

    with pytest.raises(GroupTorn, match=r"group 5 lies in parts 0, 2 \(1 groups are torn\)"):
        require_whole_groups(fold, ring)
    require_whole_groups(np.array([0, 0, 1, 1]), ring)


def test_masks_that_tear_a_ring_are_refused():
    ring = np.array([1, 1, 2, 3])
    train, test = np.array([True, False, True, False]), np.array([False, True, False, True])

    check_masks({"train": train, "test": test}, 4)
    with pytest.raises(GroupTorn, match="group 1 lies in parts test, train"):
        check_masks({"train": train, "test": test}, 4, ring)


def test_a_ring_split_across_folds_flatters_and_whole_rings_do_not():
    # 60 rings of 10 rows; a ring's rows look alike, and nothing in them tells which rings are bad
    draw = np.random.default_rng(1)
    ring = np.repeat(np.arange(60), 10)
    label = draw.integers(0, 2, 60)[ring]
    look = draw.normal(size=(60, 4))[ring] + draw.normal(0, 0.05, (600, 4))

    def judged(fold):
        score = np.empty(600)
        for held_out in range(5):
            test = fold == held_out
            model = KNeighborsClassifier(3).fit(look[~test], label[~test])
            score[test] = model.predict_proba(look[test])[:, 1]
        return auroc(score, label)

    assert judged(stratified_folds(hashes(600), label, 5)) > 0.99
    assert abs(judged(stratified_group_folds(ring, hashes(600), label, 5)) - 0.5) < 0.12

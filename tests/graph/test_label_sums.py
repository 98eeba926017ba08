"""Labels around a row: exact, hidden inside a fold, blind to the future."""

from dataclasses import replace

import numpy as np
import pytest

from graphguard.graph.hetero import Adjacency
from graphguard.graph.label_spread import KEPT, STEPS, spread_labels
from graphguard.graph.label_sums import (
    ALWAYS,
    UNIT,
    LabelledNodes,
    Lookers,
    direct_labels,
    shared_labels,
)
from graphguard.graph.relations import Relation, both_ways


def adjacency(start, end, time, num_rows):
    order = np.lexsort((end, time, start))
    indptr = np.r_[0, np.cumsum(np.bincount(start, minlength=num_rows))].astype(np.int64)
    ones = np.ones(len(order), dtype=np.int32)
    return Adjacency(indptr, np.int32(end)[order], np.int64(time)[order], ones)


def sides(start, end, time, sizes):
    return adjacency(start, end, time, sizes[0]), adjacency(end, start, time, sizes[1])


def labelled(node, bad, fold, known_us=ALWAYS):
    node = np.array(node)
    known = np.broadcast_to(np.array(known_us, dtype=np.int64), node.shape).copy()
    return LabelledNodes(node, known, np.array(bad, dtype=bool), np.array(fold))


def test_a_row_sees_labels_of_other_folds_on_its_objects():
    # object 0: users 0 1 2 3     object 1: users 0 3     user 3 has no label
    #           fold  0 0 1 0     bad: 0 1 2
    touch = ([0, 1, 2, 3, 0, 3], [0, 0, 0, 0, 1, 1])
    both = sides(np.array(touch[0]), np.array(touch[1]), np.full(6, 5), (4, 2))
    lookers = Lookers(np.arange(4), np.full(4, 9), np.array([0, 0, 1, 0]))
    weight = np.array([UNIT, UNIT, UNIT // 2])

    seen = shared_labels(both, lookers, replace(labelled([0, 1, 2], [1, 1, 1], [0, 0, 1]),
                                                weight=weight), 9)  # fmt: skip

    # entries (row, object): 0-0 0-1 1-0 2-0 3-0 3-1
    assert seen.row.tolist() == [0, 0, 1, 2, 3, 3]
    assert seen.known.tolist() == [1, 0, 1, 2, 1, 0]
    assert seen.bad.tolist() == [1, 0, 1, 2, 1, 0]
    assert seen.others.tolist() == [3, 1, 3, 3, 3, 1]
    assert seen.weighted_bad.tolist() == [0.5, 0.0, 0.5, 2.0, 0.5, 0.0]


def test_a_direct_neighbour_counts_once_whatever_the_days_and_directions():
    # 0 -> 1 on two days, 1 -> 0, 0 -> 0, 0 -> 2 after the anchor
    out, into = sides(np.array([0, 0, 1, 0, 0]), np.array([1, 1, 0, 0, 2]),
                      np.array([1, 2, 3, 4, 10]), (3, 3))  # fmt: skip
    lookers = Lookers(np.array([0]), np.array([10]), np.array([0]))
    known = labelled([0, 1, 2], [1, 1, 1], [0, 1, 1])

    both = both_ways(Relation("meets:user", out, into, direct=True))
    one_way = direct_labels((out,), lookers, known, 10)
    any_way = direct_labels((both,), lookers, known, 10)

    for seen in (one_way, any_way):
        assert (seen.row.tolist(), seen.known.tolist(), seen.bad.tolist()) == ([0], [1], [1])
    assert both.time_us.tolist() == [1, 2, 3, 4, 4, 10, 1, 2, 3, 10]


@pytest.mark.parametrize("own_windows", [False, True])
def test_sums_agree_with_counting_by_hand(own_windows):
    rng = np.random.default_rng(3)
    users, objects, edges, folds, window = 40, 12, 300, 4, 30
    start, end = rng.integers(0, users, edges), rng.integers(0, objects, edges)
    time = rng.integers(0, 60, edges)
    both = sides(start, end, time, (users, objects))
    node = rng.permutation(users)[:25]
    known = labelled(node, rng.random(25) < 0.4, rng.integers(0, folds, 25),
                     rng.choice([ALWAYS, 20, 45], 25))  # fmt: skip
    fold = rng.integers(0, folds, users)
    fold[known.node] = known.fold
    anchor = rng.integers(10, 60, users) if own_windows else np.full(users, 44)

    seen = shared_labels(both, Lookers(np.arange(users), anchor, fold), known, window)

    objects_of = [np.unique(end[(start == u) & (time < anchor[u]) & (time >= anchor[u] - window)])
                  for u in range(users)]  # fmt: skip
    expected = []
    for user in range(users):
        for touched in objects_of[user]:
            found = [0, 0, 0]
            inside = (end == touched) & (time < anchor[user]) & (time >= anchor[user] - window)
            for other in start[inside]:
                found[2] += other != user
                for place in np.flatnonzero(known.node == other):
                    if known.fold[place] != fold[user] and known.known_us[place] <= anchor[user]:
                        found[0] += 1
                        found[1] += known.bad[place]
            expected.append([user, *found])
    made = np.stack([seen.row, seen.known, seen.bad, seen.others], axis=1)
    assert made.tolist() == expected
    assert made[:, 2].sum() > 50


def test_rows_that_share_a_window_see_the_same_either_way():
    rng = np.random.default_rng(5)
    both = sides(rng.integers(0, 30, 200), rng.integers(0, 9, 200), rng.integers(0, 50, 200),
                 (30, 9))  # fmt: skip
    known = labelled(np.arange(20), rng.random(20) < 0.5, np.arange(20) % 3)
    lookers = Lookers(np.arange(30), np.full(30, 40), np.arange(30) % 3)
    # One more row at another time takes all rows the other way.
    more = Lookers(np.r_[0, lookers.node], np.r_[5, lookers.anchor_us], np.r_[0, lookers.fold])

    shared, own = (shared_labels(both, some, known, 25) for some in (lookers, more))

    mine = own.row > 0
    assert (own.row[mine] - 1).tolist() == shared.row.tolist()
    for name in ("known", "bad", "others"):
        assert getattr(own, name)[mine].tolist() == getattr(shared, name).tolist()


def test_spread_labels_are_those_of_dense_matrices():
    # devices and direct links of 8 users; users 0..4 are labelled, in two folds; user 7 is alone
    uses = (np.array([0, 1, 2, 2, 3, 4, 5]), np.array([0, 0, 0, 1, 1, 2, 2]))
    links = (np.array([0, 5, 6]), np.array([5, 6, 6]))
    relations = [
        Relation("uses:device", *sides(*uses, np.full(7, 3), (8, 3)), direct=False),
        Relation("meets:user", *sides(*links, np.full(3, 3), (8, 8)), direct=True),
    ]
    bad = np.array([1, 0, 1, 0, 1], dtype=bool)
    fold = np.array([0, 0, 1, 1, 0, 1, 0, 1])
    known = LabelledNodes(np.arange(5), np.full(5, ALWAYS), bad, fold[:5])
    lookers = Lookers(np.arange(8), np.full(8, 9), fold)

    found = spread_labels(relations, lookers, known, 9)

    users = np.zeros((8, 3))
    users[uses] = 1
    direct = np.zeros((8, 8))
    direct[links] = direct[links[::-1]] = 1
    np.fill_diagonal(direct, 0)
    steps = [_rows(users) @ _rows(users.T), _rows(direct)]
    count = sum(step.any(axis=1).astype(float) for step in steps)
    step = sum(steps) / np.maximum(count, 1)[:, None]
    for values, made in zip((bad.astype(float), np.ones(5)), found, strict=True):
        expected = np.zeros(8)
        for number in (0, 1):
            shown = np.zeros(8)
            shown[:5] = np.where(fold[:5] != number, values, 0)
            mass = shown.copy()
            for _ in range(STEPS):
                mass = (1 - KEPT) * step @ mass + KEPT * shown
            expected[fold == number] = mass[fold == number]
        assert made == pytest.approx(expected, abs=1e-6)
    assert found[1][7] == 0


def _rows(matrix):
    total = matrix.sum(axis=1, keepdims=True)
    return np.divide(matrix, total, where=total > 0, out=np.zeros(matrix.shape))

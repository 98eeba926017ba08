import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphguard.graph.keyed import key_hash
from graphguard.rings.coaction import coaction_pairs, find_coactions
from graphguard.rings.meetings import Acts


def hashes(count):
    return key_hash(str(n) for n in range(count))


def test_pairs_stop_at_the_window_edge():
    # object 0:   a@100  b@110  c@111     window 10 s
    #             a-b 10 s: kept.   b-c 1 s: kept.   a-c 11 s: dropped.
    user, time = np.array([0, 1, 2]), np.array([100, 110, 111])

    edges = coaction_pairs(user, np.zeros(3, dtype=int), time, window_us=10)

    assert edges.T.tolist() == [[0, 1], [1, 2]]


def test_a_negative_window_is_refused():
    with pytest.raises(ValueError, match="window_us must be 0 or more, got -1"):
        coaction_pairs(np.array([0]), np.array([0]), np.array([0]), window_us=-1)


def test_a_user_never_pairs_with_itself_and_midnight_is_no_border():
    day = 86_400_000_000
    user, time = np.array([0, 0, 1]), np.array([day - 1, day, day + 1])

    edges = coaction_pairs(user, np.zeros(3, dtype=int), time, window_us=5)

    assert edges.T.tolist() == [[0, 1]]


events = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 12)), max_size=22)


def brute(rows, window):
    """Objects on which each pair acted within the window, and who was first at the least gap."""
    found = {}
    for one in rows:
        for other in rows:
            if one[0] < other[0] and one[1] == other[1] and abs(one[2] - other[2]) <= window:
                found.setdefault((one[0], other[0]), set()).add(one[1])
    return {pair: len(things) for pair, things in found.items()}


@settings(max_examples=200)
@given(events)
def test_weights_are_distinct_objects_within_each_window(rows):
    user, thing, time = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    found = find_coactions(Acts(user, thing, time), [1, 4], hashes(5), 1000)

    near, far = brute(rows, 1), brute(rows, 4)
    told = {
        (a, b): (w0, w1)
        for a, b, w0, w1 in found.pairs.select(
            "user_a", "user_b", "weight_0", "weight_1"
        ).iter_rows()
    }

    assert told == {pair: (near.get(pair, 0), n) for pair, n in far.items() if n >= 2}


@settings(max_examples=100)
@given(events, st.randoms())
def test_row_order_and_numbering_change_nothing_but_names(rows, random):
    user, thing, time = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    order = list(range(len(rows)))
    random.shuffle(order)
    names = [3, 0, 4, 2, 1]

    first = find_coactions(Acts(user, thing, time), [4], hashes(5), 1000).pairs
    moved = find_coactions(
        Acts(
            np.array([names[u] for u in user], dtype=np.int64)[order], 3 - thing[order], time[order]
        ),
        [4],
        hashes(5),
        1000,
    ).pairs

    back = {name: old for old, name in enumerate(names)}
    told = {
        tuple(sorted((back[a], back[b]))): w
        for a, b, w in moved.select("user_a", "user_b", "weight_0").iter_rows()
    }
    assert told == {
        (a, b): w for a, b, w in first.select("user_a", "user_b", "weight_0").iter_rows()
    }


def test_acts_on_an_object_soon_after_one_another_are_one_visit():
    # object 0: a@0 a@1 b@2 a@70   object 1: a@0 c@50
    acts = Acts(
        np.array([0, 0, 1, 0, 0, 2]),
        np.array([0, 0, 0, 0, 1, 1]),
        np.array([0, 1, 2, 70, 0, 50]),
    )

    found = find_coactions(acts, [5, 60], hashes(3), 1000)

    # a comes to object 0 twice; within 60: a-b, and a-c on object 1
    assert found.visits.tolist() == [3, 1, 1]
    assert found.visit_pairs.tolist() == [2, 4]


def test_a_burst_is_sampled_but_a_nominated_pair_is_counted_exactly():
    # 400 strangers and the pair (0, 1) on one viral object within a second; the pair also shares
    # two quiet objects, so it is nominated and its viral act is found, sampled or not.
    crowd = np.arange(402)
    user = np.concatenate([crowd, [0, 1, 0, 1]])
    thing = np.concatenate([np.zeros(402, dtype=int), [1, 1, 2, 2]])
    time = np.concatenate([crowd, [0, 1, 0, 1]])

    found = find_coactions(Acts(user, thing, time), [1000], hashes(402), 50)

    assert found.burst_objects.tolist() == [0]
    mine = found.pairs.filter((found.pairs["user_a"] == 0) & (found.pairs["user_b"] == 1))
    assert mine.get_column("weight_0").to_list() == [3]
    assert found.pairs.height == 1

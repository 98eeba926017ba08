import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from graphguard.near.groups import centres


def in_turn(rank, pairs):
    """The definition, one thing after the other."""
    near = {thing: set() for thing in range(len(rank))}
    for one, other in pairs:
        near[one].add(other)
        near[other].add(one)
    centre = {}
    for thing in np.argsort(rank):
        if thing not in centre:
            centre[thing] = thing
            for other in near[thing]:
                centre.setdefault(other, thing)
    return [centre[thing] for thing in range(len(rank))]


@given(
    st.integers(1, 30).flatmap(
        lambda number: st.tuples(
            st.permutations(range(number)),
            st.sets(st.tuples(*[st.integers(0, number - 1)] * 2), max_size=80),
        )
    )
)
def test_groups_are_those_of_taking_things_in_turn(drawn):
    rank, pairs = np.array(drawn[0]), sorted({tuple(sorted(p)) for p in drawn[1] if p[0] != p[1]})
    ends = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    assert centres(rank, ends).tolist() == in_turn(rank, pairs)


def test_a_chain_of_small_steps_is_not_one_group():
    number = 10_000
    steps = np.stack([np.arange(number - 1), np.arange(1, number)])
    rank = np.random.default_rng(0).permutation(number)

    found = centres(rank, steps)

    assert np.abs(found - np.arange(number)).max() == 1
    assert np.bincount(found).max() <= 3


def test_without_pairs_everything_stands_alone():
    assert centres(np.array([1, 0]), np.zeros((2, 0), dtype=np.int64)).tolist() == [0, 1]
    assert centres(np.zeros(0, dtype=np.int64), np.zeros((2, 0), dtype=np.int64)).tolist() == []

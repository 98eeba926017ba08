import numpy as np

from graphguard.graph.keyed import key_hash
from graphguard.rings.behaviour import HOUR_US, SECOND_US, Deeds, behaviour

DAY_US = 24 * HOUR_US


def deeds(*acts):
    """Of (user, relation, object, time)."""
    user, relation, thing, time = zip(*acts, strict=True)
    return Deeds(
        np.array(user),
        np.array(relation),
        key_hash(map(str, thing)),
        np.array(time, dtype=np.int64),
    )


def scheduled(user, first):
    """Six days at nine and a half: a post, then a like of something of one's own ten seconds on."""
    for day in range(6):
        at = day * DAY_US + 9 * HOUR_US + 30 * SECOND_US
        yield user, 0, f"post{user}.{first}.{day}", at
        yield user, 1, f"like{user}.{first}.{day}", at + 10 * SECOND_US


def strolling(user, seed):
    rng = np.random.default_rng(seed)
    for number, at in enumerate(np.sort(rng.integers(0, 6 * DAY_US, 12))):
        yield user, int(rng.integers(0, 2)), f"thing{seed}.{number}", int(at)


def test_a_scheduler_s_accounts_are_near_though_they_touch_nothing_in_common():
    acts = [*scheduled(0, 0), *scheduled(1, 1), *strolling(2, 2), *strolling(3, 3)]

    found = behaviour(deeds(*acts), 4)

    near = found.vectors @ found.vectors.T
    assert found.rows.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(np.diag(near), 1, rtol=1e-5)
    # The clock and the order are the same; of three parts only the objects differ.
    assert near[0, 1] > 0.6
    assert max(near[0, 2], near[0, 3], near[2, 3]) < 0.45


def test_a_rare_object_in_common_says_more_than_one_that_all_have():
    crowd = [(user, 0, "everybody", 7 * user) for user in range(3, 40)]
    own = [(user, 0, f"own{user}", 1000 * n + user) for user in range(3) for n in range(4)]

    rare = behaviour(deeds(*crowd, *own, (0, 0, "rare", 1), (1, 0, "rare", 2), (2, 0, "x", 3)), 40)
    common = behaviour(deeds(*crowd, *own, *((user, 0, "everybody", 1) for user in range(3))), 40)

    assert rare.vectors[0] @ rare.vectors[1] > common.vectors[0] @ common.vectors[1] + 0.08


def test_order_of_rows_and_names_of_users_change_nothing():
    acts = [*scheduled(0, 0), *strolling(1, 1), *strolling(2, 2)]
    other = np.random.default_rng(0).permutation(len(acts))
    place = {0: 2, 1: 0, 2: 1}

    one = behaviour(deeds(*acts), 3)
    two = behaviour(deeds(*((place[acts[n][0]], *acts[n][1:]) for n in other)), 3)

    np.testing.assert_array_equal(one.vectors, two.vectors[[2, 0, 1]])
    np.testing.assert_array_equal(one.acts, two.acts[[2, 0, 1]])


def test_who_acted_little_has_no_vector_and_objects_are_counted_once():
    acts = [*scheduled(1, 0), *((3, 0, "same", at) for at in range(4))]

    found = behaviour(deeds(*acts), 5)

    assert found.rows.tolist() == [1]
    assert found.acts.tolist() == [0, 12, 0, 4, 0]
    assert found.objects.tolist() == [0, 12, 0, 1, 0]


def test_no_acts_give_no_vectors():
    nothing = np.zeros(0, dtype=np.int64)

    found = behaviour(Deeds(nothing, nothing, nothing.astype(np.uint64), nothing), 3)

    assert found.vectors.shape[0] == 0
    assert found.acts.tolist() == [0, 0, 0]

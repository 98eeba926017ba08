import numpy as np
import polars as pl
import pytest

from graphguard.rings.coaction import find_coactions
from graphguard.rings.meetings import Acts
from graphguard.rings.recurrence import (
    Sets,
    again_numbers,
    find_bursts,
    links_within,
    recurring_sets,
)
from graphguard.rings.set_terms import OF_SET, plain
from graphguard.rings.timing_null import timing_null

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
RATE = -2.0


def acts(*rows: tuple[int, int, int]) -> Acts:
    """Acts of (user, object, time in microseconds)."""
    user, thing, time_us = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Acts(user, thing, time_us)


def platform(calls: list[list[int]], seed: int = 0) -> tuple[Acts, np.ndarray]:
    """200 posts, each liked by 40 of 400 users over some hours, so that some meet by chance.

    Each call is one post more, on which its users meet within a minute.
    """
    rng = np.random.default_rng(seed)
    born = rng.integers(0, 7 * DAY_US, 200 + len(calls))
    events = [
        (user, post, int(born[post] + rng.exponential(2 * HOUR_US)))
        for post in range(200)
        for user in rng.choice(400, 40, replace=False).tolist()
    ]
    for number, members in enumerate(calls, 200):
        at = int(born[number] + rng.integers(5 * HOUR_US))
        events += [(user, number, at + int(rng.integers(MINUTE_US))) for user in members]
    return acts(*events), born


def sets_of(log: Acts, born: np.ndarray) -> Sets:
    hashes = np.arange(400, dtype=np.uint64)
    null = timing_null(log, find_coactions(log, [MINUTE_US], hashes), born, [MINUTE_US])
    return recurring_sets(log, find_bursts(log, MINUTE_US, 200), null, 0, RATE)


def test_bursts_are_the_largest_that_do_not_overlap():
    # Object 7: users 1 2 3 4 within a minute, 5 too late for 1 but in time for 2.
    times = [(1, 0), (2, 20), (3, 30), (4, 59), (5, 75)]
    log = acts(
        *((user, 7, 10**15 + second * 10**6) for user, second in times),
        *((user, 8, 10**15 + user * 10**6) for user in (1, 2)),
        (9, 7, 10**15 + 500 * 10**6),
    )

    found = find_bursts(log, MINUTE_US, 200)

    assert found.object.tolist() == [7]
    assert found.user.tolist() == [1, 2, 3, 4]
    assert len(find_bursts(log, MINUTE_US, 3)) == 1
    assert find_bursts(log, MINUTE_US, 3).user.tolist() == [3, 4, 5]


def test_a_user_counts_once_in_a_burst_and_times_before_1970_are_times():
    log = acts(*((user, 0, -(10**15) + user) for user in (1, 2, 2, 3)), (2, 0, -(10**15) + 9))

    assert find_bursts(log, MINUTE_US, 200).user.tolist() == [1, 2, 3]


def test_a_set_that_meets_twice_is_found_though_each_pair_met_only_twice():
    ring = [10, 20, 30, 40, 50, 60]
    log, born = platform([ring, ring])

    found = sets_of(log, born)

    assert [users.tolist() for users in found.users] == [ring]
    assert found.objects.tolist() == [[200, 201]]
    assert found.log10_q[0] <= RATE


def test_meeting_once_or_on_two_objects_with_others_is_no_pattern():
    ring = [10, 20, 30, 40, 50, 60]

    assert sets_of(*platform([ring])).users == []
    assert sets_of(*platform([ring, [11, 21, 31, 41, 51, 61]])).users == []


@pytest.mark.parametrize("seed", range(5))
def test_where_nobody_calls_nothing_is_found(seed):
    assert sets_of(*platform([], seed)).users == []


def test_fans_who_always_come_at_once_are_no_set():
    log, born = platform([])
    rng = np.random.default_rng(0)
    first = len(born)
    fans = acts(
        *(
            (user, first + post, post * HOUR_US + int(rng.exponential(5 * MINUTE_US)))
            for post in range(40)
            for user in range(60)
            if rng.random() < 0.4
        )
    )
    parts = ((log.user, fans.user), (log.object, fans.object), (log.time_us, fans.time_us))
    both = Acts(*(np.concatenate(part) for part in parts))

    found = sets_of(both, np.concatenate([born, np.arange(40) * HOUR_US]))

    # Fans of one creator are together in many bursts, as those who are always there at once are.
    assert len(find_bursts(both, MINUTE_US, 200)) > 100
    assert found.users == []


def test_a_pair_has_the_q_of_its_best_set_and_counts_objects_once():
    sets = Sets(
        [np.array([1, 2, 3]), np.array([1, 2, 4])],
        np.array([[5, 6], [6, 7]]),
        np.array([-3.0, -5.0]),
    )

    links = links_within(sets, num_pairs=1000.0)

    assert links.rows() == [
        (1, 2, 3, -8.0, -5.0),
        (1, 3, 2, -6.0, -3.0),
        (1, 4, 2, -8.0, -5.0),
        (2, 3, 2, -6.0, -3.0),
        (2, 4, 2, -8.0, -5.0),
    ]


def test_numbering_objects_anew_changes_no_bit():
    ring = [10, 20, 30, 40, 50, 60]
    log, born = platform([ring, ring])
    number = np.random.default_rng(1).permutation(len(born))
    renamed = np.empty_like(born)
    renamed[number] = born

    before = sets_of(log, born)
    after = sets_of(Acts(log.user, number[log.object], log.time_us), renamed)

    assert len(before.users) == 1
    assert sorted(number[before.objects[0]]) == sorted(after.objects[0])
    assert before.log10_q.tolist() == after.log10_q.tolist()


def test_nothing_makes_nothing():
    empty = Acts(*(np.zeros(0, dtype=np.int64) for _ in range(3)))

    assert len(find_bursts(empty, MINUTE_US, 200)) == 0
    none = Sets([], np.zeros((0, 2), dtype=np.int64), np.zeros(0))
    assert links_within(none, 10.0).schema["log10_p"] == pl.Float64


def test_q_follows_again_from_what_was_counted_and_expected():
    log, born = platform([[10, 20, 30, 40, 50, 60]] * 2)

    told = sets_of(log, born).told("again")

    assert len(told) == 1
    for one in told:
        numbers = again_numbers(one.size, plain(one.terms))
        assert numbers[OF_SET] == pytest.approx(one.log10_q)
        for test in ("activity", "timing"):
            for name in ("log10_p", "log10_q"):
                assert numbers[test, name] == pytest.approx(one.terms[test][name])
        # One user more is less likely to come by chance; the chances are of each with one of them.
        assert (
            again_numbers(one.size + 1, one.terms)["activity", "log10_p"]
            < numbers["activity", "log10_p"]
        )
        assert [len(each) for each in one.terms["timing"]["chances"]] == [one.size - 1] * 2

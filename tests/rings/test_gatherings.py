import numpy as np
import pytest

from graphguard.rings.coaction import find_coactions
from graphguard.rings.gatherings import (
    Gatherings,
    company_numbers,
    gathered_links,
    gatherings,
    once_numbers,
)
from graphguard.rings.meetings import Acts
from graphguard.rings.recurrence import Sets, find_bursts
from graphguard.rings.set_terms import OF_SET, plain
from graphguard.rings.timing_null import timing_null

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
RATE = -2.0
USERS, NORMAL, POSTS = 2_000, 1_000, 2_000
CALLED = 17
"""The post that a ring is called to."""


def acts(*rows: tuple[int, int, int]) -> Acts:
    """Acts of (user, object, time in microseconds)."""
    user, thing, time_us = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Acts(user, thing, time_us)


def both(one: Acts, other: Acts) -> Acts:
    return Acts(
        *(
            np.concatenate([getattr(one, name), getattr(other, name)])
            for name in ("user", "object", "time_us")
        )
    )


def platform(seed: int = 0) -> tuple[Acts, np.ndarray]:
    """Posts of a week, each liked by fifteen users, half of them in its first hours."""
    rng = np.random.default_rng(seed)
    born = rng.integers(0, 7 * DAY_US, POSTS)
    rows = [
        (user, post, int(born[post] + np.exp(rng.normal(np.log(2.0), 1.6)) * HOUR_US))
        for post in range(POSTS)
        for user in rng.choice(NORMAL, 15, replace=False).tolist()
    ]
    return acts(*rows), born


def call(born: np.ndarray, size: int, spread_us: int = MINUTE_US, after_us: int = DAY_US) -> Acts:
    """Users from 1,000 on like the called post, one after the other within some time."""
    at = int(born[CALLED]) + after_us
    step = spread_us // max(size - 1, 1)
    return acts(*((1_000 + number, CALLED, at + number * step) for number in range(size)))


def followers(born: np.ndarray) -> Acts:
    """Of a tenth of all posts fifteen users are told, and like them within minutes."""
    rng = np.random.default_rng(3)
    return acts(
        *(
            (int(user), post, int(born[post] + rng.exponential(2 * MINUTE_US)))
            for post in range(0, POSTS, 10)
            for user in rng.choice(NORMAL, 15, replace=False)
        )
    )


def found_in(log: Acts, born: np.ndarray) -> Gatherings:
    hashes = np.arange(USERS, dtype=np.uint64)
    null = timing_null(log, find_coactions(log, [MINUTE_US], hashes), born, [MINUTE_US])
    return gatherings(log, find_bursts(log, MINUTE_US, 200), null, 0, MINUTE_US, RATE)


def told(log: Acts, born: np.ndarray) -> Sets:
    return found_in(log, born).sets


def test_a_ring_that_was_called_once_is_told_whole():
    log, born = platform()

    found = told(both(log, call(born, 8)), born)

    assert [users.tolist() for users in found.users] == [list(range(1_000, 1_008))]
    assert found.objects.tolist() == [[CALLED]]
    assert found.log10_q[0] < -5


def test_more_users_are_less_likely_by_chance_and_three_are_no_gathering():
    log, born = platform()
    q = [told(both(log, call(born, size)), born).log10_q for size in (3, 6, 8, 10)]

    assert [len(one) for one in q] == [0, 1, 1, 1]
    assert q[1][0] > q[2][0] > q[3][0]


@pytest.mark.parametrize("seed", range(10))
def test_where_nobody_calls_nothing_is_told(seed):
    assert told(*platform(seed)).users == []


def test_a_crowd_just_after_a_post_appeared_is_what_posts_have():
    log, born = platform()
    keen = followers(born)
    late = call(born, 15)

    assert told(both(log, keen), born).users == []
    # As many a day later are not.
    assert len(told(both(both(log, keen), late), born).users) == 1


def test_a_burst_with_a_wake_is_a_crowd():
    log, born = platform()
    at = int(born[CALLED]) + DAY_US
    shared = call(born, 12)
    # Somebody known has shared the old post: more come for minutes, ever fewer.
    wake = acts(
        *(
            (1_200 + number, CALLED, at + MINUTE_US + int(10 * MINUTE_US * (number / 60) ** 2))
            for number in range(1, 60)
        )
    )

    assert len(told(both(log, shared), born).users) == 1
    assert told(both(both(log, shared), wake), born).users == []


def calls(born: np.ndarray, *groups: range) -> Acts:
    """Each group likes a post of its own at once, when it is half a day old."""
    return acts(
        *(
            (user, CALLED + number, int(born[CALLED + number]) + DAY_US // 2 + place)
            for number, group in enumerate(groups)
            for place, user in enumerate(group)
        )
    )


def test_two_calls_with_users_in_common_are_one_rings():
    log, born = platform()
    log = both(log, followers(born))
    groups = range(1_000, 1_010), range(1_006, 1_016), range(1_100, 1_110)

    found = found_in(both(log, calls(born, *groups)), born)

    assert [users.tolist() for users in found.sets.users] == [list(group) for group in groups]
    assert found.company[0] == found.company[1] != found.company[2]
    assert (found.log10_q <= RATE).all()


def test_one_or_two_users_in_common_join_nothing():
    log, born = platform()

    found = found_in(both(log, calls(born, range(1_000, 1_010), range(1_008, 1_018))), born)

    assert len(found.sets.users) == 2
    assert found.company[0] != found.company[1]


def test_who_were_never_in_one_burst_are_linked_by_the_company_they_keep():
    sets = Sets(
        [np.array([1, 2, 3]), np.array([2, 3, 4]), np.array([7, 8])],
        np.array([[5], [6], [9]]),
        np.array([-3.0, -5.0, -4.0]),
    )

    links = gathered_links(Gatherings(sets, np.array([0, 0, 1]), np.array([-2.5, -2.5, -4.0])), 1e3)

    assert links.rows() == [
        (1, 2, 1, -6.0, -3.0),
        (1, 3, 1, -6.0, -3.0),
        (1, 4, 0, -5.5, -2.5),
        (2, 3, 2, -8.0, -5.0),
        (2, 4, 1, -8.0, -5.0),
        (3, 4, 1, -8.0, -5.0),
        (7, 8, 1, -7.0, -4.0),
    ]


def test_without_gatherings_nobody_is_linked():
    none = np.zeros(0, dtype=np.int64)
    sets = Sets([], np.zeros((0, 1), dtype=np.int64), np.zeros(0))

    links = gathered_links(Gatherings(sets, none, np.zeros(0)), 1e3)

    assert links.height == 0
    assert links.columns == ["user_a", "user_b", "weight", "log10_p", "log10_q"]


def test_who_comes_twice_is_one_user():
    log, born = platform()
    one = call(born, 1)
    times = np.arange(20) * 1_000_000
    often = Acts(np.repeat(one.user, 20), np.repeat(one.object, 20), one.time_us[0] + times)

    assert told(both(log, often), born).users == []


def test_numbering_users_and_objects_anew_and_other_row_orders_change_nothing():
    log, born = platform()
    log = both(log, call(born, 8))
    rng = np.random.default_rng(1)
    user, thing, order = rng.permutation(USERS), rng.permutation(POSTS), rng.permutation(len(log))
    again = Acts(user[log.user][order], thing[log.object][order], log.time_us[order])
    renamed = np.empty_like(born)
    renamed[thing] = born

    one, other = told(log, born), told(again, renamed)

    assert [sorted(user[users].tolist()) for users in one.users] == [
        users.tolist() for users in other.users
    ]
    assert thing[one.objects].tolist() == other.objects.tolist()
    assert one.log10_q.tolist() == other.log10_q.tolist()


def test_an_object_does_not_feel_what_happens_on_the_next_one():
    log, born = platform()
    at = int(born[CALLED]) + DAY_US + 2 * MINUTE_US
    # Just after the call, on the objects beside it; and the log spans years.
    near = acts(*((1_500 + n, CALLED + 1 - 2 * (n % 2), at + n * MINUTE_US) for n in range(8)))
    ages = acts((1_600, 0, 0), (1_601, POSTS - 1, 2_000 * DAY_US))

    found = told(both(both(both(log, call(born, 8)), near), ages), born)

    assert found.objects.tolist() == [[CALLED]]


def test_without_acts_there_is_nothing():
    none = np.zeros(0, dtype=np.int64)

    found = told(Acts(none, none, none), np.zeros(1, dtype=np.int64))

    assert found.users == []
    assert found.objects.shape == (0, 1)


def test_q_of_bursts_and_of_their_company_follows_again_from_what_was_counted():
    log, born = platform()
    log = both(log, followers(born))
    groups = range(1_000, 1_010), range(1_006, 1_016), range(1_100, 1_110)

    found = found_in(both(log, calls(born, *groups)), born)
    told = found.told()

    bursts = [one for one in told if one.test == "once"]
    (company,) = [one for one in told if one.test == "company"]
    assert [one.users.tolist() for one in bursts] == [list(group) for group in groups]
    for one in bursts:
        assert once_numbers(one.size, plain(one.terms))[OF_SET] == pytest.approx(one.log10_q)
    assert company.users.tolist() == list(range(1_000, 1_016))
    assert company.log10_q == found.log10_q[:2].max()
    assert company.objects.tolist() == [CALLED, CALLED + 1]
    numbers = company_numbers(company.size, plain(company.terms))
    assert numbers[OF_SET] == pytest.approx(company.log10_q)
    assert len(company.terms["bursts"]) == 2
    assert [one["shared"] for one in company.terms["overlaps"]] == [4]
    # More users than the bursts can have are none of theirs.
    assert company_numbers(18, company.terms)[OF_SET] == 0.0

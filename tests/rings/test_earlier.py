from itertools import combinations

import numpy as np
import pytest

from graphguard.rings.earlier import (
    Channel,
    earlier_numbers,
    earlier_shard,
    links_again,
    log10_again,
    meet_again,
    whole_groups,
)
from graphguard.rings.joining import Visits
from graphguard.rings.meetings import Acts
from graphguard.rings.nulls import calibration
from graphguard.rings.set_terms import OF_SET, plain
from graphguard.rings.significance import log10_poisson_tail
from graphguard.rings.tastes import find_tastes

RATE = -2.0
RING = np.arange(10, 18)
OTHER = np.arange(30, 36)
HOUR = 3_600_000_000


def crowd(seed: int = 0, users: int = 2_000, things: int = 4_000, acts: int = 20_000) -> list:
    """Visits by lot, each once, of users from 100 on to objects from 1,000 on."""
    rng = np.random.default_rng(seed)
    rows = np.stack(
        [rng.integers(100, 100 + users, acts), rng.integers(1_000, 1_000 + things, acts)]
    )
    return [tuple(row) for row in np.unique(rows, axis=1).T.tolist()]


def channel(*more: tuple[int, int], name: str = "likes.post") -> Channel:
    rows = np.array([*crowd(), *more], dtype=np.int64)
    return Channel(Visits(name, rows[:, 0], rows[:, 1], np.zeros(len(rows), np.int64), 0), None)


def on(thing: int, users) -> list[tuple[int, int]]:
    return [(int(user), thing) for user in users]


def told(*channels: Channel, groups=(RING, OTHER)) -> list[tuple]:
    found = meet_again(channels, groups, RATE)
    return [(number, int(one.objects[0]), one.users.tolist())
            for number, sets in enumerate(found) for one in sets]  # fmt: skip


def lots(seed: int) -> tuple[Channel, list]:
    """Visits by lot, and groups by lot."""
    rows = np.array(crowd(seed), dtype=np.int64)
    rng = np.random.default_rng(seed)
    groups = [np.sort(rng.choice(np.arange(100, 2_100), 12, replace=False)) for _ in range(20)]
    return Channel(Visits("likes.post", rows[:, 0], rows[:, 1], rows[:, 0] * 0, 0), None), groups


def test_users_of_a_group_that_come_to_a_post_together_again_are_told():
    mine = channel(*on(5, RING[:4]), *on(5, [101, 102]))

    assert told(mine) == [(0, 5, RING[:4].tolist())]


def test_users_of_no_group_or_of_two_are_nobodys():
    assert told(channel(*on(5, range(50, 58)))) == []
    # One of each of two groups on each of many posts.
    mixed = [pair for n in range(4) for pair in on(10 + n, [RING[n], OTHER[n]])]
    assert told(channel(*mixed)) == []


def test_what_a_group_is_a_small_part_of_is_not_its_own():
    many = on(5, RING[:4])

    assert told(channel(*many, *on(5, range(100, 116)))) == [(0, 5, RING[:4].tolist())]
    assert told(channel(*many, *on(5, range(100, 117)))) == []


def test_a_group_that_is_busy_together_everywhere_is_nothing_new():
    # All of the group are on forty loved posts: they like the same.
    loved = [
        pair for n in range(40) for pair in [*on(100 + n, RING), *on(100 + n, range(100, 150))]
    ]

    assert told(channel(*on(5, RING[:4]))) == [(0, 5, RING[:4].tolist())]
    assert told(channel(*on(5, RING[:4]), *loved)) == []


def test_two_are_enough_where_hardly_anybody_comes():
    mine = channel(*on(5, RING[:2]))

    assert told(mine) == [(0, 5, RING[:2].tolist())]
    # The busier the group, the likelier: two thousand acts of its own on other posts.
    busy = [(int(user), 10_000 + 300 * int(user) + n) for user in RING for n in range(250)]
    assert told(channel(*on(5, RING[:2]), *busy)) == []


def test_each_channel_tells_its_own():
    found = told(channel(*on(5, RING[:4])), channel(*on(6, OTHER[:4]), name="shared.device"))

    assert found == [(0, 5, RING[:4].tolist()), (1, 6, OTHER[:4].tolist())]


def test_of_groups_by_lot_next_to_none_is_told():
    false = 0
    for seed in range(40):
        lot, groups = lots(seed)
        false += bool(meet_again([lot], groups, RATE)[0])
    # A night tells something by chance once in a hundred.
    assert false <= 3


def test_a_dealt_night_counts_all_tests_and_keeps_the_unlikely():
    lot, groups = lots(3)
    shard = earlier_shard(lot, groups)

    assert shard.num_tests == len(groups) * len(np.unique(lot.visits.object))
    assert len(shard.log10_p) == len(shard.log10_q)
    assert shard.log10_p.max(initial=-9) <= -3
    assert earlier_shard(lot, []).num_tests == 0


def test_a_sound_test_raises_no_alarm_and_a_broken_one_does(monkeypatch):
    nights = [lots(seed) for seed in range(8)]

    assert calibration([earlier_shard(*one) for one in nights], RATE).alarms == []
    # A test that expects far less than is to be expected.
    monkeypatch.setattr(
        "graphguard.rings.earlier.log10_poisson_tail",
        lambda count, mean: log10_poisson_tail(count, mean / 1e4),
    )
    alarms = calibration([earlier_shard(*one) for one in nights], RATE).alarms
    assert "8 of 8 dealt nights have discoveries" in alarms[-1]


def fans(club: np.ndarray, authors: int, posts: int) -> tuple[list, list]:
    """A club that likes the posts of some authors with chance .4 each, and who made each post."""
    rng = np.random.default_rng(1)
    rows, made = [], []
    for author in range(authors):
        for _ in range(posts):
            rows += on(len(made), club[rng.random(len(club)) < 0.4])
            made.append(2_200 + author)
    return rows, made


def test_a_fan_club_that_was_taken_for_a_ring_is_not_told_again():
    rows, made = fans(RING, authors=3, posts=6)
    other = crowd(things=1_000)
    for thing in range(1_000, 2_000):
        made += [2_300 + thing % 100]
    moved = [(user, thing - 1_000 + 18) for user, thing in other]
    both = np.array([*rows, *moved], dtype=np.int64)
    acts = Acts(both[:, 0], both[:, 1], np.arange(len(both)) * HOUR)
    visits = Visits("likes.post", both[:, 0], both[:, 1], acts.time_us, 0)
    tastes = find_tastes(acts, np.array(made), 2_500, 200)

    blind = meet_again([Channel(visits, None)], [RING], RATE)[0]
    aware = meet_again([Channel(visits, tastes)], [RING], RATE)[0]

    assert len(blind) > 10
    assert aware == []


def test_a_ring_on_posts_of_many_authors_is_told_though_tastes_are_known():
    rows = [pair for n in range(4) for pair in on(n, RING[n : n + 5])]
    made = [2_300 + n for n in range(4)] + [2_300 + thing % 100 for thing in range(1_000)]
    moved = [(user, thing - 1_000 + 4) for user, thing in crowd(things=1_000)]
    both = np.array([*rows, *moved], dtype=np.int64)
    acts = Acts(both[:, 0], both[:, 1], np.arange(len(both)) * HOUR)
    visits = Visits("likes.post", both[:, 0], both[:, 1], acts.time_us, 0)
    tastes = find_tastes(acts, np.array(made), 2_500, 200)

    found = meet_again([Channel(visits, tastes)], [RING], RATE)[0]

    assert [int(one.objects[0]) for one in found] == [0, 1, 2, 3]


def test_links_are_all_pairs_of_a_set_with_objects_and_the_least_q():
    mine = channel(*on(5, RING[:4]), *on(6, RING[1:3]))
    sets = meet_again([mine], [RING], RATE)[0]
    links = links_again(sets, 1e6)

    rows = {(row["user_a"], row["user_b"]): row for row in links.iter_rows(named=True)}
    assert set(rows) == set(combinations(RING[:4].tolist(), 2))
    q = {int(one.objects[0]): one.log10_q for one in sets}
    both = rows[int(RING[1]), int(RING[2])]
    assert (both["weight"], both["log10_q"]) == (2, min(q.values()))
    once = rows[int(RING[0]), int(RING[1])]
    assert (once["weight"], once["log10_q"]) == (1, q[5])
    assert once["log10_p"] == pytest.approx(q[5] - 6)


def test_numbers_follow_from_stored_terms():
    mine = channel(*on(5, RING[:4]), *on(6, RING[3:6]), *on(7, OTHER[:3]))
    for one in meet_again([mine], [RING, OTHER], RATE)[0]:
        numbers = earlier_numbers(one.size, plain(one.terms))
        assert numbers[OF_SET] == pytest.approx(one.log10_q)
        assert numbers["log10_p",] == pytest.approx(one.terms["log10_p"])
        assert one.terms["users"] == int((mine.visits.object == one.objects[0]).sum())


def test_expected_is_the_groups_share_of_all_acts():
    mine = channel(*on(5, RING[:4]), *on(5, [101]))
    one = meet_again([mine], [RING], RATE)[0][0]
    # Half a pair is added to none seen beside each other and to hardly any expected.
    share = 4 / len(mine.visits.user)
    assert one.terms["each"] == pytest.approx(share, rel=0.01)
    assert log10_again(np.array([4]), np.array([0.01])) == log10_poisson_tail(4, np.array([0.01]))


@pytest.mark.parametrize(
    ("windows", "whole"),
    [
        ([[1, 2, 3], [7, 8, 9]], [[1, 2, 3], [7, 8, 9]]),
        ([[1, 2, 3, 4], [3, 4, 5, 6]], [[1, 2, 3, 4, 5, 6]]),
        ([[1, 2, 3, 4, 5, 6], [5, 7, 8]], [[1, 2, 3, 4, 5, 6], [5, 7, 8]]),
        # The third has half of each of two.
        ([[1, 2], [5, 6], [2, 5, 9]], [[1, 2, 5, 6, 9]]),
        ([], []),
    ],
)
def test_groups_that_share_half_of_the_smaller_are_one(windows, whole):
    every = [np.array(one) for one in windows]

    assert [one.tolist() for one in whole_groups(every)] == whole
    assert [one.tolist() for one in whole_groups(every[::-1])] == whole


def test_without_groups_or_acts_nothing_is_told():
    nobody = np.zeros(0, dtype=np.int64)
    empty = Channel(Visits("likes.post", nobody, nobody, nobody, 0), None)

    assert meet_again([channel()], [], RATE) == [[]]
    assert meet_again([empty], [RING], RATE) == [[]]
    assert links_again([], 1e6).height == 0

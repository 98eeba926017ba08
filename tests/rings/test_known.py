import numpy as np
import polars as pl
import pytest

from graphguard.rings.joining import Visits, grown, joining_links
from graphguard.rings.known import (
    COUNTED,
    known_members,
    known_numbers,
    known_sets,
    log10_came,
)
from graphguard.rings.significance import log10_poisson_tail

DAY = 86_400_000_000
RATE = -2.0
CROWD = np.arange(100, 2_100)
"""Users in no ring, each with ten acts on objects of its own."""
RINGS = [np.array([0, 1, 2, 3]), np.array([10, 11, 12, 13])]


def visits(*more: tuple[int, int, int], channel: str = "likes.post", reach: int = DAY) -> Visits:
    """Both rings on two objects of their own, the crowd elsewhere, and what is given."""
    rows = [
        (user, thing + 2 * number, hour)
        for number, ring in enumerate(RINGS)
        for user in ring.tolist()
        for thing, hour in ((0, 0), (1, 6))
    ]
    rows += [(user, 1_000 + user * 10 + act, 0) for user in CROWD.tolist() for act in range(10)]
    user, thing, hour = np.array([*rows, *more], dtype=np.int64).T
    return Visits(channel, user, thing, hour * 3_600_000_000, reach)


def joined(*every: Visits, bad: list[int], rings: list[np.ndarray] = RINGS) -> list[tuple]:
    found = known_members(list(every), rings, np.array(bad, dtype=np.int64), RATE)
    return sorted(found.select("group", "user").unique().iter_rows())


def linked(mine: Visits, found: pl.DataFrame):
    near, sets = known_sets(mine, RINGS, found)
    return joining_links(mine, grown(RINGS, found), near, 1e6), sets


def test_a_bad_user_on_what_is_the_rings_own_joins_it():
    mine = visits((50, 0, 3), (51, 2, 3))

    assert joined(mine, bad=[50, 51]) == [(0, 50), (1, 51)]


def test_who_is_not_known_to_be_bad_does_not_join():
    assert joined(visits((50, 0, 3), (51, 0, 4)), bad=[51]) == [(0, 51)]


def test_what_the_ring_is_a_small_part_of_is_not_its_own():
    crowd = [(user, 0, 1) for user in CROWD[:20].tolist()]

    assert joined(visits((50, 0, 3), *crowd), bad=[50]) == []


def test_who_came_long_after_the_ring_was_there_does_not_join():
    assert joined(visits((50, 0, 31)), bad=[50]) == []
    assert joined(visits((50, 0, 31), reach=2 * DAY), bad=[50]) == [(0, 50)]


def test_a_busy_bad_user_came_by_chance():
    busy = [(50, 1_000 + thing, 0) for thing in range(19_000)]

    assert joined(visits((50, 0, 3)), bad=[50]) == [(0, 50)]
    assert joined(visits((50, 0, 3), *busy), bad=[50]) == []


def test_among_many_bad_users_one_that_came_is_chance():
    many = CROWD[:1_000].tolist()

    assert joined(visits((100, 0, 3)), bad=[100]) == [(0, 100)]
    assert joined(visits((100, 0, 3)), bad=many) == []


def test_where_rings_meet_on_what_is_theirs_the_channel_tells_nothing():
    # Ten rings; each has users on the next one's own object, as renters of one pool have.
    rings = [np.arange(start, start + 4) for start in range(0, 100, 10)]
    apart = [(user, number, 0) for number, ring in enumerate(rings) for user in ring.tolist()]
    pooled = [(ring[0], (number + 1) % 10, 1) for number, ring in enumerate(rings)]
    crowd = [(user, 1_000 + user, 0) for user in CROWD[:100].tolist()]

    def told(rows: list[tuple]) -> list[tuple]:
        user, thing, hour = np.array([*rows, *crowd, (55, 0, 2)], dtype=np.int64).T
        channel = Visits("shared.address", user, thing, hour * 0, 0)
        return joined(channel, bad=[55], rings=rings)

    assert told(apart) == [(0, 55)]
    assert told([*apart, *pooled]) == []


def test_a_user_joins_one_ring_by_all_channels_that_say_so():
    likes = visits((50, 0, 3), (50, 1, 7), (50, 2, 3))
    phones = visits((50, 0, 0), channel="shared.device")

    found = known_members([likes, phones], RINGS, np.array([50]), RATE)

    told = found.select("channel", "group", "user", "hits").rows()
    assert told == [("likes.post", 0, 50, 2), ("shared.device", 0, 50, 1)]


def test_expected_is_of_outsiders_acts_on_the_rings_own_the_users_share():
    stranger = int(CROWD[0])
    mine = visits((50, 0, 3), (50, 5_000, 3), (stranger, 1, 5))

    found = known_members([mine], RINGS, np.array([50]), RATE)

    # Of all acts of outsiders two are on the ring's own, and two are user 50's.
    outside = len(mine.user) - 16
    assert found.select(COUNTED).row(0) == (1, 2, 2, 1.0, outside)
    p = log10_came(*(np.array([one]) for one in (1, 2, 2, 1.0, outside)))
    assert p == pytest.approx(log10_poisson_tail(np.array([1]), np.array([4 / outside])))


def test_links_are_with_members_within_reach_and_with_those_who_join_too():
    mine = visits((50, 0, 3), (51, 0, 20), (51, 1, 20))
    found = known_members([mine], RINGS, np.array([50, 51]), RATE)

    links, sets = linked(mine, found)

    pairs = {(a, b): weight for a, b, weight in links.select("user_a", "user_b", "weight").rows()}
    with_ring = {(member, 50): 1 for member in range(4)} | {(member, 51): 2 for member in range(4)}
    assert pairs == with_ring | {(50, 51): 1}
    assert (links.get_column("log10_p") == links.get_column("log10_q") - 6).all()
    assert [(one.users.tolist(), one.objects.tolist()) for one in sets] == [
        ([50], [0]),
        ([51], [0, 1]),
    ]
    # Two hits are surer than one; of the pair of both the less sure one counts.
    both = links.filter(user_a=50, user_b=51).get_column("log10_q").item()
    assert both == sets[0].log10_q > sets[1].log10_q


def test_a_link_is_with_all_of_the_ring_who_are_there_by_whatever_they_joined():
    likes = visits((50, 0, 3), (51, 0, 40))
    phones = visits((51, 0, 0), channel="shared.device")
    found = known_members([likes, phones], RINGS, np.array([50, 51]), RATE)

    links, sets = linked(likes, found)

    # User 51 was there a day too late to join by it, but has joined.
    assert [one.users.tolist() for one in sets] == [[50]]
    assert links.select("user_a", "user_b").rows() == [*((one, 50) for one in range(4)), (50, 51)]


def test_terms_say_p_and_q_again():
    mine = visits(
        (50, 0, 3), (51, 0, 20), (51, 1, 20), (52, 2, 4), *((53, 600 + n, 0) for n in range(9))
    )
    found = known_members([mine], RINGS, np.array([50, 51, 52, 53]), 0.0)

    _, sets = linked(mine, found)

    assert len(sets) == 3
    for one in sets:
        numbers = known_numbers(one.size, one.terms)
        assert numbers[()] == pytest.approx(one.log10_q)
        assert numbers["log10_p",] == pytest.approx(one.terms["log10_p"])
        assert known_numbers(1, one.terms | {"strangers": 300})[()] > one.log10_q
        assert known_numbers(2, one.terms)[()] == 0


def test_no_group_or_no_bad_user_is_no_work():
    assert joined(visits(), bad=[]) == []
    assert joined(visits((50, 0, 3)), bad=[50], rings=[]) == []


def test_numbers_of_users_mean_nothing():
    rng = np.random.default_rng(7)
    mine = visits((50, 0, 3), (51, 2, 3), (60, 1, 2))
    names = rng.permutation(3_000)
    order = rng.permutation(len(mine.user))
    again = Visits(
        mine.channel, names[mine.user][order], mine.object[order], mine.time_us[order], DAY
    )
    plain = known_members([mine], RINGS, np.array([50, 51]), RATE)
    moved = known_members([again], [names[ring] for ring in RINGS], names[[50, 51]], RATE)

    renamed = plain.with_columns(user=names[plain.get_column("user").to_numpy()])
    columns = ["group", "user", *COUNTED, "log10_q"]
    assert plain.height == 2
    assert sorted(moved.select(columns).rows()) == sorted(renamed.select(columns).rows())

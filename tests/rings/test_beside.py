import numpy as np
import polars as pl
import pytest

from graphguard.rings.arrivals import Arrivals
from graphguard.rings.beside import (
    NEVER_US,
    Crowd,
    beside_members,
    beside_numbers,
    ring_calls,
)
from graphguard.rings.joining import Visits, grown, joining_links
from graphguard.rings.timing_rate import NUM_AGES

HOUR = 3_600_000_000
DAY = 24 * HOUR
RATE = -2.0
RINGS = [np.arange(10), np.arange(20, 24)]
USUAL = Arrivals(np.full(NUM_AGES, 0.2 / DAY), 0.4)
"""One comes in five days, wherever and whenever."""
UNTIL = 14 * DAY
CALLED = 8 * DAY
"""Ring 0 is on object 0 from here on, one member an hour."""


def visits(*more: tuple[int, int, int], first: int = CALLED) -> Visits:
    rows = [(user, 0, first + number * HOUR) for number, user in enumerate(RINGS[0])]
    rows += [(user, 1, CALLED + number * HOUR) for number, user in enumerate(RINGS[1])]
    user, thing, time = np.array([*rows, *more], dtype=np.int64).T
    return Visits("likes.post", user, thing, time, DAY)


def beside(mine: Visits, born=(0, 0), arrivals=USUAL, until=UNTIL, earlier=(), rate=RATE):
    calls = ring_calls(mine, RINGS)
    every = [*zip(mine.user, mine.object, mine.time_us, strict=True), *earlier]
    life = pl.DataFrame(
        [tuple(map(int, row)) for row in every], schema=["user", "object", "time_us"], orient="row"
    ).with_columns(first_us="time_us")
    made = np.array(born)[calls.get_column("object").to_numpy()]
    return beside_members([Crowd(mine, calls, made, life, arrivals, 0, until)], RINGS, rate)


def came(count: int, thing: int = 0, at: int = CALLED + 2 * HOUR, start: int = 100):
    return [(start + number, thing, at + number * HOUR // 4) for number in range(count)]


def joined(*args, **named) -> list[tuple[int, int]]:
    return beside(*args, **named)[0].select("group", "user").rows()


def test_more_than_strangers_explain_join_the_ring_they_came_beside():
    assert joined(visits(*came(6))) == [(0, user) for user in range(100, 106)]


def test_so_many_as_strangers_come_are_strangers():
    assert joined(visits(*came(1))) == []
    busy = Arrivals(np.full(NUM_AGES, 10 / DAY), 0.4)
    often = [(500 + number, 0, number * 2 * HOUR) for number in range(80)]
    assert joined(visits(*came(6)), arrivals=busy, earlier=often) == []
    # Where as many were to be expected and nobody else came, nobody was to come now.
    assert joined(visits(*came(6)), arrivals=busy) != []


def test_who_came_before_the_ring_or_after_it_does_not_join():
    rest = came(6)

    for at in (CALLED - HOUR // 2, CALLED + 9 * HOUR + HOUR // 2):
        assert (0, 300) not in joined(visits(*rest, (300, 0, at)), rate=0.0)
        assert (0, 100) in joined(visits(*rest, (300, 0, at)), rate=0.0)


def test_an_object_that_is_loved_at_other_times_is_loved_now():
    earlier = [(500 + number, 0, 2 * DAY + number * HOUR) for number in range(60)]

    assert joined(visits(*came(6)), earlier=earlier) == []


def test_those_who_stay_on_when_the_ring_has_gone_came_because_of_it():
    # As many in the nine hours after the ring as beside it.
    after = came(6, at=CALLED + 10 * HOUR, start=200)

    assert joined(visits(*came(6), *after[:1])) != []
    assert joined(visits(*came(6), *after)) == []


def test_a_night_that_sees_nothing_of_what_follows_says_nothing_yet():
    whole = CALLED + 9 * HOUR
    assert joined(visits(*came(6)), until=whole + HOUR) == []
    assert joined(visits(*came(6)), until=whole + 3 * HOUR) != []


def test_what_the_ring_is_not_half_of_is_not_its_own():
    crowd = [(500 + number, 0, number * HOUR) for number in range(11)]

    assert ring_calls(visits(*crowd), RINGS).get_column("object").to_list() == [1]
    assert ring_calls(visits(*crowd[:10]), RINGS).get_column("object").to_list() == [0, 1]


@pytest.mark.parametrize("born", [NEVER_US, CALLED + 1])
def test_where_nobody_knows_when_an_object_was_made_nobody_joins(born):
    assert joined(visits(*came(6)), born=(born, 0)) == []


def test_what_had_users_before_it_was_made_was_made_before():
    assert joined(visits(*came(6)), born=(DAY, 0), earlier=[(700, 0, DAY - 1)]) == []
    assert joined(visits(*came(6)), born=(DAY, 0), earlier=[(700, 0, DAY + 1)]) != []


def test_where_as_much_as_a_twentieth_may_have_come_by_chance_none_joins():
    # .95 expected: unlikely to be nine, but of 19 users more than a twentieth may be strangers.
    some = Arrivals(np.full(NUM_AGES, 2.54 / DAY), 1e6)
    fewer = Arrivals(np.full(NUM_AGES, 2.4 / DAY), 1e6)

    assert joined(visits(*came(9)), arrivals=some) == []
    assert len(joined(visits(*came(9)), arrivals=fewer)) == 9


def test_members_of_other_rings_are_no_strangers_and_do_not_join():
    others = [(user, 0, CALLED + HOUR) for user in RINGS[1].tolist()]

    assert joined(visits(*others)) == []
    near, sets = beside(visits(*others, *came(6)))
    assert near.get_column("user").to_list() == list(range(100, 106))
    assert sets["likes.post"][0].terms["elsewhere"] == 4


def test_what_chance_gives_on_all_calls_is_asked_of_each():
    terms = beside(visits(*came(2)), rate=0.0)[1]["likes.post"][0].terms
    # The two calls are alike but for their length, so chance gives less than twice the p.
    assert terms["log10_p"] < terms["log10_false"] < terms["log10_p"] + np.log10(2)
    assert joined(visits(*came(2)), rate=terms["log10_false"] + 0.01) != []
    assert joined(visits(*came(2)), rate=terms["log10_false"] - 0.01) == []


def test_who_came_beside_two_rings_joins_that_of_the_surer_call():
    both = (100, 1, CALLED + HOUR)

    near, _ = beside(visits(*came(6), both, *came(2, thing=1, start=200)))

    assert near.filter(user=100).select("group", "object").rows() == [(0, 0)]


def calls(number: int) -> list[tuple[int, int, int]]:
    """Ring 0 on more objects, 2 and so on, each a day after the other."""
    return [
        (user, 2 + thing, CALLED + (1 + thing) * 12 * HOUR + place * HOUR)
        for thing in range(number)
        for place, user in enumerate(RINGS[0].tolist())
    ]


def few(number: int, each: int = 2) -> list[tuple[int, int, int]]:
    """So many strangers beside each of the ring's calls."""
    return [
        one
        for thing in range(number)
        for one in came(
            each, thing=2 + thing, at=CALLED + (1 + thing) * 12 * HOUR, start=100 + 10 * thing
        )
    ]


RARE = Arrivals(np.full(NUM_AGES, 0.2 / DAY), 5.0)


def test_few_beside_each_of_a_rings_calls_are_told_by_all_calls_together():
    def told(number: int, rest: int = 0, rate=-2.5) -> int:
        mine = visits(*calls(number + rest), *few(number))
        made = (0,) * (2 + number + rest)
        return len(joined(mine, born=made, arrivals=RARE, rate=rate))

    assert told(1) == 0
    assert told(3) == 6


def test_calls_to_which_nobody_came_speak_against_that_somebody_did_elsewhere():
    def log10_p(rest: int) -> float:
        mine = visits(*calls(3 + rest), *few(3))
        sets = beside(mine, born=(0,) * (5 + rest), arrivals=RARE)[1]["likes.post"]
        return sets[-1].terms["campaign_log10_p"]

    assert log10_p(0) + 1 < log10_p(4) < -1


def test_calls_of_two_rings_are_not_put_together():
    other = [(user, 2, CALLED + place * HOUR) for place, user in enumerate(range(20, 24))]
    mine = visits(*other, *came(1, thing=2, at=CALLED), *came(1, start=200))
    alone = visits(*calls(1), *few(1, each=1), *came(1, start=200))

    def both(acts: Visits) -> int:
        return len(joined(acts, born=(0, 0, 0), arrivals=RARE, rate=-1.5))

    assert (both(mine), both(alone)) == (0, 2)


def test_those_who_stay_on_count_in_all_calls_together():
    after = [
        (700 + 10 * thing + n, 2 + thing, CALLED + (1 + thing) * 12 * HOUR + (10 + n // 8) * HOUR)
        for thing in range(3)
        for n in range(4)
    ]
    mine = visits(*calls(3), *few(3))
    stayed = visits(*calls(3), *few(3), *after)

    assert len(joined(mine, born=(0,) * 5, arrivals=RARE, rate=-2.5)) == 6
    assert joined(stayed, born=(0,) * 5, arrivals=RARE, rate=-2.5) == []


def test_a_twentieth_by_chance_is_asked_of_all_calls_together():
    fresh, loved = (Arrivals(np.full(NUM_AGES, rate / DAY), 1e6) for rate in (0.9, 2.0))

    def told(arrivals: Arrivals) -> int:
        mine = visits(*calls(3), *few(3, each=4))
        # No call is told alone at this rate.
        return len(joined(mine, born=(0,) * 5, arrivals=arrivals, rate=-4.0))

    assert told(fresh) == 12
    assert told(loved) == 0


def test_where_all_calls_tell_those_of_one_that_a_tenth_may_be_strangers_do_not_join():
    loved = [(800 + n, 4, n * HOUR // 2) for n in range(60)]
    mine = visits(*calls(3), *few(3, each=3))

    assert len(joined(mine, born=(0,) * 5, arrivals=RARE, rate=-3.0)) == 9
    left = joined(mine, born=(0,) * 5, arrivals=RARE, rate=-3.0, earlier=loved)
    assert [user for _, user in left] == [100, 101, 102, 110, 111, 112]


def test_terms_of_calls_together_say_p_and_q_again():
    _, sets = beside(visits(*calls(3), *few(3)), born=(0,) * 5, arrivals=RARE, rate=-2.5)
    (*_, one) = sets["likes.post"]

    assert one.objects.tolist() == [4]
    assert [call["others"] for call in one.terms["calls"]] == [0, 2, 2, 2]
    assert one.terms["at"] == 3
    numbers = beside_numbers(1, one.terms)
    assert numbers[()] == pytest.approx(one.log10_q)
    assert numbers["campaign_log10_p",] == pytest.approx(one.terms["campaign_log10_p"])
    assert numbers["calls", 3, "others"] == one.terms["others"]
    for name, value in (("others", 0), ("before_after", 9), ("inside", 2.0), ("wake", 9.0)):
        other = [*one.terms["calls"][:2], one.terms["calls"][2] | {name: value}]
        again = beside_numbers(1, one.terms | {"calls": [*other, one.terms["calls"][3]]})
        assert again["campaign_log10_p",] > numbers["campaign_log10_p",]
        assert again[()] > numbers[()]


def test_strangers_that_come_by_chance_seldom_join():
    """Where strangers come to all objects as the gamma says, one night in a hundred tells."""
    rng, nights = np.random.default_rng(11), 0
    rings = [np.arange(10 * number, 10 * number + 10) for number in range(30)]
    rate, shape = 0.4 / DAY, 0.6
    # Times of one column: 4 objects a ring, 10 hours each, a fortnight in all.
    thing = np.repeat(np.arange(120), 10)
    inside = 6 * DAY + np.tile(np.arange(10), 120) * HOUR
    user = (thing // 4) * 10 + np.tile(np.arange(10), 120)
    arrivals = Arrivals(np.full(NUM_AGES, rate), shape)
    for _ in range(200):
        loved = rng.gamma(shape, 1 / shape, 120)
        count = rng.poisson(loved * rate * UNTIL)
        place = np.repeat(np.arange(120), count)
        at = rng.integers(0, UNTIL, count.sum())
        mine = Visits(
            "likes.post",
            np.append(user, 1_000 + np.arange(len(place))),
            np.append(thing, place),
            np.append(inside, at),
            DAY,
        )
        called = ring_calls(mine, rings)
        life = pl.DataFrame({"user": mine.user, "object": mine.object, "time_us": mine.time_us})
        life = life.with_columns(first_us="time_us")
        born = np.zeros(called.height, dtype=np.int64)
        crowd = Crowd(mine, called, born, life, arrivals, 0, UNTIL)
        nights += beside_members([crowd], rings, RATE)[0].height > 0
    # By 95% of a binomial of 200 with .01.
    assert nights <= 5


def test_links_are_with_all_of_the_ring_who_are_on_it():
    mine = visits(*came(5))
    near, sets = beside(mine)

    links = joining_links(mine, grown(RINGS, near), near, 1e6)

    pairs = set(links.select("user_a", "user_b").rows())
    new = range(100, 105)
    assert pairs == {(a, b) for a in [*range(10), *new] for b in new if a < b}
    assert (links.get_column("log10_p") == links.get_column("log10_q") - 6).all()
    assert [one.users.tolist() for one in sets["likes.post"]] == [[user] for user in new]


def test_terms_say_p_and_q_again():
    _, sets = beside(visits(*came(5), (400, 0, CALLED - DAY), (401, 0, CALLED + 30 * HOUR)))

    (one, *rest) = sets["likes.post"]
    assert all(other.terms == one.terms for other in rest)
    assert one.terms["before_after"] == 2
    assert one.terms["wake"] == 0
    numbers = beside_numbers(one.size, one.terms)
    assert numbers[()] == pytest.approx(one.log10_q)
    assert numbers["log10_p",] == pytest.approx(one.terms["log10_p"])
    for name, value in (("others", 3), ("before_after", 9), ("inside", 2.0), ("wake", 9.0)):
        assert beside_numbers(1, one.terms | {name: value})["log10_p",] > numbers["log10_p",]
    assert beside_numbers(2, one.terms)[()] == 0


def test_numbers_of_users_mean_nothing():
    rng = np.random.default_rng(7)
    names = rng.permutation(1_000)
    mine = visits(*came(6), *came(4, thing=1, start=200))
    order = rng.permutation(len(mine.user))
    moved = Visits("likes.post", names[mine.user][order], *(
        column[order] for column in (mine.object, mine.time_us)), DAY)  # fmt: skip
    rings = [names[ring] for ring in RINGS]
    calls = ring_calls(moved, rings)
    life = pl.DataFrame({"user": moved.user, "object": moved.object, "time_us": moved.time_us})
    life = life.with_columns(first_us="time_us")
    crowd = Crowd(moved, calls, np.zeros(2, dtype=np.int64), life, USUAL, 0, UNTIL)

    plain = beside(mine)[0]
    again = beside_members([crowd], rings, RATE)[0]

    assert plain.height == 10
    renamed = plain.with_columns(user=names[plain.get_column("user").to_numpy()])
    assert sorted(again.rows()) == sorted(renamed.rows())


def test_no_ring_and_no_call_is_no_work():
    empty = visits()
    assert ring_calls(empty, []).height == 0
    assert beside_members([], RINGS, RATE)[0].height == 0


def test_what_came_before_the_log_began_is_not_known():
    # The object is of the first day, the log of the sixth: its silence before is none.
    mine = visits(*came(4))
    calls = ring_calls(mine, RINGS)
    columns = {"user": mine.user, "object": mine.object, "time_us": mine.time_us}
    life = pl.DataFrame(columns).with_columns(first_us="time_us")
    born = np.zeros(calls.height, dtype=np.int64)

    def log10_p(since: int) -> float:
        crowd = Crowd(mine, calls, born, life, USUAL, since, UNTIL)
        return beside_members([crowd], RINGS, 0.0)[1]["likes.post"][0].terms["log10_p"]

    assert log10_p(6 * DAY) > log10_p(0) + 0.5


def test_of_times_that_are_days_a_ring_was_there_all_day():
    days = [(user, 0, CALLED) for user in range(10)] + [
        (user, 1, 9 * DAY) for user in range(20, 24)
    ]
    user, thing, time = np.array([*days, *((100 + n, 0, CALLED) for n in range(3))]).T
    mine = Visits("likes.post", user, thing, time, DAY)

    calls = ring_calls(mine, RINGS)

    assert calls.select("begin_us", "end_us", "step_us").rows() == [
        (8 * DAY, 9 * DAY - 1, DAY),
        (9 * DAY, 10 * DAY - 1, DAY),
    ]
    inside = beside(mine, rate=0.0)[1]["likes.post"][0].terms["inside"]
    assert inside == pytest.approx(0.2, rel=1e-6)


def test_who_was_there_before_an_object_was_made_and_came_again_tells_that_it_is_older():
    mine = visits(*came(6))
    calls = ring_calls(mine, RINGS)
    life = pl.DataFrame({"user": mine.user, "object": mine.object, "time_us": mine.time_us})
    again = pl.when(pl.col("user") == 100).then(DAY - 1).otherwise("time_us")

    def told(first: pl.Expr) -> int:
        every = life.with_columns(first_us=first)
        crowd = Crowd(mine, calls, np.array([DAY, DAY]), every, USUAL, 0, UNTIL)
        return beside_members([crowd], RINGS, RATE)[0].height

    assert (told(pl.col("time_us")), told(again)) == (6, 0)

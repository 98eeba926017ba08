"""Dealt nights keep all but coordination; sound tests find nothing there, broken ones are told."""

import numpy as np
import pytest

from graphguard.graph.keyed import key_hash
from graphguard.rings.link import LinkRules, coaction_links
from graphguard.rings.meetings import Acts
from graphguard.rings.nulls import (
    ALPHAS,
    HOUR_US,
    NullShard,
    calibration,
    dealt,
    dealt_links,
    some_objects,
)
from graphguard.rings.significance import all_pairs, log10_poisson_tail
from graphguard.rings.unlike_coins import log10_coins_tail

NUM_USERS, MINUTE = 600, 60_000_000
RATE = -2.0


@pytest.fixture(scope="module")
def ringy():
    """Random acts of 600 users, and ten who meet within a minute on thirty objects; births."""
    rng = np.random.Generator(np.random.PCG64(4))
    days = rng.integers(0, 6 * 24 * HOUR_US, 12_000)
    user, thing = rng.integers(0, NUM_USERS, 12_000), rng.integers(0, 800, 12_000)
    posts = np.repeat(np.arange(30), 10)
    start = np.repeat(rng.integers(0, 6 * 24 * HOUR_US, 30), 10)
    ring = Acts(np.tile(np.arange(10), 30), posts, start + rng.integers(0, MINUTE, 300))
    acts = Acts(*(np.concatenate([getattr(ring, name), other]) for name, other in
                  (("user", user), ("object", thing), ("time_us", days))))  # fmt: skip
    return acts, np.zeros(800, dtype=np.int64)


def links(acts, born_us):
    rules = LinkRules([MINUTE], 200, 1000, key_hash(str(n) for n in range(NUM_USERS)))
    return coaction_links(acts, born_us, rules)


def test_dealing_keeps_objects_times_and_how_much_each_user_acts_in_each_hour(ringy):
    acts, _ = ringy
    other = dealt(acts, 3)

    assert np.array_equal(other.object, acts.object)
    assert np.array_equal(other.time_us, acts.time_us)
    hour = acts.time_us // HOUR_US % 24
    for user in (0, 5, 77):
        before, after = (np.bincount(hour[one.user == user], minlength=24) for one in (acts, other))
        assert np.array_equal(before, after)
    assert (other.user != acts.user).mean() > 0.9
    assert np.array_equal(dealt(acts, 3).user, other.user)
    assert not np.array_equal(dealt(acts, 4).user, other.user)


def test_dealing_does_not_follow_the_order_of_the_file(ringy):
    acts, _ = ringy
    turned = acts[np.arange(len(acts))[::-1]]

    assert np.array_equal(dealt(turned, 3).user[::-1], dealt(acts, 3).user)


def dealt_nights(acts, born_us, number):
    return [
        NullShard(
            links(dealt(acts, seed), born_us).get_column("log10_p").to_numpy(),
            all_pairs(NUM_USERS),
        )
        for seed in range(number)
    ]


def test_a_ring_is_gone_once_it_is_dealt_and_a_sound_test_raises_no_alarm(ringy):
    told = calibration(dealt_nights(*ringy, 4), RATE)

    assert (links(*ringy).get_column("log10_p") < -20).sum() == 45
    assert told.nights == told.flagged == 0
    assert told.alarms == []
    assert set(told.found) == set(told.allowed) == set(ALPHAS)


def test_a_broken_null_raises_the_alarm(ringy, monkeypatch):
    # Tests that expect far less than is to be expected: what chance brings surprises them.
    monkeypatch.setattr(
        "graphguard.rings.link.log10_poisson_tail",
        lambda count, mean: log10_poisson_tail(count, mean / 1e4),
    )
    monkeypatch.setattr(
        "graphguard.rings.timing.log10_coins_tail",
        lambda count, owner, chance: log10_coins_tail(count, owner, chance / 1e6),
    )

    told = calibration(dealt_nights(*ringy, 2), RATE)

    assert told.nights == 2
    assert "2 of 2 dealt nights have discoveries" in told.alarms[-1]


def test_more_small_chances_than_a_sound_test_shows_are_told():
    # of 100,000 pairs a sound test shows some 100 at 1e-3 and one at 1e-5
    sound = NullShard(np.full(105, -3.2), 100_000)
    loud = NullShard(np.full(300, -3.2), 100_000)

    assert calibration([sound], RATE).alarms == []
    (alarm,) = calibration([loud], RATE).alarms
    assert alarm.startswith("300 tests of dealt users have a chance of at most 0.001")


def test_one_discovery_in_one_night_is_within_the_rate():
    quiet = NullShard(np.zeros(0), 1000.0)
    flagged = NullShard(np.array([-6.0]), 1000.0)

    assert calibration([flagged, *[quiet] * 3], RATE).alarms == []
    assert calibration([flagged, flagged, quiet, quiet], RATE).alarms != []


def test_links_are_dealt_with_their_numbers():
    user, thing = np.arange(100) % 20, np.arange(100) % 33
    dealt_user, dealt_thing = dealt_links(user, thing, 1)

    assert len(dealt_user) <= 100
    assert np.array_equal(np.unique(dealt_thing), np.unique(thing))
    assert (np.bincount(dealt_user) <= np.bincount(user)).all()
    assert len(np.unique(np.stack([dealt_user, dealt_thing]), axis=1).T) == len(dealt_user)


def test_of_many_acts_whole_objects_are_taken(ringy):
    acts, _ = ringy
    some = some_objects(acts, 3_000)
    whole = np.bincount(acts.object, minlength=800)
    kept = np.bincount(some.object, minlength=800)

    assert 1_500 < len(some) < 4_500
    assert ((kept == 0) | (kept == whole)).all()
    assert some_objects(acts, 10**6) is acts


def test_numbers_of_objects_and_order_of_rows_change_nothing(ringy):
    acts, _ = ringy
    rng = np.random.Generator(np.random.PCG64(9))
    rows, name = rng.permutation(len(acts)), rng.permutation(800)
    other = Acts(acts.user[rows], name[acts.object[rows]], acts.time_us[rows])

    one, two = dealt(acts, 3), dealt(other, 3)

    as_set = {*zip(one.user.tolist(), name[one.object].tolist(), one.time_us.tolist(), strict=True)}
    assert as_set == {
        *zip(two.user.tolist(), two.object.tolist(), two.time_us.tolist(), strict=True)
    }
    shared, renamed = (dealt_links(one.user, one.object, 5) for one in (acts, other))
    assert {(a, int(name[b])) for a, b in zip(*map(np.ndarray.tolist, shared), strict=True)} == {
        *zip(*map(np.ndarray.tolist, renamed), strict=True)
    }

"""What two users both touched, whenever, and how often touches of given ages meet."""

import numpy as np
import polars as pl
import pytest

from graphguard.graph.keyed import KeyHashes
from graphguard.rings import timing
from graphguard.rings.coaction import calm_meetings, find_coactions
from graphguard.rings.meetings import Acts
from graphguard.rings.timing import chances_of, common_touches, timing_test
from graphguard.rings.timing_null import timing_null
from graphguard.rings.timing_rate import NUM_AGES, prior_rate

MINUTE = 60_000_000
USERS = KeyHashes([str(number) for number in range(40)])


def drawn(seed=0, number=4_000):
    """Acts of 40 users on 60 objects over a day; every other object was born an hour before."""
    rng = np.random.default_rng(seed)
    user, thing = rng.integers(0, 40, number), rng.integers(0, 60, number)
    acts = Acts(user, thing, rng.integers(0, 86_400, number) * 1_000_000)
    born = np.full(60, 2**62)
    np.minimum.at(born, acts.object, acts.time_us)
    born[::2] -= 3_600_000_000
    return acts, born


def all_pairs():
    a, b = np.triu_indices(40, 1)
    return pl.DataFrame({"user_a": a, "user_b": b})


def test_common_objects_of_a_pair_are_those_that_both_touched(monkeypatch):
    monkeypatch.setattr(timing, "LOOKED_UP_AT_ONCE", 100)
    acts, born = drawn(number=600)
    null = timing_null(acts, find_coactions(acts, [MINUTE], USERS), born, [MINUTE])
    touched = [set(acts.object[acts.user == user]) for user in range(40)]

    common = common_touches(acts, all_pairs(), null)

    told = np.bincount(common.pair, minlength=780)
    assert told.tolist() == [len(touched[a] & touched[b]) for a, b in all_pairs().iter_rows()]
    # An object is of known birth for both, or for neither.
    aged = common.classes < NUM_AGES
    assert np.array_equal(aged[0], aged[1])
    assert aged.any()
    assert not aged.all()


@pytest.mark.parametrize("windows", [[MINUTE], [MINUTE, 10 * MINUTE]])
def test_a_rate_is_the_share_of_pairs_of_touches_that_meet(windows):
    # Many acts a touch keep no object loud, so the rates are plain shares of what was pooled.
    acts, born = drawn()
    assert len(acts) > 1.5 * len(acts.first_touches)
    found = find_coactions(acts, windows, USERS, 10**9)
    null = timing_null(acts, found, born, windows)

    for number, window in enumerate(windows):
        near = found.meetings.gap_us() <= window
        common = common_touches(acts, all_pairs(), null)
        told = timing_test(common, np.zeros(780, dtype=np.int64), number, null)
        # As many are expected as there were, of those who come back often too.
        assert told.expected.sum() == pytest.approx(near.sum(), rel=0.02)


@pytest.mark.parametrize("max_burst", [2, 3, 10**9])
def test_a_short_windows_rates_need_no_meetings_of_longer_ones(max_burst):
    # Bursts are counted in the widest window all the same: with 2 nearly all are, with 3 half.
    acts, born = drawn()
    windows = [MINUTE, 10 * MINUTE]
    wide = find_coactions(acts, windows, USERS, max_burst)

    calm = calm_meetings(acts, MINUTE, windows[-1], max_burst)

    assert calm.burst_objects.tolist() == wide.burst_objects.tolist()
    rate = timing_null(acts, calm, born, [MINUTE]).rate[0]
    assert np.array_equal(rate, timing_null(acts, wide, born, windows).rate[0])


def test_nobody_in_common_is_nothing_expected():
    acts = Acts(np.array([0, 0, 1]), np.array([0, 1, 2]), np.array([5, 6, 7]))
    null = timing_null(acts, find_coactions(acts, [MINUTE], USERS), np.zeros(3, int), [MINUTE])
    pairs = pl.DataFrame({"user_a": [0], "user_b": [1]})

    told = timing_test(common_touches(acts, pairs, null), np.array([2]), 0, null)

    assert told.together.tolist() == [0]
    assert told.expected.tolist() == [0.0]


def test_who_comes_back_has_a_chance_to_meet_each_time():
    # On object 0, born at 0: a at 20 s and, of one class, at 100 s and 110 s; b at 40 s.
    user, thing = np.array([0, 0, 0, 1, 2, 3]), np.array([0, 0, 0, 0, 1, 1])
    times = np.array([20, 100, 110, 40, 20, 40]) * 1_000_000
    acts, born = Acts(user, thing, times), np.array([0, 0])
    null = timing_null(acts, find_coactions(acts, [MINUTE], USERS), born, [MINUTE])
    young, older, other = (null.classes(np.zeros(1, int), times[[place]])[0] for place in (0, 1, 3))
    null.rate[0] = 0.0
    null.rate[0, [young, older], other] = null.rate[0, other, [young, older]] = [0.5, 0.2]
    pairs = pl.DataFrame({"user_a": [0, 2], "user_b": [1, 3]})

    told = timing_test(common_touches(acts, pairs, null), np.array([1, 1]), 0, null)

    assert told.together.tolist() == [1, 1]
    assert told.expected == pytest.approx([1 - 0.5 * 0.8 * 0.8, 0.5])
    assert 10**told.log10_p == pytest.approx(told.expected)


def test_a_ring_is_heard_as_often_as_it_touches_and_not_once_a_pair():
    # Fifty objects, each touched twice, half an hour apart; on one more twenty users within 20 s:
    # 190 of 240 pairs of touches met, but twenty touches of 120 have met somebody.
    hour = 3_600 * np.arange(51)
    calm = np.stack([hour[:50] + 16_500, hour[:50] + 18_300]).T.reshape(-1)
    user = np.concatenate([np.arange(100) % 20, 20 + np.arange(20)])
    acts = Acts(
        user,
        np.concatenate([np.repeat(np.arange(50), 2), np.full(20, 50)]),
        np.concatenate([calm, hour[50] + 17_000 + np.arange(20)]) * 1_000_000,
    )
    null = timing_null(acts, find_coactions(acts, [MINUTE], USERS), hour * 1_000_000, [MINUTE])

    (age,) = set(null.classes(acts.object, acts.time_us).tolist())
    prior = prior_rate(MINUTE)[age, age]
    assert null.rate[0, age, age] == pytest.approx((19 + 0.5 * prior) / (19 + 50 + 0.5), rel=1e-5)


def test_chances_are_kept_for_those_who_were_asked_only():
    acts, born = drawn(number=600)
    windows = [MINUTE, 10 * MINUTE]
    null = timing_null(acts, find_coactions(acts, windows, USERS), born, windows)
    common = common_touches(acts, all_pairs(), null)
    asked = np.arange(780) % 3 - 1

    lists = chances_of(common, asked, null).to_list()

    for number, window in enumerate(windows):
        told = timing_test(common, np.zeros(780, dtype=np.int64), number, null)
        for place in np.flatnonzero(asked == number):
            assert lists[place] == sorted(lists[place]), window
            assert len(lists[place]) == told.together[place]
            assert sum(lists[place]) == pytest.approx(told.expected[place])
    assert [one is None for one in lists] == (asked < 0).tolist()

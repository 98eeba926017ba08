"""What two users both touched, whenever, and how often touches of given ages meet."""

import numpy as np
import polars as pl
import pytest

from graphguard.graph.keyed import KeyHashes
from graphguard.rings import timing
from graphguard.rings.coaction import calm_meetings, find_coactions
from graphguard.rings.meetings import Acts
from graphguard.rings.timing import common_touches, timing_test
from graphguard.rings.timing_null import NUM_AGES, timing_null

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
    found = find_coactions(acts, windows, USERS, 10**9)
    null = timing_null(acts, found, born, windows)

    for number, window in enumerate(windows):
        near = found.meetings.gap_us() <= window
        common = common_touches(acts, all_pairs(), null)
        told = timing_test(common, np.zeros(780, dtype=np.int64), number, null)
        # First touches are pooled and all meetings: as many are expected as there were.
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

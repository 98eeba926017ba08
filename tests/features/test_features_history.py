import numpy as np
import pytest

from graphguard.features.history import ObjectHistory, Touches, count_below


def drawn(*touches, since=0, timeless=False):
    """Touches drawn as (user, object, time); all are asked about."""
    user, item, time = (np.array(column, dtype=np.int64) for column in zip(*touches, strict=True))
    asked = np.arange(user.size)
    since_us = np.broadcast_to(np.asarray(since, dtype=np.int64), user.shape)
    return Touches(user, item, time, asked, since_us, timeless)


def test_others_before_an_event_are_counted_once_each():
    # object 0:  a@10  b@20  a@30  b@40      a@30 sees b; b@40 sees a twice, one user
    history = ObjectHistory(drawn((0, 0, 10), (1, 0, 20), (0, 0, 30), (1, 0, 40)))

    assert history.num_users().tolist() == [0, 1, 1, 1]
    assert history.num_events().tolist() == [0, 1, 1, 2]
    assert history.previous_us().tolist() == [-1, 10, 20, 30]
    assert history.first_us().tolist() == [-1, 10, 20, 10]
    assert history.first_touch().tolist() == [True, True, False, False]


def test_own_events_hide_no_other_behind_them():
    # object 0:  b@10  a@20  a@30      the last other before a@30 is b, not a itself
    history = ObjectHistory(drawn((1, 0, 10), (0, 0, 20), (0, 0, 30)))

    assert history.previous_us().tolist() == [-1, 10, 10]
    assert history.first_us().tolist() == [-1, 10, 10]


def test_events_of_one_microsecond_do_not_see_each_other():
    history = ObjectHistory(drawn((0, 0, 10), (1, 0, 10), (2, 0, 11)))

    assert history.num_users().tolist() == [0, 0, 2]
    assert history.previous_us().tolist() == [-1, -1, 10]


def test_history_begins_with_the_rows_window():
    # object 0:  a@10  b@20  c@30      c's window begins at 20: a is out, b is in
    history = ObjectHistory(drawn((0, 0, 10), (1, 0, 20), (2, 0, 30), since=[0, 11, 20]))

    assert history.num_users().tolist() == [0, 0, 1]
    assert history.first_us().tolist() == [-1, -1, 20]


def test_without_times_all_others_count():
    history = ObjectHistory(drawn((0, 0, 0), (0, 0, 0), (1, 0, 0), (2, 1, 0), timeless=True))

    assert history.num_users().tolist() == [1, 1, 1, 0]
    assert history.num_events().tolist() == [1, 1, 2, 0]
    assert history.total(np.array([5, 7, 9, 11])).tolist() == [9, 9, 12, 0]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shared_since", [True, False])
def test_history_agrees_with_looking_at_every_event(seed, shared_since):
    draw = np.random.default_rng(seed)
    size = 120
    user, item = draw.integers(0, 6, size), draw.integers(0, 4, size)
    time, weight = draw.integers(0, 60, size), draw.integers(-5, 90, size)
    asked = np.sort(draw.choice(size, 70, replace=False))
    since = np.full(70, 13) if shared_since else draw.integers(0, 30, 6)[user[asked]]
    asked, since = asked[time[asked] >= since], since[time[asked] >= since]
    history = ObjectHistory(Touches(user, item, time, asked, since))

    for place, (event, start) in enumerate(zip(asked, since, strict=True)):
        seen = (item == item[event]) & (time >= start) & (time < time[event])
        others = seen & (user != user[event])
        assert history.num_events()[place] == others.sum()
        assert history.num_users()[place] == np.unique(user[others]).size
        assert history.total(weight)[place] == weight[others].sum()
        assert history.previous_us()[place] == (time[others].max() if others.any() else -1)
        assert history.first_us()[place] == (time[others].min() if others.any() else -1)
        own = (item == item[event]) & (time >= start) & (user == user[event])
        assert history.own_first_us()[place] == time[own].min()
        before = own & (time < time[event])
        assert history.own_previous_us()[place] == (time[before].max() if before.any() else -1)


def test_no_events_have_no_history():
    empty = np.zeros(0, dtype=np.int64)
    history = ObjectHistory(Touches(empty, empty, empty, empty, empty))

    assert history.num_users().tolist() == []
    assert history.previous_us().tolist() == []
    assert history.first_us().tolist() == []
    assert history.first_touch().tolist() == []
    assert history.total(empty).tolist() == []


def test_count_below_agrees_with_counting():
    draw = np.random.default_rng(3)
    values = draw.integers(0, 50, 300)
    low = draw.integers(0, 300, 200)
    high = draw.integers(low, 301)
    bound = draw.integers(0, 70, 200)

    found = count_below(values, low, high, bound)

    wanted = [(values[a:b] < c).sum() for a, b, c in zip(low, high, bound, strict=True)]
    assert found.tolist() == wanted

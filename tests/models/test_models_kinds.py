import numpy as np

from graphguard.models.base import Rows
from graphguard.models.kinds import kinds_of_rows


def rows(nodes, events, names=("all.num_events", "likes.num_events")):
    x = np.array(events, dtype=np.float32).reshape(len(nodes), len(names))
    node = np.array(nodes)
    return Rows(node, np.zeros(len(nodes), dtype=np.int64), x, names, None)


def test_newcomers_had_no_row_before_and_the_least_active_are_a_quarter():
    # users 1 to 4 with 2, 9, 9, 40 events in all; 2 and 4 had a row at an earlier anchor
    now = rows([1, 2, 3, 4], [[2, 50], [9, 0], [9, 0], [40, 0]])

    kinds = kinds_of_rows(now, rows([4, 2, 7], [[0, 0]] * 3))

    assert kinds["new"].tolist() == [True, False, True, False]
    assert kinds["known"].tolist() == [False, True, False, True]
    assert kinds["low activity"].tolist() == [True, False, False, False]
    assert kinds["higher activity"].tolist() == [False, True, True, True]


def test_without_a_count_of_all_events_those_of_the_logs_are_added_up():
    names = ("likes.num_events", "posts.num_events", "posts.nbr_mean.likes.num_events")
    now = rows([1, 2, 3, 4], [[9, 0, 0], [5, np.nan, 0], [1, 9, 0], [4, 4, 99]], names)

    low = kinds_of_rows(now, now)["low activity"]

    assert low.tolist() == [False, True, False, False]


def test_without_any_count_activity_is_not_told():
    now = rows([1, 2], [[1], [2]], ("user.account_age_d",))

    assert list(kinds_of_rows(now, now)) == ["new", "known"]

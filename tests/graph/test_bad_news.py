"""The oldest and newest news of bad users on a row's objects, against the definition read aloud."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from timed_touches import both_sides

from graphguard.graph.bad_news import DAY_US, bad_news
from graphguard.graph.propagate import NEVER, NeighbourRows, touches_of

WINDOW = 20


def found(edges, rows, objects):
    out, into = both_sides(edges, len(rows.bad_since_us), objects)
    ages = bad_news(into, touches_of(out, rows, WINDOW), rows, WINDOW)
    # In microseconds, none as -1.
    return [np.where(np.isnan(one), -1, np.rint(one * DAY_US)).astype(int).tolist() for one in ages]


def brute(edges, rows):
    oldest, newest = [], []
    for node, anchor in zip(rows.node.tolist(), rows.anchor_us.tolist(), strict=True):
        mine = {e[1] for e in edges if e[0] == node and anchor - WINDOW <= e[2] < anchor}
        news = [max(e[2], int(rows.bad_since_us[e[0]])) for e in edges if e[1] in mine]
        ages = [anchor - known for known in news if anchor - WINDOW <= known < anchor]
        if rows.bad_since_us[node] < anchor:
            ages = []
        oldest.append(max(ages, default=-1))
        newest.append(min(ages, default=-1))
    return [oldest, newest]


@settings(max_examples=300)
@given(st.data())
def test_news_equal_their_definition_with_shared_and_own_anchors(data):
    users, objects = 5, 3
    edge = st.tuples(st.integers(0, users - 1), st.integers(0, objects - 1), st.integers(0, 60))
    edges = data.draw(st.lists(edge, min_size=1, max_size=20))
    shared = data.draw(st.booleans())
    times = (
        [40] * users
        if shared
        else data.draw(st.lists(st.integers(5, 70), min_size=users, max_size=users))
    )
    since = data.draw(
        st.lists(st.sampled_from([NEVER, 0, 10, 30, 50]), min_size=users, max_size=users)
    )
    rows = NeighbourRows(
        np.arange(users), np.array(times), np.zeros((users, 0)), np.array(since, dtype=np.int64)
    )

    assert found(edges, rows, objects) == brute(edges, rows)


def test_a_terminal_of_stolen_cards_is_news_once_the_fraud_is_known():
    # Payment 0 at terminal 0 at time 1, known as fraud at 8. Payments 1, 2 and 3 follow there.
    edges = [(0, 0, 1), (1, 0, 5), (2, 0, 9), (3, 0, 12)]
    since = np.array([8, NEVER, NEVER, NEVER])
    rows = NeighbourRows(np.arange(4), np.array([2, 6, 10, 13]), np.zeros((4, 0)), since)

    assert found(edges, rows, 1) == [[-1, -1, 2, 5], [-1, -1, 2, 5]]

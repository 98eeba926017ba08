import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from timed_touches import both_sides

from graphguard.graph.propagate import NEVER, NeighbourRows, neighbour_means

WINDOW = 20


def brute(edges, rows):
    """The definition, read aloud: for each row, over its objects, over the others' touches."""
    touching = {e[0] for e in edges if rows.anchor_us[0] - WINDOW <= e[2] < rows.anchor_us[0]}
    shared = len(set(rows.anchor_us.tolist())) == 1 and touching <= set(rows.node.tolist())
    row_of = {int(node): place for place, node in enumerate(rows.node)}
    found = []
    for node, anchor in zip(rows.node.tolist(), rows.anchor_us.tolist(), strict=True):
        seen = [e for e in edges if anchor - WINDOW <= e[2] < anchor]
        mean, weights, share, bad_count, others_count = 0.0, 0.0, 0.0, 0, 0
        for thing in sorted({e[1] for e in seen if e[0] == node}):
            others = [e[0] for e in seen if e[1] == thing and e[0] != node]
            others_count += len(others)
            if not others:
                continue
            weight = 1 / np.log(2 + len(others))
            bad = sum(rows.bad_since_us[v] < anchor for v in others)
            bad_count += bad
            share += weight * bad / len(others)
            known = [
                rows.values[row_of[v], 0]
                for v in others
                if v in row_of and (shared or rows.anchor_us[row_of[v]] < anchor)
            ]
            if known:
                mean += weight * sum(known) / len(known)
                weights += weight
        found.append((mean / weights if weights else np.nan, bad_count, others_count))
    return found


@settings(max_examples=400)
@given(st.data())
def test_aggregates_equal_their_definition_with_shared_and_own_anchors(data):
    users, objects = 5, 3
    edge = st.tuples(st.integers(0, users - 1), st.integers(0, objects - 1), st.integers(0, 60))
    edges = data.draw(st.lists(edge, max_size=25, unique=True))
    own = data.draw(st.booleans())
    nodes = np.array(
        sorted(data.draw(st.sets(st.integers(0, users - 1), min_size=1))) if own else range(users)
    )
    anchors = data.draw(st.lists(st.integers(1, 70), min_size=len(nodes), max_size=len(nodes)))
    bad = data.draw(st.lists(st.sampled_from([NEVER, 5, 30, 50]), min_size=users, max_size=users))
    rows = NeighbourRows(
        node=nodes.astype(np.int64),
        anchor_us=np.array(anchors if own else [anchors[0]] * len(nodes)),
        values=np.arange(len(nodes), dtype=np.float64)[:, None] * 1.5,
        bad_since_us=np.array(bad),
    )

    made = neighbour_means(*both_sides(edges, users, objects), rows, WINDOW)

    for place, (mean, bad_count, others) in enumerate(brute(edges, rows)):
        assert made.means[place, 0] == pytest.approx(mean, abs=1e-5, nan_ok=True)
        assert made.bad_touches[place] == bad_count
        assert made.other_touches[place] == others


def test_ones_own_value_and_label_are_left_out():
    # users 0 and 1 share object 0
    rows = NeighbourRows(
        np.array([0, 1]), np.array([10, 10]), np.array([[4.0], [8.0]]), np.array([3, NEVER])
    )

    made = neighbour_means(*both_sides([(0, 0, 5), (1, 0, 6)], 2, 1), rows, WINDOW)

    assert made.means[:, 0].tolist() == [8.0, 4.0]
    assert made.bad_share.tolist() == [0.0, 1.0]


def test_a_rare_object_says_more_than_a_crowded_one():
    # user 0 shares object 0 with user 1 (value 1) and object 1 with users 2..9 (value 0)
    edges = [(0, 0, 1), (1, 0, 1), (0, 1, 1)] + [(user, 1, 1) for user in range(2, 10)]
    values = np.zeros((10, 1))
    values[1] = 1.0
    rows = NeighbourRows(np.arange(10), np.full(10, 10), values, np.full(10, NEVER))

    made = neighbour_means(*both_sides(edges, 10, 2), rows, WINDOW)

    rare, crowded = 1 / np.log(3), 1 / np.log(10)
    assert made.means[0, 0] == pytest.approx(rare / (rare + crowded))
    assert made.fewest_others[0] == 1

"""A graph made from an earlier one is the graph of all its days, byte for byte."""

import numpy as np
import polars as pl
import pytest

from graphguard.config.values import DAY_US
from graphguard.errors import GraphInvalid
from graphguard.graph.advance import Change, advance_graph
from graphguard.graph.arrays import EdgeArrays, NodeArrays, dense_of
from graphguard.graph.build import write_graph
from graphguard.graph.hetero import HeteroGraph

USES = ("user", "uses", "device")
FOLLOWS = ("user", "follows", "user")
HUBS = {"device": 3, "user": 6}
SEED = 11
# Storage indices are in order of arrival, keys in another.
KEYS = {
    "user": [f"u{(n * 37) % 101:03d}" for n in range(101)],
    "device": [f"d{(n * 11) % 41:03d}" for n in range(41)],
}


def some_day(day, rng, users, devices, edges=60):
    """Daily edges of both types, users and devices drawn from a range of storage indices."""

    def drawn(other):
        ends = np.stack([rng.choice(users, edges), rng.choice(other, edges)])
        ends = np.unique(ends, axis=1).astype(np.int32)
        # Few moments, so that many edges have the same time.
        time = day * DAY_US + rng.integers(0, 5, ends.shape[1]) * 1000
        count = rng.integers(1, 9, ends.shape[1]).astype(np.int32)
        return EdgeArrays(ends[0], ends[1], time, count)

    return {USES: drawn(devices), FOLLOWS: drawn(users)}


def joined(days, edge_type):
    parts = [day[edge_type] for day in days]
    names = ("source", "target", "time_us", "count")
    kinds = (np.int32, np.int32, np.int64, np.int32)
    return EdgeArrays(
        *(
            np.concatenate([np.zeros(0, dtype=kind), *(getattr(part, name) for part in parts)])
            for name, kind in zip(names, kinds, strict=True)
        )
    )


def from_all(folder, days):
    """The graph of all days, as a first night writes it."""
    edges = {edge_type: joined(days, edge_type) for edge_type in (USES, FOLLOWS)}
    used = {
        "user": [edges[USES].source, edges[FOLLOWS].source, edges[FOLLOWS].target],
        "device": [edges[USES].target],
    }
    nodes = {}
    for kind, parts in sorted(used.items()):
        storage = np.unique(np.concatenate(parts)).astype(np.int64)
        order = np.argsort([KEYS[kind][n] for n in storage])
        names = pl.Series([KEYS[kind][n] for n in storage[order]], dtype=pl.String)
        nodes[kind] = NodeArrays(names, storage[order])
    dense = {kind: dense_of(part.storage) for kind, part in nodes.items()}
    ends = {
        name: EdgeArrays(
            dense[name[0]][one.source], dense[name[2]][one.target], one.time_us, one.count
        )
        for name, one in edges.items()
    }
    write_graph(folder, nodes, ends.items(), HUBS, SEED)
    return HeteroGraph.open(folder)


def changes(left, came):
    """Days that left and came, by number."""
    spans = [(day * DAY_US, (day + 1) * DAY_US) for day in left]
    return {
        name: Change(joined(left.values(), name), spans, joined(came.values(), name))
        for name in (USES, FOLLOWS)
    }


def keys(kind, storage):
    return pl.Series([KEYS[kind][n] for n in storage], dtype=pl.String)


def content(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (range(10, 20), range(11, 21)),
        (range(10, 20), range(10, 24)),
        (range(10, 20), range(14, 20)),
        (range(10, 20), range(10, 20)),
        (range(10, 20), range(20, 22)),
        (range(10, 20), [0, 12, 13, 21]),
    ],
    ids=["a night", "days come", "days leave", "nothing", "all leave", "gaps"],
)
def test_a_graph_carried_on_is_the_graph_of_all_days_byte_for_byte(tmp_path, before, after):
    rng = np.random.default_rng(3)
    days = {
        # As days pass others are active, so nodes leave and come; day 0 holds edges without time.
        day: some_day(day, rng, np.arange(20 + day * 2, 45 + day * 2), np.arange(day, day + 12))
        for day in (0, *range(10, 25))
    }
    before, after = [0, *before], sorted({0, *after})
    base = from_all(tmp_path / "before", [days[day] for day in before])
    expected = from_all(tmp_path / "expected", [days[day] for day in after])

    left = {day: days[day] for day in before if day not in after}
    came = {day: days[day] for day in after if day not in before}
    number = advance_graph(tmp_path / "made", base, changes(left, came), keys, (HUBS, SEED))

    assert number == expected.num_nodes
    assert content(tmp_path / "made") == content(tmp_path / "expected")
    assert sum(expected.num_edges.values()) > 100


@pytest.mark.parametrize(
    ("often", "before", "after", "width"),
    [
        (7, (5, 6), (6, 7), (1, 4)),
        (5, (5, 6), (6, 7), (4, 1)),
        (6, (5, 6), (6, 7), (4, 4)),
        (9, (5, 6), (6, 7), (1, 1)),
    ],
    ids=["one comes", "one leaves", "one stays", "none"],
)
def test_counts_take_four_bytes_where_one_does_not_fit_one(
    tmp_path, monkeypatch, often, before, after, width
):
    monkeypatch.setattr("graphguard.graph.splice.BLOCK", 7)
    rng = np.random.default_rng(5)
    days = {day: some_day(day, rng, np.arange(60), np.arange(30)) for day in (5, 6, 7)}
    if often in days:
        days[often][USES].count[:] = 300
    base = from_all(tmp_path / "before", [days[day] for day in before])
    expected = from_all(tmp_path / "expected", [days[day] for day in after])
    change = changes({5: days[5]}, {7: days[7]})
    advance_graph(tmp_path / "made", base, change, keys, (HUBS, SEED))

    assert (base.out(USES).count.itemsize, expected.out(USES).count.itemsize) == width
    assert base.out(FOLLOWS).count.itemsize == expected.out(FOLLOWS).count.itemsize == 1
    assert content(tmp_path / "made") == content(tmp_path / "expected")


def test_a_graph_that_an_older_program_wrote_is_carried_on(tmp_path):
    rng = np.random.default_rng(5)
    days = {day: some_day(day, rng, np.arange(60), np.arange(30)) for day in (1, 2, 3)}
    from_all(tmp_path / "before", [days[1], days[2]])
    for path in (tmp_path / "before").rglob("*_count.npy"):
        np.save(path, np.load(path).astype(np.int32))
    from_all(tmp_path / "expected", [days[2], days[3]])

    base = HeteroGraph.open(tmp_path / "before")
    change = changes({1: days[1]}, {3: days[3]})
    advance_graph(tmp_path / "made", base, change, keys, (HUBS, SEED))

    assert content(tmp_path / "made") == content(tmp_path / "expected")


def test_edges_across_many_blocks_stay_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr("graphguard.graph.splice.BLOCK", 7)
    rng = np.random.default_rng(5)
    days = {day: some_day(day, rng, np.arange(60), np.arange(30)) for day in range(1, 9)}
    base = from_all(tmp_path / "before", [days[day] for day in range(1, 8)])
    from_all(tmp_path / "expected", [days[day] for day in range(3, 9)])

    change = changes({day: days[day] for day in (1, 2)}, {8: days[8]})
    advance_graph(tmp_path / "made", base, change, keys, (HUBS, SEED))

    assert content(tmp_path / "made") == content(tmp_path / "expected")


def test_days_that_the_earlier_graph_never_held_cannot_leave_it(tmp_path):
    rng = np.random.default_rng(5)
    days = {day: some_day(day, rng, np.arange(60), np.arange(30)) for day in (1, 2, 3)}
    base = from_all(tmp_path / "before", [days[1], days[2]])
    with pytest.raises(GraphInvalid, match="does not hold all edges of the days that leave"):
        advance_graph(tmp_path / "made", base, changes({3: days[3]}, {}), keys, (HUBS, SEED))


def test_a_day_before_one_that_stays_cannot_come(tmp_path):
    rng = np.random.default_rng(5)
    days = {day: some_day(day, rng, np.arange(60), np.arange(30)) for day in (1, 2, 3)}
    base = from_all(tmp_path / "before", [days[1], days[3]])
    with pytest.raises(GraphInvalid, match="not later than all that stay"):
        advance_graph(tmp_path / "made", base, changes({}, {2: days[2]}), keys, (HUBS, SEED))


def test_an_edge_of_a_node_without_a_key_is_refused(tmp_path):
    rng = np.random.default_rng(5)
    base = from_all(tmp_path / "before", [some_day(1, rng, np.arange(60), np.arange(30))])

    def some(kind, storage):
        return pl.Series([KEYS[kind][n] if n < 60 else None for n in storage], dtype=pl.String)

    strange = changes({}, {2: some_day(2, rng, np.arange(75, 90), np.arange(30))})
    with pytest.raises(GraphInvalid, match="an edge names storage index 75, which has no key"):
        advance_graph(tmp_path / "made", base, strange, some, (HUBS, SEED))


def test_a_graph_with_the_indices_of_another_workspace_is_refused(tmp_path):
    rng = np.random.default_rng(5)
    days = {day: some_day(day, rng, np.arange(60), np.arange(30)) for day in (1, 2)}
    base = from_all(tmp_path / "before", [days[1]])

    def other(kind, storage):
        swapped = {3: 4, 4: 3}
        return keys(kind, [swapped.get(n, n) for n in storage])

    with pytest.raises(GraphInvalid, match="other storage indices than the ids say"):
        advance_graph(tmp_path / "made", base, changes({}, {2: days[2]}), other, (HUBS, SEED))


def test_edges_of_a_day_that_left_cannot_stay(tmp_path):
    # What is subtracted from the degrees and what leaves by time are not the same edges.
    rng = np.random.default_rng(5)
    days = {day: some_day(day, rng, np.arange(60), np.arange(30)) for day in (1, 2)}
    base = from_all(tmp_path / "before", [days[1], days[2]])
    change = changes({1: days[1]}, {})
    wrong = {name: Change(one.left, [(0, 1)], one.came) for name, one in change.items()}
    with pytest.raises(GraphInvalid, match="more edges stay than its days hold"):
        advance_graph(tmp_path / "made", base, wrong, keys, (HUBS, SEED))

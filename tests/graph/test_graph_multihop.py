"""Aggregates over walks: equal to their definition, blind to the future, the same in any memory."""

import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphguard.errors import DegreesLookAhead, MemoryBudgetTooSmall
from graphguard.graph import window_edges
from graphguard.graph.array_files import read_columns
from graphguard.graph.arrays import EdgeArrays, NodeArrays
from graphguard.graph.build import write_graph
from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.metapaths import Hop, Metapath, metapaths
from graphguard.graph.multihop import NodeValues, Propagation, propagate
from graphguard.graph.propagate import NEVER
from graphguard.tables.files import read_json

USES, POSTS = ("user", "uses", "device"), ("user", "posts", "content")
FOLLOWS = ("user", "follows", "user")
SIZES = {"user": 6, "device": 4, "content": 4}
ANCHOR, WINDOW = 60, 40
SHARED = Metapath((Hop(USES, True), Hop(USES, False)))
RULES = Propagation(ANCHOR, WINDOW, threads=1)


def build(folder, edges, sizes=SIZES, hubs=None):
    """Edges are lists of (source, target, time) by type."""
    nodes = {
        name: NodeArrays(pl.Series([f"{name}{n:05}" for n in range(size)]), np.arange(size))
        for name, size in sizes.items()
    }
    arrays = []
    for name, rows in edges.items():
        source, target, time = np.array(rows, dtype=np.int64).reshape(-1, 3).T
        arrays.append((name, EdgeArrays(source, target, time, np.ones(len(rows), dtype=np.int32))))
    write_graph(folder, nodes, arrays, hubs or {}, 7)
    return HeteroGraph.open(folder)


def run(graph, values, paths, out, rules=RULES):
    """Every column made, by name."""
    made = propagate(graph, values, paths, rules, out)
    assert read_json(out / "columns.json") == made
    found = {}
    for name, columns in made.items():
        matrix = np.load(out / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        assert matrix.dtype == np.float32
        found |= {column: np.array(matrix[:, n]) for n, column in enumerate(columns)}
    return found


def walks(edges, path, seed):
    """All walks in the window: (end, chance, number) with repeats, by the definition."""
    found = [(seed, 1.0)]
    for place, hop in enumerate(path.hops):
        ends = [
            (s, t) if hop.forward else (t, s)
            for s, t, time in edges[hop.edge_type]
            if ANCHOR - WINDOW <= time < ANCHOR
        ]
        last = place == len(path.hops) - 1
        touches = {node: sum(b == node for _, b in ends) for _, node in ends}
        liking = {node: 1.0 if last else 1 / np.log(2 + count) for node, count in touches.items()}
        longer = []
        for node, chance in found:
            options = [b for a, b in ends if a == node]
            whole = sum(liking[b] for b in options)
            longer += [(b, chance * liking[b] / whole) for b in options]
        found = longer
    return found


def expected(edges, path, value, bad):
    """mean, sum, max and bad share of every seed, from the walks one by one."""
    rows = []
    for seed in range(SIZES[path.start]):
        others = [w for w in walks(edges, path, seed) if path.start != path.end or w[0] != seed]
        there = [w for w in others if np.isfinite(value[w[0]])]
        weight, reach = sum(c for _, c in there), sum(c for _, c in others)
        mean = sum(c * value[end] for end, c in there) / weight if there else np.nan
        share = sum(c for end, c in others if bad[end] < ANCHOR) / reach if others else np.nan
        ends = [value[end] for end, _ in there]
        rows.append((mean, sum(ends), max(ends, default=np.nan), share))
    return np.array(rows)


def drawn_edges(data):
    found = {}
    for name in (USES, POSTS, FOLLOWS):
        one = st.tuples(
            st.integers(0, SIZES[name[0]] - 1),
            st.integers(0, SIZES[name[2]] - 1),
            st.integers(0, 80),
        )
        found[name] = data.draw(st.lists(one, max_size=14, unique=True))
    return found


@settings(max_examples=60)
@given(data=st.data())
def test_aggregates_equal_their_definition_walk_by_walk(data, tmp_path_factory):
    edges, folder = drawn_edges(data), tmp_path_factory.mktemp("drawn")
    value = np.array(data.draw(st.lists(st.sampled_from([np.nan, -3, 0, 2.5, 7]), min_size=6)))[:6]
    bad = np.array(
        data.draw(st.lists(st.sampled_from([NEVER, 5, 59, 60, 61]), min_size=6, max_size=6))
    )
    paths = [path for path in metapaths(list(edges), "user", 4) if path.end == "user"]
    chosen = data.draw(st.lists(st.sampled_from(paths), min_size=1, max_size=4, unique=True))
    graph = build(folder / "graph", edges)
    users = NodeValues(("x",), value[:, None], bad)

    made = run(graph, {"user": users}, chosen, folder / "out")

    for path in chosen:
        wanted = expected(edges, path, value, bad)
        for number, kind in enumerate(("mean.x", "sum.x", "max.x", "bad_share")):
            found = made[f"{path.name}.{kind}"]
            np.testing.assert_allclose(found, wanted[:, number], rtol=1e-5, atol=1e-6)


def test_a_path_that_ends_at_another_type_takes_that_types_values(tmp_path):
    # user 0 -> devices 1 and 2, user 1 -> device 2, user 2 none
    graph = build(tmp_path / "graph", {USES: [(0, 1, 30), (0, 2, 31), (1, 2, 32)]})
    devices = NodeValues(("age",), np.array([[1.0], [2.0], [6.0], [9.0]]))
    path = Metapath((Hop(USES, True),))

    made = run(graph, {"device": devices}, [path, SHARED], tmp_path / "out")

    assert sorted(made) == [f"user-uses-device.{kind}.age" for kind in ("max", "mean", "sum")]
    assert made["user-uses-device.mean.age"][:2].tolist() == [4.0, 6.0]
    assert made["user-uses-device.sum.age"].tolist() == [8.0, 6.0, 0.0, 0.0, 0.0, 0.0]
    assert made["user-uses-device.max.age"][:2].tolist() == [6.0, 6.0]
    assert np.isnan(made["user-uses-device.mean.age"][2:]).all()


def test_ones_own_value_and_label_are_left_out_to_the_last_bit(tmp_path):
    # Users 0 and 1 share device 0, user 0 came back on nine more days; 0 is bad, and huge.
    edges = {USES: [(0, 0, 25 + day) for day in range(10)] + [(1, 0, 30), (2, 1, 30)]}
    graph = build(tmp_path / "graph", edges)
    values = np.array([[1e9], [3.0], [5.0], [0], [0], [0]])
    bad = np.array([10, NEVER, 10, NEVER, NEVER, NEVER])

    made = run(graph, {"user": NodeValues(("x",), values, bad)}, [SHARED], tmp_path / "out")

    name = SHARED.name
    assert made[f"{name}.bad_share"][:2].tolist() == [0.0, 1.0]
    assert made[f"{name}.max.x"][:2].tolist() == [3.0, 1e9]
    assert made[f"{name}.mean.x"][0] == pytest.approx(3.0, rel=1e-5)
    # 10 days of user 0 on the device, each met by 1 day of user 1
    assert made[f"{name}.sum.x"][0] == pytest.approx(30.0, rel=1e-5)
    # user 2 is alone on its device, users 3 to 5 touch nothing
    assert np.isnan(made[f"{name}.bad_share"][2:]).all()
    assert np.isnan(made[f"{name}.max.x"][2:]).all()
    assert made[f"{name}.sum.x"][2:].tolist() == [0.0] * 4


def test_turning_ones_own_label_and_value_over_changes_nothing_of_ones_own(tmp_path):
    draw = np.random.default_rng(1)
    edges = {USES: list(zip(*draw.integers([0, 0, 20], [40, 12, 60], (300, 3)).T, strict=True))}
    sizes = {"user": 40, "device": 12}
    graph = build(tmp_path / "graph", edges, sizes)
    path = Metapath(SHARED.hops * 2)
    values, bad = draw.random((40, 1)), np.where(draw.random(40) < 0.3, 10, NEVER)
    made = run(graph, {"user": NodeValues(("x",), values, bad)}, [SHARED, path], tmp_path / "one")
    seen = 0

    for user in range(0, 40, 8):
        other_values, other_bad = values.copy(), bad.copy()
        other_values[user] += 1e6
        other_bad[user] = NEVER if bad[user] == 10 else 10
        inputs = {"user": NodeValues(("x",), other_values, other_bad)}
        again = run(graph, inputs, [SHARED, path], tmp_path / str(user))
        for name in made:
            assert again[name][user] == pytest.approx(made[name][user], rel=1e-6), name
            seen += int((again[name] != made[name]).any())
    assert seen > 20  # others do see it


def test_only_edges_from_the_windows_start_to_before_the_anchor_count(tmp_path):
    # times 19 and 60 lie outside [20, 60), 20 and 59 inside
    edges = {USES: [(0, 0, 20), (1, 0, 59), (2, 0, 19), (3, 0, 60)]}
    graph = build(tmp_path / "graph", edges)
    values = NodeValues(("x",), np.arange(1.0, 7.0)[:, None], np.full(6, 5))

    made = run(graph, {"user": values}, [SHARED], tmp_path / "out")

    assert made[f"{SHARED.name}.sum.x"].tolist() == [2.0, 1.0, 0.0, 0.0, 0.0, 0.0]


def test_what_comes_after_the_anchor_changes_no_byte(tmp_path):
    before = {USES: [(0, 0, 30), (1, 0, 40), (2, 1, 50), (1, 1, 59)]}
    after = {USES: before[USES] + [(user, user % 4, 60 + user) for user in range(6)]}
    values = NodeValues(("x",), np.arange(6.0)[:, None], np.array([59, 60, 61, 5, 5, 5]))
    late = NodeValues(("x",), values.values, np.array([59, NEVER, 90, 5, 5, 5]))

    one = run(build(tmp_path / "a", before), {"user": values}, [SHARED], tmp_path / "one")
    other = run(build(tmp_path / "b", after), {"user": late}, [SHARED], tmp_path / "other")

    assert one.keys() == other.keys()
    for name in one:
        assert one[name].tobytes() == other[name].tobytes()


def test_a_relation_without_edges_and_a_type_without_nodes_give_no_neighbours(tmp_path):
    sizes = {"user": 3, "device": 0}
    graph = build(tmp_path / "graph", {USES: []}, sizes)
    users = NodeValues(("x",), np.ones((3, 1)), np.zeros(3, dtype=np.int64))

    made = run(graph, {"user": users}, [SHARED], tmp_path / "out")

    assert np.isnan(made[f"{SHARED.name}.mean.x"]).all()
    assert np.isnan(made[f"{SHARED.name}.max.x"]).all()
    assert np.isnan(made[f"{SHARED.name}.bad_share"]).all()
    assert made[f"{SHARED.name}.sum.x"].tolist() == [0.0, 0.0, 0.0]


@pytest.fixture
def larger(tmp_path):
    """400 users on 60 devices, one a hub; 7 columns with gaps, in files of both orders."""
    draw = np.random.default_rng(5)
    uses = draw.integers([0, 0, 0], [400, 60, 70], (5000, 3))
    uses[:1500, 1] = 0
    follows = draw.integers([0, 0, 0], [400, 400, 70], (2000, 3))
    edges = {USES: np.unique(uses, axis=0), FOLLOWS: np.unique(follows, axis=0)}
    graph = build(tmp_path / "graph", edges, {"user": 400, "device": 60})
    values = np.where(draw.random((400, 7)) < 0.1, np.nan, draw.normal(0, 100, (400, 7)))
    values[:, 3] = draw.normal(0, 1, 400)
    values = values.astype(np.float32)
    np.save(tmp_path / "rows.npy", values)
    np.save(tmp_path / "columns.npy", np.asfortranarray(values))
    bad = np.where(draw.random(400) < 0.2, 30, NEVER)
    return graph, bad


PATHS = [path for path in metapaths([USES, FOLLOWS], "user", 3) if path.end == "user"]


def test_no_byte_depends_on_memory_threads_or_the_order_of_the_input_file(
    larger, tmp_path, monkeypatch
):
    graph, bad = larger
    monkeypatch.setattr(window_edges, "LONGEST", 100)
    names, blocks, number_of_run = tuple("abcdefg"), set(), 0

    def read(matrix, first, last):
        blocks.add((number_of_run, first, last))
        return read_columns(matrix, first, last)

    monkeypatch.setattr("graphguard.graph.multihop.read_columns", read)

    def bytes_of(number, rules, chunk=None, order="columns"):
        nonlocal number_of_run
        out, number_of_run = tmp_path / str(number), number
        held = np.load(tmp_path / f"{order}.npy", mmap_mode="r", allow_pickle=False)
        if chunk:
            monkeypatch.setattr(window_edges, "ROWS_AT_ONCE", chunk)
        propagate(graph, {"user": NodeValues(names, held, bad)}, PATHS, rules, out)
        return {path.name: path.read_bytes() for path in out.iterdir()}

    whole = bytes_of(0, RULES)
    # Three columns at once instead of seven on the longest paths, and chunks of 17 rows.
    small = Propagation(ANCHOR, WINDOW, memory_bytes=2_205_000, threads=1)
    assert len(whole) == len(PATHS) + 1
    assert bytes_of(1, small, chunk=17) == whole
    assert bytes_of(2, Propagation(ANCHOR, WINDOW, threads=3), chunk=64) == whole
    assert bytes_of(3, small, order="rows") == whole
    assert (0, 0, 7) in blocks
    assert {(1, 0, 3), (1, 3, 6), (1, 6, 7)} < blocks


def test_numbering_the_nodes_otherwise_changes_nothing_but_the_last_bits(larger, tmp_path):
    graph, bad = larger
    values = np.load(tmp_path / "rows.npy", allow_pickle=False)
    turn = np.random.default_rng(9).permutation(400)  # old user n is new user turn[n]
    edges = {}
    for name in (USES, FOLLOWS):
        side = graph.out(name)
        source = np.repeat(np.arange(400), np.diff(side.indptr))
        target = turn[side.neighbor] if name == FOLLOWS else side.neighbor
        edges[name] = list(zip(turn[source], target, side.time_us, strict=True))
    turned = build(tmp_path / "turned", edges, {"user": 400, "device": 60})
    new_values, new_bad = np.empty_like(values), np.empty_like(bad)
    new_values[turn], new_bad[turn] = values, bad
    names = tuple("abcdefg")

    one = run(graph, {"user": NodeValues(names, values, bad)}, PATHS, tmp_path / "one")
    two = run(turned, {"user": NodeValues(names, new_values, new_bad)}, PATHS, tmp_path / "two")

    for name in one:
        if ".max." in name:
            assert np.array_equal(one[name], two[name][turn], equal_nan=True)
        else:
            np.testing.assert_allclose(one[name], two[name][turn], rtol=2e-6, atol=2e-6)


def test_a_capped_node_stands_for_its_true_degree(tmp_path):
    # 30 users on device 0 in one day, of which 10 are kept; users 0 and 1 also share device 1.
    edges = {USES: [(user, 0, 30) for user in range(30)] + [(0, 1, 30), (1, 1, 30)]}
    sizes = {"user": 30, "device": 2}
    capped = build(tmp_path / "capped", edges, sizes, hubs={"device": 10})
    whole = build(tmp_path / "whole", edges, sizes)
    users = {"user": NodeValues(("x",), np.ones((30, 1)), np.full(30, NEVER))}
    back = Metapath((Hop(USES, False),))
    shared = f"{SHARED.name}.sum.x"

    made = run(capped, users, [back, SHARED], tmp_path / "a")
    full = run(whole, users, [back, SHARED], tmp_path / "b")
    blind = run(
        capped, users, [SHARED], tmp_path / "c", Propagation(ANCHOR, WINDOW, true_degrees=False)
    )

    kept = np.unique(capped.into(USES).neighbor[:10])
    assert len(kept) == 10
    alone = [user for user in kept.tolist() if user > 1]
    cut = [user for user in range(2, 30) if user not in kept]
    assert full[shared][alone].tolist() == [29.0] * len(alone)
    # each of the 9 others kept stands for 3 of the 30
    assert made[shared][alone].tolist() == [27.0] * len(alone)
    assert blind[shared][alone].tolist() == [9.0] * len(alone)
    assert made[shared][cut].tolist() == [0.0] * len(cut)


def test_a_crowded_object_weighs_by_its_true_degree(tmp_path):
    # User 0 has device 0 (200 users, 20 kept, all value 0) and device 1 (with user 1, value 1).
    edges = {USES: [(user, 0, 30) for user in range(200)] + [(0, 1, 30), (200, 1, 30)]}
    sizes = {"user": 201, "device": 2}
    values = np.zeros((201, 1))
    values[200] = 1.0
    users = {"user": NodeValues(("x",), values)}
    hubs = {"device": 20}
    graph = build(tmp_path / "graph", edges, sizes, hubs=hubs)
    assert 0 not in graph.into(USES).neighbor[:20]  # else another seed is wanted here
    seed = next(u for u in graph.into(USES).neighbor[:20].tolist())
    again = [
        (seed if user == 0 else user, device, time) for user, device, time in edges[USES][200:]
    ]
    graph = build(tmp_path / "again", {USES: edges[USES][:200] + again}, sizes, hubs=hubs)

    made = run(graph, users, [SHARED], tmp_path / "out")

    crowded, rare = 1 / np.log(202), 1 / np.log(4)
    there = rare / 2 / (rare / 2 + crowded * 19 / 20)
    assert made[f"{SHARED.name}.mean.x"][seed] == pytest.approx(there, rel=1e-6)


def test_true_degrees_that_would_look_past_the_anchor_are_refused(tmp_path):
    edges = {USES: [(user, 0, 30) for user in range(6)] + [(0, 1, 75)]}
    graph = build(tmp_path / "graph", edges, hubs={"device": 3})
    users = {"user": NodeValues(("x",), np.ones((6, 1)))}

    with pytest.raises(DegreesLookAhead, match="1 edges come at or after the anchor"):
        run(graph, users, [SHARED], tmp_path / "out")
    blind = Propagation(ANCHOR, WINDOW, true_degrees=False)
    assert run(graph, users, [SHARED], tmp_path / "blind", blind)


def test_a_budget_below_one_column_is_refused_with_what_it_takes(larger, tmp_path):
    graph, bad = larger
    values = NodeValues(("a",), np.ones((400, 1)), bad)
    rules = Propagation(ANCHOR, WINDOW, memory_bytes=100_000)

    with pytest.raises(
        MemoryBudgetTooSmall, match=r"one column over user-uses-device.*needs \d+ MB"
    ):
        propagate(graph, {"user": values}, [SHARED], rules, tmp_path / "out")


def test_metapaths_are_all_walks_of_types_up_to_the_number_of_hops():
    found = [path.name for path in metapaths([USES, FOLLOWS], "user", 2)]

    assert found == [
        "user-uses-device",
        "user-follows-user",
        "user-rev_follows-user",
        "user-uses-device-rev_uses-user",
        "user-follows-user-uses-device",
        "user-follows-user-follows-user",
        "user-follows-user-rev_follows-user",
        "user-rev_follows-user-uses-device",
        "user-rev_follows-user-follows-user",
        "user-rev_follows-user-rev_follows-user",
    ]
    with pytest.raises(ValueError, match="'uses' ends at device, but 'follows' starts at user"):
        Metapath((Hop(USES, True), Hop(FOLLOWS, True)))


CHILD = """
import sys
from pathlib import Path
import numpy as np
from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.metapaths import metapaths
from graphguard.graph.multihop import NodeValues, Propagation, propagate

folder, budget = Path(sys.argv[1]), int(sys.argv[2])
# The first product loads libraries and starts threads; that is not the aggregates' memory.
(folder / "first").mkdir()
small = HeteroGraph.open(folder / "small")
path = metapaths(small.edge_types, "user", 2)[-1]
one = NodeValues(("x",), np.ones((small.num_nodes["user"], 1)))
propagate(small, {"user": one}, [path], Propagation(60, 40, threads=1), folder / "first")

graph = HeteroGraph.open(folder / "graph")
values = np.load(folder / "values.npy", mmap_mode="r", allow_pickle=False)
bad = np.full(len(values), 2**62)
held = NodeValues(tuple(map(str, range(values.shape[1]))), values, bad)
def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))

before = memory("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
rules = Propagation(60, 40, memory_bytes=budget, threads=1)
propagate(graph, {"user": held}, [path], rules, folder / "out")
grown = memory("VmHWM") - before
sys.stdout.write(str(grown * 1024))
"""
SLACK = 32 << 20
"""What allocator, page tables and pages of mapped files may take beyond the budget."""


@pytest.mark.parametrize("order", ["C", "F"])
def test_peak_memory_stays_within_the_budget_where_values_are_larger(tmp_path, order):
    draw = np.random.default_rng(2)
    users, devices, columns, budget = 60_000, 20_000, 300, 24 << 20
    uses = draw.integers([0, 0, 20], [users, devices, 60], (200_000, 3))
    sizes = {"user": users, "device": devices}
    build(tmp_path / "small", {USES: [(0, 0, 30), (1, 0, 30)]}, {"user": 2, "device": 1})
    graph = build(tmp_path / "graph", {USES: uses}, sizes)
    values = draw.random((users, columns), dtype=np.float32)
    np.save(tmp_path / "values.npy", np.asarray(values, order=order))
    assert values.nbytes > 2.5 * budget

    command = [sys.executable, "-c", CHILD, str(tmp_path), str(budget)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)

    assert int(ended.stdout) < budget + SLACK
    some = [0, 150, 299]
    names = tuple(str(number) for number in some)
    bad = np.full(users, NEVER)
    again = run(graph, {"user": NodeValues(names, values[:, some], bad)}, [SHARED], tmp_path / "b")
    made = np.load(tmp_path / "out" / f"{SHARED.name}.npy", mmap_mode="r", allow_pickle=False)
    listed = read_json(tmp_path / "out" / "columns.json")[SHARED.name]
    for name, column in again.items():
        assert column.tobytes() == np.array(made[:, listed.index(name)]).tobytes()

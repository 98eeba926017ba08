"""Every strategy of the sampler against brute force over the plain list of edges."""

import importlib.util
import sys
from collections import Counter, defaultdict
from itertools import combinations
from math import log
from types import ModuleType

import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import chisquare

from graphguard.errors import PygLibMissing
from graphguard.graph import pagerank
from graphguard.graph.arrays import EdgeArrays, NodeArrays
from graphguard.graph.build import write_graph
from graphguard.graph.draws import draw_uniform, draw_weighted, lower_bound
from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.neighbourhoods import walked
from graphguard.graph.sampling import TemporalSampler

USES = ("user", "uses", "device")
FOLLOWS = ("user", "follows", "user")
POSTS = ("user", "posts", "content")
SIZES = {"user": 30, "device": 12, "content": 5}
WINDOW = 20_000
ANCHORS = np.arange(99_500, 100_000)
"""No edge is this late, nor within the 500 after the first window's start: one window for all."""
STRATEGIES = [
    "uniform",
    "rarity",
    "pagerank",
    pytest.param(
        "pyg-lib",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("pyg_lib") is None,
            reason="pyg-lib is not installed, and the package index does not have it",
        ),
    ),
]
DRAWN = [STRATEGIES[0], STRATEGIES[1], STRATEGIES[3]]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """500 uses and 150 follows at 0, 1000, .. 98000; no post at all. The edges, and the graph."""
    draw = np.random.default_rng(5)
    edges = {}
    for name, size, targets in ((USES, 500, 12), (FOLLOWS, 150, 30), (POSTS, 0, 5)):
        source, target = draw.integers(0, 30, size), draw.integers(0, targets, size)
        edges[name] = (source, target, 1_000 * draw.integers(0, 99, size))
    folder = tmp_path_factory.mktemp("graph")
    nodes = {
        kind: NodeArrays(pl.Series([f"{kind}{n:02}" for n in range(size)]), np.arange(size))
        for kind, size in SIZES.items()
    }
    arrays = [
        (name, EdgeArrays(*one, np.ones(len(one[0]), dtype=np.int64)))
        for name, one in edges.items()
    ]
    write_graph(folder, nodes, arrays, {}, 7)
    return edges, HeteroGraph.open(folder)


def neighbours(edges, step, node, anchor):
    """Brute force: (time, other end) of a node's edges within its window, along a step."""
    source, target, time = edges[step.stored]
    mine, other = (target, source) if step.by_target else (source, target)
    inside = (mine == node) & (time >= anchor - WINDOW) & (time < anchor)
    return sorted(zip(time[inside].tolist(), other[inside].tolist(), strict=True))


def families(graph, trees):
    """Every asker of a batch: depth, drawing, place, (node, anchor, root), drawn (time, end)."""
    for depth, layer in enumerate(trees.layers[:-1]):
        starts = defaultdict(int)
        for asked in layer.asked:
            kind, other = asked.step.asker, asked.step.other
            side = graph.into(asked.step.stored) if asked.step.by_target else None
            side = side or graph.out(asked.step.stored)
            start = 0
            for place, count in enumerate(asked.count.tolist()):
                edge = asked.edge[start : start + count].numpy()
                at = starts[other] + start
                child = trees.layers[depth + 1].node[other][at : at + count].tolist()
                assert side.neighbor[edge].tolist() == child
                assert len(set(edge.tolist())) == count
                seed = layer.seed[kind][place].item()
                assert set(trees.layers[depth + 1].seed[other][at : at + count].tolist()) <= {seed}
                drawn = list(zip(side.time_us[edge].tolist(), child, strict=True))
                root = trees.layers[0].node["user"][seed].item()
                node = layer.node[kind][place].item()
                yield depth, asked, place, (node, trees.anchor[seed].item(), root), drawn
                start += count
            starts[other] += start


def sample(graph, strategy, fanouts, seed=0):
    sampler = TemporalSampler(graph, fanouts, WINDOW, seed=seed, strategy=strategy)
    nodes = torch.arange(30).repeat(2)
    anchors = torch.tensor([30_000] * 30 + [95_000] * 30)
    return sampler.sample(nodes, anchors)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_neighbour_is_from_outside_the_window_and_none_is_missing(world, strategy):
    edges, graph = world
    asked_of = Counter()
    trees = sample(graph, strategy, (4, 3))
    for depth, asked, place, (node, anchor, root), drawn in families(graph, trees):
        there = neighbours(edges, asked.step, node, anchor)
        left = Counter(there)
        left.subtract(drawn)
        assert min(left.values(), default=0) >= 0, "an edge that is not there, or one twice"
        possible = len(there)
        if strategy == "pagerank":
            mine = asked.step.other == "user"
            possible = len({end for _, end in there if not (mine and end == root)})
        assert len(drawn) == min(possible, (4, 3)[depth])
        assert asked.degree[place].item() == len(there)
        asked_of[asked.step] += len(drawn)

    assert min(asked_of[step] for step in walked([USES, FOLLOWS])) > 100
    assert sum(asked_of[step] for step in walked([POSTS])) == 0


@pytest.mark.parametrize("strategy", STRATEGIES[:3])
def test_a_tree_is_the_same_in_any_batch(world, strategy):
    _, graph = world
    sampler = TemporalSampler(graph, (3, 2), WINDOW, strategy=strategy)
    alone = sampler.sample(torch.tensor([7]), torch.tensor([95_000]))
    among = sampler.sample(torch.arange(30), torch.full((30,), 95_000))

    for one, many in zip(alone.layers, among.layers, strict=True):
        for kind, node in one.node.items():
            assert node.tolist() == many.node[kind][many.seed[kind] == 7].tolist()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_batch_without_any_edge_is_legal(world, strategy):
    _, graph = world
    sampler = TemporalSampler(graph, (3, 2), WINDOW, strategy=strategy)

    trees = sampler.sample(torch.arange(30), torch.full((30,), -5))

    assert trees.num_edges == 0
    assert trees.sizes("user") == [30, 0, 0]
    assert [trees.sizes(kind) for kind in ("device", "content")] == [[0, 0, 0]] * 2
    nobody = sampler.sample(torch.arange(0), torch.arange(0))
    assert (len(nobody), nobody.num_edges) == (0, 0)


def windowful(edges, step, least):
    """A node with at least so many edges in the window of ANCHORS, and those edges."""
    for node in range(SIZES[step.asker]):
        there = neighbours(edges, step, node, 99_500)
        if len(there) >= least:
            assert there == neighbours(edges, step, node, 99_999)
            return node, there
    raise AssertionError(step)


def pairs_drawn(graph, strategy, node):
    """How often each pair of a user's uses is drawn, in 4,000 trees of fanout 2."""
    step = walked([USES])[0]
    tally = Counter()
    sampler = TemporalSampler(graph, (2,), WINDOW, strategy=strategy)
    for draw in range(8):
        seeds = torch.full((500,), node)
        trees = sampler.sample(seeds, torch.from_numpy(ANCHORS), draw)
        asked = next(one for one in trees.layers[0].asked if one.step == step)
        assert set(asked.count.tolist()) == {2}
        tally.update(map(tuple, asked.edge.view(-1, 2).sort(dim=1).values.tolist()))
    return tally


@pytest.mark.parametrize("strategy", DRAWN)
@pytest.mark.parametrize("least", [4, 9])
def test_pairs_are_drawn_by_their_chances(world, strategy, least):
    edges, graph = world
    step = walked([USES])[0]
    # Up to eight edges run a race, from nine on the running sum is searched.
    node, there = windowful(edges, step, least)
    low, high = graph.out(USES).window(np.array([node]), 79_500, 99_500)
    positions = range(int(low[0]), int(high[0]))
    weight = {place: 1.0 for place in positions}
    if strategy == "rarity":
        source, target, time = edges[USES]
        for place in positions:
            end, at = graph.out(USES).neighbor[place], graph.out(USES).time_us[place]
            weight[place] = 1 / log(2 + int(((target == end) & (time <= at)).sum()))
        assert len({round(one, 6) for one in weight.values()}) > 2
    total = sum(weight.values())
    chance = {}
    for one, other in combinations(positions, 2):
        first, second = weight[one] / total, weight[other] / total
        chance[one, other] = first * second / (1 - first) + second * first / (1 - second)

    tally = pairs_drawn(graph, strategy, node)

    assert len(there) == len(positions)
    assert set(tally) <= set(chance)
    assert sum(chance.values()) == pytest.approx(1)
    pairs = list(chance)
    expected = [4_000 * chance[pair] for pair in pairs]
    assert chisquare([tally[pair] for pair in pairs], expected).pvalue > 1e-3


def walker(edges, root, anchor):
    """Brute force: presence of one walker after the rounds, by (type, node)."""
    steps = walked(list(edges))
    here = {("user", root): 1.0}
    for _ in range(pagerank.ROUNDS):
        there = defaultdict(float)
        for (kind, node), mass in here.items():
            ways = [
                (step.other, neighbours(edges, step, node, anchor))
                for step in steps
                if step.asker == kind
            ]
            total = sum(len(found) for _, found in ways)
            for other, found in ways:
                for _, end in found:
                    there[other, end] += mass * (1 - pagerank.RESTART_PERCENT / 100) / total
        there["user", root] += 1 - sum(there.values())
        here = there
    return here


def test_pagerank_takes_the_neighbours_where_the_walker_is_most(world):
    edges, graph = world
    trees = sample(graph, "pagerank", (3, 2))
    at = [(root, anchor) for root in range(30) for anchor in (30_000, 95_000)]
    presence = {one: walker(edges, *one) for one in at}
    chosen_from = 0
    for _, asked, _, (node, anchor, root), drawn in families(graph, trees):
        score, other = presence[root, anchor], asked.step.other
        there = neighbours(edges, asked.step, node, anchor)
        ends = {end for _, end in there if (other, end) != ("user", root)}
        taken = [end for _, end in drawn]
        missed = [score[other, end] for end in ends - set(taken)]
        found = [score[other, end] for end in taken]
        assert max(missed, default=0) <= min(found, default=0) + 1e-9
        assert (np.diff(found) <= 1e-9).all()
        newest = {end: time for time, end in there}
        assert all(newest[end] == time for time, end in drawn)
        chosen_from += bool(missed)

    assert chosen_from > 30


def test_scores_of_pagerank_are_those_of_power_iteration(world):
    edges, graph = world
    picker = TemporalSampler(graph, (3,), WINDOW, strategy="pagerank")._picker

    found = picker.scores(torch.tensor([4, 11]), torch.tensor([95_000, 60_000]))

    for seed, (root, anchor) in enumerate(((4, 95_000), (11, 60_000))):
        expected = walker(edges, root, anchor)
        assert len(expected) > 10
        for kind, here in found.items():
            mine = here.seed == seed
            for node, mass in zip(here.node[mine].tolist(), here.mass[mine].tolist(), strict=True):
                assert mass / pagerank.ONE == pytest.approx(expected[kind, node], abs=1e-9)
        total = sum(here.mass[here.seed == seed].sum().item() for here in found.values())
        assert total == pagerank.ONE


def test_pagerank_stays_within_its_bounds_at_a_hub(tmp_path, monkeypatch):
    # One device of 300 users: more edges than are walked, more nodes than are kept.
    monkeypatch.setattr(pagerank, "EDGES_WALKED", 20)
    monkeypatch.setattr(pagerank, "NODES_KEPT", 8)
    users = np.arange(300)
    nodes = {
        "user": NodeArrays(pl.Series([f"u{n:03}" for n in users]), users),
        "device": NodeArrays(pl.Series(["d"]), np.arange(1)),
    }
    edges = EdgeArrays(users, np.zeros(300, dtype=int), users * 10, np.ones(300, dtype=int))
    write_graph(tmp_path, nodes, [(USES, edges)], {}, 7)
    graph = HeteroGraph.open(tmp_path)

    sampler = TemporalSampler(graph, (2, 5), 10_000, strategy="pagerank")
    trees = sampler.sample(torch.arange(5), torch.full((5,), 5_000))

    assert trees.sizes("device") == [0, 5, 0]
    assert trees.sizes("user") == [5, 0, 25]
    assert (trees.layers[2].node["user"] != trees.layers[2].seed["user"]).all()


def test_pyg_lib_is_asked_for_windows_as_rows(world, monkeypatch):
    """What is handed to pyg-lib, by a stand-in that follows its documentation."""
    edges, graph = world

    def neighbor_sample(rowptr, col, seed, num_neighbors, csc=False):
        row, edge = [], []
        for place, node in enumerate(seed.tolist()):
            first, end = rowptr[node].item(), rowptr[node + 1].item()
            assert not len(col[first:end]) or int(col[first:end].max()) < len(rowptr) - 1
            taken = torch.randperm(end - first)[: num_neighbors[0]] + first
            row += [place] * len(taken)
            edge += taken.tolist()
        return torch.tensor(row, dtype=torch.int64), None, None, torch.tensor(edge, dtype=int)

    package, module = ModuleType("pyg_lib"), ModuleType("pyg_lib.sampler")
    module.neighbor_sample = neighbor_sample
    monkeypatch.setitem(sys.modules, "pyg_lib", package)
    monkeypatch.setitem(sys.modules, "pyg_lib.sampler", module)

    test_no_neighbour_is_from_outside_the_window_and_none_is_missing(world, "pyg-lib")
    test_a_batch_without_any_edge_is_legal(world, "pyg-lib")
    first, again = (sample(graph, "pyg-lib", (3, 2)) for _ in range(2))
    assert all(
        one.edge.tolist() == other.edge.tolist()
        for one, other in zip(first.layers[0].asked, again.layers[0].asked, strict=True)
    )


def test_pyg_lib_that_is_not_there_is_told(world, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyg_lib.sampler", None)
    monkeypatch.setitem(sys.modules, "pyg_lib", None)

    with pytest.raises(PygLibMissing, match="set `sampler: uniform`, which draws the same"):
        TemporalSampler(world[1], (3,), WINDOW, strategy="pyg-lib")


def test_bounds_are_those_of_a_sorted_search():
    draw = np.random.default_rng(8)
    ends = np.cumsum(draw.integers(0, 40, 200))
    values = np.concatenate([np.sort(draw.integers(0, 50, n)) for n in np.diff(ends, prepend=0)])
    low, high = np.concatenate([[0], ends[:-1]]), ends
    for wanted in (np.full(200, -1), np.full(200, 60), draw.integers(0, 50, 200)):
        expected = [
            first + np.searchsorted(values[first:end], one)
            for first, end, one in zip(low, high, wanted, strict=True)
        ]
        found = lower_bound(*(torch.from_numpy(one) for one in (values, low, high, wanted)))
        assert found.tolist() == expected


def test_draws_of_a_range_do_not_depend_on_the_others():
    size, marks = torch.tensor([3, 50, 0, 9, 50]), torch.tensor([1, 2, 3, 4, 2])
    count, offset = draw_uniform(size, 4, marks)
    summed = torch.arange(1, 2_000).cumsum(0)
    low = torch.tensor([0, 5, 9, 100, 5])
    weighted = draw_weighted(summed, (low, low + size), 4, marks)

    assert count.tolist() == [3, 4, 0, 4, 4] == weighted[0].tolist()
    assert offset[:3].tolist() == [0, 1, 2]
    assert offset[3:7].tolist() == offset[11:].tolist()
    assert weighted[1][3:7].tolist() == weighted[1][11:].tolist()
    assert all(len(set(one[3:7].tolist())) == 4 for one in (offset, weighted[1]))
    assert draw_uniform(size[3:4], 4, marks[3:4])[1].tolist() == offset[7:11].tolist()
    alone = draw_weighted(summed, (low[3:4], low[3:4] + 9), 4, marks[3:4])
    assert alone[1].tolist() == weighted[1][7:11].tolist()

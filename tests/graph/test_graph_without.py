"""A graph without some links, and trees without them, are those of a graph that never had them."""

import numpy as np
import polars as pl
import pytest
import torch

from graphguard.graph.arrays import EdgeArrays, NodeArrays
from graphguard.graph.build import write_graph
from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.links import links_of, trees_without
from graphguard.graph.sampling import TemporalSampler
from graphguard.graph.without import without_edges

USES = ("user", "uses", "device")
FOLLOWS = ("user", "follows", "user")


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    """30 users, 12 devices, 150 uses and 60 follows over times 0 to 99."""
    draw = np.random.default_rng(3)
    folder = tmp_path_factory.mktemp("graph")
    nodes = {
        "user": NodeArrays(pl.Series([f"u{n:02}" for n in range(30)]), np.arange(30)),
        "device": NodeArrays(pl.Series([f"d{n:02}" for n in range(12)]), np.arange(12)),
    }

    def edges(size, targets):
        source, target = draw.integers(0, 30, size), draw.integers(0, targets, size)
        return EdgeArrays(source, target, draw.integers(0, 100, size), np.ones(size, dtype=int))

    write_graph(folder, nodes, [(USES, edges(150, 12)), (FOLLOWS, edges(60, 30))], {}, 7)
    return HeteroGraph.open(folder)


def ends(graph, edge_type):
    out = graph.out(edge_type)
    source = np.repeat(np.arange(out.num_rows), np.diff(out.indptr))
    return list(zip(source.tolist(), out.neighbor.tolist(), out.time_us.tolist(), strict=True))


def test_all_days_of_the_named_pairs_go_and_nothing_else(graph):
    (source, target), *_ = sorted({(a, b) for a, b, _ in ends(graph, USES)})
    left = without_edges(graph, {USES: (np.array([source, 29]), np.array([target, -1]))})

    assert ends(left, USES) == [one for one in ends(graph, USES) if one[:2] != (source, target)]
    assert ends(left, FOLLOWS) == ends(graph, FOLLOWS)
    into = left.into(USES)
    row = np.repeat(np.arange(into.num_rows), np.diff(into.indptr))
    assert sorted(zip(into.neighbor.tolist(), row.tolist(), strict=True)) == sorted(
        (a, b) for a, b, _ in ends(left, USES)
    )
    assert len(ends(graph, USES)) > len(ends(left, USES))


def drawn(trees):
    """Layer by layer what stands there: kind, node, seed; and what was drawn: step, count."""
    found = []
    for layer in trees.layers:
        found.append({kind: layer.node[kind].tolist() for kind in layer.node})
        found.append({kind: layer.seed[kind].tolist() for kind in layer.node})
        found.append([(one.step, one.count.tolist(), one.degree.tolist()) for one in layer.asked])
    return found


def test_a_tree_without_a_link_is_the_tree_of_the_graph_without_it(graph):
    # Every neighbour is taken, so that both draw the same.
    seeds, anchor = torch.tensor([3, 8, 11]), torch.tensor([90, 70, 90])
    trees = TemporalSampler(graph, (99, 99), 50).sample(seeds, anchor)
    links = links_of(trees)
    number = torch.arange(len(links))
    made = trees_without(trees, links, number)

    assert len(made) == len(links) > 50
    assert links.first.sum() < len(links)
    for link in number.tolist():
        relation = links.relations[int(links.relation[link])]
        pair = (links.source[[link]].numpy(), links.target[[link]].numpy())
        left = without_edges(graph, {relation: pair})
        seed = links.seed[[link]]
        wanted = TemporalSampler(left, (99, 99), 50).sample(seeds[seed], anchor[seed])
        assert drawn(trees_without(trees, links, number[[link]])) == drawn(wanted)


def test_trees_without_edges_have_no_links():
    nobody = np.zeros(0, dtype=np.int64)
    side = np.zeros(3, dtype=np.int64)
    from graphguard.graph.hetero import Adjacency

    empty = Adjacency(side, nobody.astype(np.int32), nobody, nobody.astype(np.int32))
    graph = HeteroGraph({"user": 2, "device": 2}, {USES: (empty, empty)}, {})
    trees = TemporalSampler(graph, (4,), 50).sample(torch.tensor([0, 1]), torch.tensor([90, 90]))

    assert len(links_of(trees)) == 0

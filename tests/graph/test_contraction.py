import networkx as nx
import numpy as np
import polars as pl
import pytest

from graphguard.graph.components import linked_components
from graphguard.graph.contraction import component_labels
from graphguard.tables.engine import PolarsEngine


def labels(first, second) -> dict[int, int]:
    engine = PolarsEngine()
    links = pl.DataFrame(
        {"first": first, "second": second}, schema={"first": pl.Int64, "second": pl.Int64}
    )
    found = engine.collect(component_labels(engine, engine.table(links)))
    assert found.get_column("node").is_unique().all()
    return dict(found.iter_rows())


def least_of_component(num_nodes, first, second) -> dict[int, int]:
    """The oracle: components by scipy, named by their least node; nodes without links left out."""
    component = linked_components(num_nodes, first, second)
    least = np.full(num_nodes, num_nodes)
    np.minimum.at(least, component, np.arange(num_nodes))
    return {int(node): int(least[component[node]]) for node in np.unique([*first, *second])}


def test_no_links_have_no_components():
    assert labels([], []) == {}


def test_components_are_named_by_their_least_node():
    # 7-2-9   4-4   5-6
    assert labels([7, 9, 4, 6], [2, 2, 4, 5]) == {2: 2, 7: 2, 9: 2, 4: 4, 5: 5, 6: 5}


@pytest.mark.parametrize("seed", range(6))
def test_random_graphs_have_the_components_that_union_find_gives(seed):
    draw = np.random.default_rng(seed)
    nodes = 300
    # About one link a node: many components, some large.
    first, second = draw.integers(0, nodes, (2, 60 * (seed + 1)))

    assert labels(first, second) == least_of_component(nodes, first, second)


@pytest.mark.parametrize("order", ["ascending", "shuffled", "zigzag"])
def test_a_path_of_ten_thousand_nodes_is_one_component(order):
    names = np.arange(10_000)
    if order == "shuffled":
        names = np.random.default_rng(5).permutation(names)
    if order == "zigzag":
        names = np.stack([names[:5000], names[:4999:-1]], axis=1).ravel()

    found = labels(names[:-1], names[1:])

    assert found == dict.fromkeys(range(10_000), 0)


@pytest.mark.parametrize("centre", [0, 500, 1000])
def test_a_star_is_one_component_wherever_its_centre_stands(centre):
    leaves = np.array([node for node in range(1001) if node != centre])

    assert labels(np.full(1000, centre), leaves) == dict.fromkeys(range(1001), 0)


def test_stars_on_a_ring_of_cliques_are_found_as_networkx_finds_them():
    graph = nx.disjoint_union(nx.ring_of_cliques(20, 6), nx.balanced_tree(3, 5))
    first, second = np.array(graph.edges).T

    found = labels(second, first)

    expected = {node: min(group) for group in nx.connected_components(graph) for node in group}
    assert found == expected

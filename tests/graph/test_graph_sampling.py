"""Sampling: edges inside the window only, without repeats, the same in every batch."""

import numpy as np
import polars as pl
import pytest
import torch
from torch_geometric.data import HeteroData
from torch_geometric.loader import NodeLoader
from torch_geometric.sampler import NodeSamplerInput

from graphguard.graph.arrays import EdgeArrays, NodeArrays
from graphguard.graph.build import write_graph
from graphguard.graph.geometric import GeometricSampler
from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.neighbourhoods import reverse_type, walked
from graphguard.graph.sampling import TemporalSampler

USES = ("user", "uses", "device")
FOLLOWS = ("user", "follows", "user")
WINDOW = 20


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    """40 users, 15 devices, 600 uses and 200 follows over times 0 to 99."""
    draw = np.random.default_rng(3)
    folder = tmp_path_factory.mktemp("graph")
    nodes = {
        "user": NodeArrays(pl.Series([f"u{n:02}" for n in range(40)]), np.arange(40)),
        "device": NodeArrays(pl.Series([f"d{n:02}" for n in range(15)]), np.arange(15)),
    }

    def edges(size, targets):
        source, target = draw.integers(0, 40, size), draw.integers(0, targets, size)
        return EdgeArrays(source, target, draw.integers(0, 100, size), np.ones(size, dtype=int))

    write_graph(folder, nodes, [(USES, edges(600, 15)), (FOLLOWS, edges(200, 40))], {}, 7)
    return HeteroGraph.open(folder)


def sampler(graph, fanouts=(3, 2), seed=0):
    return GeometricSampler(TemporalSampler(graph, fanouts, WINDOW, seed=seed))


def sample(sampler, nodes, anchors):
    return sampler.sample_from_nodes(
        NodeSamplerInput(None, torch.tensor(nodes), torch.tensor(anchors))
    )


def stored(graph, message):
    return next(
        (graph.into(step.stored) if step.by_target else graph.out(step.stored))
        for step in walked(graph.edge_types)
        if step.message == message
    )


def trees(found):
    """Per seed: every sampled edge as (message type, node asked for, its asker)."""
    result = {}
    for message, row in found.row.items():
        for end, start in zip(row.tolist(), found.col[message].tolist(), strict=True):
            seed = found.batch[message[0]][end].item()
            edge = (
                message,
                found.node[message[0]][end].item(),
                found.node[message[2]][start].item(),
            )
            result.setdefault(seed, []).append(edge)
    return {seed: sorted(edges) for seed, edges in result.items()}


def test_every_edge_lies_in_the_window_of_its_own_seed(graph):
    nodes, anchors = list(range(40)) * 2, [30] * 40 + [95] * 40
    found = sample(sampler(graph), nodes, anchors)

    seen = 0
    for message, edge in found.edge.items():
        side = stored(graph, message)
        anchor = np.array(anchors)[found.batch[message[0]][found.row[message]].numpy()]
        time = side.time_us[edge.numpy()]
        assert ((time >= anchor - WINDOW) & (time < anchor)).all()
        neighbours = found.node[message[0]][found.row[message]].numpy()
        assert (side.neighbor[edge.numpy()] == neighbours).all()
        seen += len(time)
    assert seen > 1000


def test_an_edge_joins_its_asker_and_stays_in_one_tree(graph):
    found = sample(sampler(graph), list(range(40)), [60] * 40)

    for message, row in found.row.items():
        side, col = stored(graph, message), found.col[message]
        askers = found.node[message[2]][col].numpy()
        edge = found.edge[message].numpy()
        assert ((side.indptr[askers] <= edge) & (edge < side.indptr[askers + 1])).all()
        assert (found.batch[message[0]][row] == found.batch[message[2]][col]).all()


def test_a_seed_has_the_same_tree_alone_and_in_any_batch(graph):
    one = sampler(graph)
    together = trees(sample(one, list(range(40)), [70] * 40))
    turned = trees(sample(one, list(range(39, -1, -1)), [70] * 40))

    for node in range(40):
        alone = trees(sample(one, [node], [70])).get(0, [])
        assert alone == together.get(node, []) == turned.get(39 - node, [])


def test_a_small_neighbourhood_is_taken_whole_and_a_large_one_without_repeats(graph):
    found = sample(sampler(graph, fanouts=(4,)), list(range(40)), [60] * 40)
    message = reverse_type(USES)
    first, last = graph.out(USES).window(np.arange(40), np.full(40, 40), np.full(40, 60))

    seed = found.batch[message[0]][found.row[message]].numpy()
    assert np.bincount(seed, minlength=40).tolist() == np.minimum(last - first, 4).tolist()
    for node in range(40):
        drawn = found.edge[message].numpy()[seed == node]
        assert len(set(drawn.tolist())) == len(drawn)


def test_another_seed_draws_otherwise(graph):
    one, other = (trees(sample(sampler(graph, seed=n), [5], [95]))[0] for n in (1, 2))

    assert one != other


def test_it_plugs_into_the_loader_of_torch_geometric(graph):
    data = HeteroData()
    for kind, count in graph.num_nodes.items():
        data[kind].num_nodes = count
    for step in walked(graph.edge_types):
        data[step.message].edge_index = torch.zeros((2, 0), dtype=torch.int64)
    loader = NodeLoader(
        data,
        node_sampler=sampler(graph),
        input_nodes=("user", torch.arange(40)),
        input_time=torch.full((40,), 95),
        batch_size=16,
    )

    batches = list(loader)

    assert [int(batch["user"].batch_size) for batch in batches] == [16, 16, 8]
    assert batches[0]["user"].n_id[:16].tolist() == list(range(16))
    for batch in batches:
        for message, index in batch.edge_index_dict.items():
            assert index.shape[1] == 0 or int(index[0].max()) < batch[message[0]].num_nodes

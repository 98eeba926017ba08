"""Islands: pieces of the graph without its crowded nodes."""

import numpy as np
import polars as pl
import pytest

from graphguard.graph.arrays import EdgeArrays, NodeArrays
from graphguard.graph.build import write_graph
from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.islands import islands


@pytest.fixture
def wallets(tmp_path):
    """Users 0, 1, 2 pay the exchange 9 as do strangers 3 to 8; 0 and 1 also pay 10; 2 pays itself.

    Edges at time 5, but for a late one between 1 and 2 at time 50.
    """
    source = [0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2, 1]
    target = [9] * 9 + [10, 10, 2, 2]
    time = [5] * 12 + [50]
    names = pl.Series([f"w{number:02}" for number in range(11)])
    nodes = {"wallet": NodeArrays(names, np.arange(11))}
    ones = np.ones(len(source), dtype=np.int64)
    arrays = EdgeArrays(np.array(source), np.array(target), np.array(time), ones)
    write_graph(tmp_path, nodes, [(("wallet", "pays", "wallet"), arrays)], {}, 7)
    return HeteroGraph.open(tmp_path)


def known(*users):
    mark = np.zeros(11, dtype=np.bool_)
    mark[list(users)] = True
    return mark


def test_a_crowded_node_joins_nobody(wallets):
    found = islands(wallets, "wallet", known(0, 1, 2), (0, 20))

    # The exchange has nine neighbours: left out at 5, it joins all at 10.
    assert found.nodes[5].tolist() == [3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 3]
    assert found.users[5].tolist() == [2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert found.nodes[10].tolist() == [11] * 11
    assert found.users[10].tolist() == [3] * 11


def test_users_meet_over_nodes_of_few_users(wallets):
    found = islands(wallets, "wallet", known(0, 1, 2), (0, 20))

    # 0, 1 and 2 meet at the exchange, which has only three known users; 3 to 8 are not known.
    assert found.met[5].tolist() == [2, 2, 2] + [0] * 8
    many = islands(wallets, "wallet", known(*range(9)), (0, 20))
    # Now the exchange has nine known users: only 10 is left, where 0 meets 1.
    assert many.met[5].tolist() == [1, 1] + [0] * 9
    assert many.met[20].tolist() == [8] * 9 + [0, 0]


def test_edges_outside_the_window_join_nobody(wallets):
    early = islands(wallets, "wallet", known(0, 1, 2), (0, 20))
    late = islands(wallets, "wallet", known(0, 1, 2), (40, 60))

    assert early.nodes[5][2] == 1
    assert late.nodes[5].tolist() == [1, 2, 2] + [1] * 8

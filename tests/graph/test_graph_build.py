import numpy as np
import polars as pl
import pytest

from graphguard.errors import GraphInvalid, UnknownEntity
from graphguard.graph import arrays, caps
from graphguard.graph.arrays import EdgeArrays, NodeArrays
from graphguard.graph.build import by_row, write_graph
from graphguard.graph.hetero import HeteroGraph

USES = ("user", "uses", "device")
DAY = 86_400_000_000


def build(folder, edges, *, users="abc", devices="xy", hubs=None):
    """Edges are (user, device, time, count) with dense indices."""
    source, target, time, count = (np.array(part) for part in zip(*edges, strict=True))
    nodes = {
        "user": NodeArrays(pl.Series(list(users)), np.arange(len(users))[::-1].copy()),
        "device": NodeArrays(pl.Series(list(devices)), np.arange(len(devices))),
    }
    write_graph(folder, nodes, [(USES, EdgeArrays(source, target, time, count))], hubs or {}, 7)
    return HeteroGraph.open(folder)


def test_both_directions_hold_the_same_edges_sorted_by_time(tmp_path):
    # a-x@5  a-y@3  c-x@1  c-x@9
    graph = build(tmp_path, [(0, 0, 5, 2), (2, 0, 9, 1), (0, 1, 3, 1), (2, 0, 1, 4)])

    out, into = graph.out(USES), graph.into(USES)

    assert out.indptr.tolist() == [0, 2, 2, 4]
    assert out.neighbor.tolist() == [1, 0, 0, 0]
    assert out.time_us.tolist() == [3, 5, 1, 9]
    assert out.count.tolist() == [1, 2, 4, 1]
    assert into.indptr.tolist() == [0, 3, 4]
    assert into.neighbor.tolist() == [2, 0, 2, 0]
    assert graph.num_nodes == {"user": 3, "device": 2}


def test_a_window_of_a_row_is_closed_at_its_start_and_open_at_its_end(tmp_path):
    graph = build(tmp_path, [(0, 0, 5, 1), (0, 1, 7, 1), (0, 0, 9, 1), (1, 0, 7, 1)])
    rows = np.array([0, 0, 1, 2])

    first, last = graph.out(USES).window(rows, np.array([5, 6, 0, 0]), np.array([9, 99, 7, 9]))

    assert (last - first).tolist() == [2, 2, 0, 0]


def test_keys_storage_and_dense_indices_agree(tmp_path):
    graph = build(tmp_path, [(0, 0, 1, 1)])

    assert [graph.keys("user")[n] for n in range(3)] == ["a", "b", "c"]
    assert graph.index_of("user", "b") == 1
    assert graph.storage("user").tolist() == [2, 1, 0]
    assert graph.dense("user", np.array([0, 2, 5])).tolist() == [2, 0, -1]


def test_an_unknown_key_is_answered_with_the_nearest(tmp_path):
    graph = build(tmp_path, [(0, 0, 1, 1)], users=["anna", "bert", "carl"])

    with pytest.raises(UnknownEntity, match=r"no user 'ana' in this run\. Did you mean 'anna'\?"):
        graph.index_of("user", "ana")
    with pytest.raises(UnknownEntity, match="no node type 'usr'"):
        graph.index_of("usr", "anna")


def test_an_edge_outside_its_nodes_is_refused_with_place_and_size(tmp_path):
    with pytest.raises(
        GraphInvalid,
        match=r"edges/user__uses__device: target index 2 is not below "
        r"num_nodes\['device'\] = 2; rebuild with",
    ):
        build(tmp_path, [(0, 2, 1, 1)])


def test_a_torn_file_is_refused(tmp_path):
    build(tmp_path, [(0, 0, 1, 1)])
    (tmp_path / "edges" / "user__uses__device" / "csr_time.npy").write_bytes(b"\x93NUMPY torn")

    with pytest.raises(GraphInvalid, match="cannot be mapped"):
        HeteroGraph.open(tmp_path)


def test_a_hub_keeps_its_degree_and_a_sample_of_each_day_that_no_other_day_changes(tmp_path):
    # device x has 9 users on day 0 and 9 on day 1; the cap is 4 a day
    first_day = [(user, 0, user, 1) for user in range(9)]
    second_day = [(user, 0, DAY + user, 1) for user in range(9)]
    users = "abcdefghi"

    both = build(tmp_path / "both", first_day + second_day, users=users, hubs={"device": 4})
    one = build(tmp_path / "one", first_day, users=users, hubs={"device": 4})

    assert both.degree(USES, "target").tolist() == [18, 0]
    assert len(both.into(USES).neighbor) == 8
    day = both.into(USES).time_us < DAY
    assert both.into(USES).neighbor[day].tolist() == one.into(USES).neighbor.tolist()


def test_a_pair_that_meets_on_two_days_has_two_edges(tmp_path):
    graph = build(tmp_path, [(0, 0, 5, 2), (1, 0, 6, 1), (0, 0, DAY, 3), (0, 1, DAY + 1, 1)])

    assert graph.out(USES).neighbor.tolist() == [0, 0, 1, 0]
    assert graph.out(USES).count.tolist() == [2, 3, 1, 1]
    assert graph.into(USES).time_us.tolist() == [5, 6, DAY, DAY + 1]


def test_what_is_looked_at_together_changes_no_file(tmp_path, monkeypatch):
    rng = np.random.default_rng(5)
    columns = rng.integers(0, 3, 90), rng.integers(0, 2, 90), np.sort(rng.integers(0, 3 * DAY, 90))
    edges = list(zip(*columns, np.ones(90, dtype=np.int64), strict=True))
    build(tmp_path / "whole", edges, hubs={"device": 7, "user": 9})
    monkeypatch.setattr(arrays, "COUNTED", 5)
    monkeypatch.setattr(caps, "BLOCK", 4)

    parts = build(tmp_path / "parts", edges, hubs={"device": 7, "user": 9})

    assert 0 < len(parts.into(USES).neighbor) < 90
    assert parts.degree(USES, "target").tolist() == np.bincount(columns[1]).tolist()
    for path in (tmp_path / "whole").rglob("*.*"):
        other = tmp_path / "parts" / path.relative_to(tmp_path / "whole")
        assert other.read_bytes() == path.read_bytes(), path


def test_a_subgraph_keeps_edges_between_chosen_nodes_in_its_time(tmp_path):
    graph = build(tmp_path, [(0, 0, 5, 1), (2, 0, 6, 1), (2, 1, 7, 3), (1, 0, 5, 1)])

    part = graph.subgraph({"user": np.array([2, 0]), "device": np.array([0])}, since_us=6)
    drawn = part.to_networkx()

    assert part.num_nodes == {"user": 2, "device": 1}
    assert part.keys("user") == ["a", "c"]
    assert [(one, other) for one, other, _ in drawn.edges] == [("user:c", "device:x")]
    assert drawn.nodes["device:x"] == {"type": "device", "key": "x"}


def test_other_libraries_get_the_same_edges(tmp_path):
    graph = build(tmp_path, [(0, 0, 5, 2), (2, 1, 9, 1)])

    data = graph.to_pyg()
    dgl_graph = graph.to_dgl()

    assert data[USES].edge_index.tolist() == [[0, 2], [0, 1]]
    assert data[USES].time.tolist() == [5, 9]
    assert [part.tolist() for part in dgl_graph.edges(etype=USES)] == [[0, 2], [0, 1]]
    assert dgl_graph.edges[USES].data["count"].tolist() == [2, 1]


def test_few_edges_are_ordered_as_many_are():
    rows = np.random.default_rng(3).integers(0, 40, 500).astype(np.int32)
    order, indptr = by_row(rows, 50)

    few, ptr = by_row(rows, 50, few=True)

    assert few.tolist() == order.tolist()
    assert ptr.tolist() == indptr.tolist()


@pytest.mark.parametrize("most", [3, 2**31 - 1])
def test_times_and_counts_are_stored_as_they_were_whether_one_number_holds_both_or_not(
    tmp_path, most
):
    # In 63 bits such a count leaves room for 71 minutes.
    times = [1_700_000_000_000_000 + at for at in (0, 3_600_000_000, 70 * DAY)]

    graph = build(tmp_path, list(zip([1, 0, 1], [0, 1, 0], times, [1, most, 2], strict=True)))

    for side in (graph.out(USES), graph.into(USES)):
        assert sorted(side.time_us.tolist()) == times
        assert side.count[np.argsort(side.time_us)].tolist() == [1, most, 2]
    assert graph.out(USES).neighbor.tolist() == [1, 0, 0]
    assert graph.into(USES).neighbor.tolist() == [1, 1, 0]

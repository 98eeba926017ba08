import math

import numpy as np
import polars as pl
import pytest

from graphguard.config.sections import Config
from graphguard.features.neighbours import (
    NeighbourInputs,
    neighbour_catalogue,
    neighbour_table,
)
from graphguard.features.table import FeatureInputs, feature_table
from graphguard.graph.arrays import EdgeArrays, NodeArrays
from graphguard.graph.build import write_graph
from graphguard.graph.hetero import HeteroGraph

DAY = 86_400_000_000
ANCHOR = 20_000 * DAY
NEVER = 2**62


@pytest.fixture
def around(config, tmp_path):
    """Neighbour columns of users 1 to 4 (storage 10 less) from acts (user, object, us before)."""

    def make(acts, platform: Config, bad=(), anchors=ANCHOR) -> dict[str, list[float | None]]:
        log = next(iter(platform.logs))
        edge = platform.graph.edges[0]
        timeless = platform.logs[log].timeless
        user, item, before = (np.array(column) for column in zip(*acts, strict=True))
        time = np.zeros_like(before) if timeless else ANCHOR - before
        # Storage counts down, dense up: mixing them up cannot go unseen.
        names = pl.Series([f"user{number}" for number in range(1, 5)])
        users = NodeArrays(names, np.array([9, 8, 7, 6]))
        if edge.name[2] == "user":
            nodes, target = {"user": users}, item - 1
        else:
            objects = pl.Series([f"object{number}" for number in range(4)])
            nodes, target = {"user": users, edge.name[2]: NodeArrays(objects, np.arange(4))}, item
        ones = np.ones(user.size, dtype=np.int32)
        # The graph takes the times for its own.
        edges = EdgeArrays(user - 1, target, time.copy(), ones)
        write_graph(tmp_path, nodes, [(edge.name, edges)], {}, 7)
        stored = 10 - item if edge.name[2] == "user" else item
        events = pl.DataFrame({"time_us": time, edge.source: 10 - user, edge.target: stored}).lazy()
        each = np.broadcast_to(np.asarray(anchors, dtype=np.int64), (4,))
        rows = pl.DataFrame({"entity": [9, 8, 7, 6], "anchor_us": each})
        own = feature_table(FeatureInputs(rows, {log: events}), platform)
        spans = pl.DataFrame(
            [(10 - one, known, until) for one, known, until in bad],
            schema=dict.fromkeys(["entity", "known_at_us", "until_us"], pl.Int64),
            orient="row",
        )
        inputs = NeighbourInputs(HeteroGraph.open(tmp_path), own, spans, "user")
        table = neighbour_table(inputs, platform)
        assert table.columns == [column.name for column in neighbour_catalogue(platform)]
        assert set(table.dtypes) == {pl.Float32}
        return table.to_dict(as_series=False)

    return make


def test_neighbours_are_those_on_the_same_objects(config, around):
    # object 0: users 1, 2, 3      object 1: user 1, and user 2 on two days      user 4 alone
    acts = [(1, 0, 90), (2, 0, 80), (3, 0, 70), (1, 1, 60), (2, 1, 50), (2, 1, DAY), (4, 2, 30)]

    found = around(acts, config())

    events = found["likes:content.nbr_mean.likes.num_events"]
    # user 1: object 0 gives the mean of users 2 (3 events) and 3 (1), object 1 gives user 2
    on_0, on_1 = (math.log(4) + math.log(2)) / 2, math.log(4)
    wanted = (on_0 + on_1) / 2
    assert events[0] == pytest.approx(wanted, rel=1e-5)
    assert events[3] is None
    assert found["likes:content.nbr_other_touches"] == [4, 3, 2, 0]
    assert found["likes:content.nbr_fewest_others"] == [2, 1, 2, None]


def test_known_bad_neighbours_count_only_once_known_and_never_oneself(config, around):
    # all four share object 0; user 2 is known before the anchor, 3 from the anchor on, 4 cleared
    acts = [(user, 0, 10 * user) for user in (1, 2, 3, 4)]
    bad = [(2, ANCHOR - 9, NEVER), (3, ANCHOR, NEVER), (4, ANCHOR - 9, ANCHOR - 5)]

    found = around(acts, config(), bad)

    assert found["likes:content.nbr_bad_touches"] == [1, 0, 1, 1]
    assert found["likes:content.nbr_bad_share"] == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3])


def test_with_own_anchors_only_earlier_rows_are_neighbours(config, around):
    acts = [(1, 0, 4000), (2, 0, 3000), (3, 0, 2000), (4, 3, 1000)]
    anchors = ANCHOR - np.array([3999, 2999, 1999, 999])

    found = around(acts, config(training={"anchor": {"event": 1}}), anchors=anchors)

    assert found["likes:content.nbr_other_touches"] == [0, 1, 2, 0]
    assert found["likes:content.nbr_mean.likes.num_events"][0] is None
    assert found["likes:content.nbr_mean.likes.num_events"][2] == pytest.approx(math.log(2))


def follows(config) -> Config:
    edge = {
        "name": ["user", "follows", "user"],
        "log": "follows",
        "source": "user_id",
        "target": "target_id",
    }
    return config(
        logs={"follows": {"path": "x", "time": "ts"}}, graph={"window": "8d", "edges": [edge]}
    )


def test_users_met_directly_are_averaged_too(config, around):
    # 1 -> 3 (two others follow it)     2 -> 3     4 -> 3     3 -> 4
    acts = [(1, 3, 90), (2, 3, 80), (4, 3, 70), (3, 4, 60)]

    found = around(acts, follows(config))

    followed = found["follows:user.direct_mean.rev_follows:user.num_objects"]
    assert followed is not None
    received = found["rev_follows:user.direct_mean.rev_follows:user.num_objects"]
    # 3 is followed by 1, 2 (nobody follows them) and 4 (followed by 3)
    assert received[2] == pytest.approx(math.log(2) / 3, rel=1e-5)
    assert received[0] is None


def test_a_log_without_times_has_neighbours(config, around):
    platform = config(logs={"likes": {"path": "x", "time": "none"}})

    found = around([(1, 0, 0), (2, 0, 0), (3, 1, 0)], platform)

    assert found["likes:content.nbr_other_touches"] == [1, 1, 0, 0]
    assert found["likes:content.nbr_mean.likes.num_events"][0] == pytest.approx(math.log(2))

"""A snapshot without times: one row per entity, at the cutoff."""

from datetime import UTC, datetime

import polars as pl
import pytest
import yaml

from graphguard.config.load import load_config
from graphguard.config.training import EventAnchor
from graphguard.errors import BadSetting
from graphguard.features.islands import island_catalogue
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.nightly import Night, run_night
from graphguard.tables.events import read_features


@pytest.fixture
def snapshot(tmp_path):
    """Three ties among a, b, c; d is in the table of users and has no tie."""
    ties = pl.DataFrame({"user": ["a", "a", "b"], "friend": ["b", "c", "c"]})
    ties.write_parquet(tmp_path / "ties.parquet")
    users = pl.DataFrame({"user": ["a", "b", "c", "d"], "size": [1.0, 2.0, 3.0, 4.0]})
    users.write_parquet(tmp_path / "users.parquet")
    later = datetime(2100, 1, 1, tzinfo=UTC)
    labels = pl.DataFrame({"user_id": ["a"], "is_abusive": [1], "decided_at": [later]})
    labels.write_parquet(tmp_path / "labels.parquet")
    raw = {
        "workspace": str(tmp_path / "workspace"),
        "as_of": "2020-01-01",
        "logs": {"ties": {"path": "ties.parquet", "time": "none"}},
        "entities": {"user": {"path": "users.parquet", "key": "user", "numeric": ["size"]}},
        "graph": {
            "window": "36500d",
            "edges": [
                {
                    "name": ["user", "knows", "user"],
                    "log": "ties",
                    "source": "user",
                    "target": "friend",
                }
            ],
        },
        "labels": {"path": "labels.parquet"},
        "training": {"anchor": "static"},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return load_config(path)


def test_every_entity_has_one_row_whether_it_acted_or_not(snapshot):
    run = run_night(Night(snapshot, last="featurize"))

    rows = read_features(run, "user").sort("key")
    assert rows.get_column("key").to_list() == ["a", "b", "c", "d"]
    assert rows.get_column("user:size.attribute").to_list() == [1.0, 2.0, 3.0, 4.0]
    assert rows.get_column("knows:user.num_objects").to_list() == [2.0, 1.0, 0.0, 0.0]
    # b knows c only, whose size is 3: the mean of log(1 + 3). d is met by nobody.
    met = rows.get_column("knows:user.direct_mean.user:size.attribute").to_list()
    assert met[1] == pytest.approx(1.3862944, abs=1e-6)
    assert met[3] is None
    graph = HeteroGraph.open(run.stage("build_graph") / "graph")
    assert graph.keys("user")[:] == ["a", "b", "c", "d"]


def test_training_on_a_snapshot_is_refused_and_told_what_to_do(snapshot):
    with pytest.raises(BadSetting, match=r"training\.anchor: is 'static'.*--to featurize"):
        run_night(Night(snapshot))


def test_islands_are_columns_where_they_are_listed(snapshot):
    listed = snapshot.model_copy(update={"features": ("network", "islands")})

    run = run_night(Night(listed, last="featurize"))

    rows = read_features(run, "user").sort("key")
    # a, b and c know one another; d is alone. All four are in the table of users.
    assert rows.get_column("islands.users_within_5").to_list() == [3.0, 3.0, 3.0, 1.0]
    assert rows.get_column("islands.users_met_5").to_list() == [2.0, 2.0, 2.0, 0.0]


def test_islands_need_one_anchor(snapshot):
    training = snapshot.training.model_copy(update={"anchor": EventAnchor(event=1)})
    listed = snapshot.model_copy(update={"features": ("islands",), "training": training})

    with pytest.raises(BadSetting, match="theme 'islands' needs rows of one anchor"):
        island_catalogue(listed)

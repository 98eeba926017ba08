"""The theme of groups: columns made by links alone, as they stood at each anchor."""

from datetime import date

import numpy as np
import polars as pl
import pytest
import yaml

from graphguard.checks.anchors import check_anchors
from graphguard.config.load import load_config
from graphguard.config.training import EventAnchor
from graphguard.errors import BadSetting
from graphguard.features.groups import group_catalogue
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.context import Job, Silent
from graphguard.jobs.counterfactual import Recount
from graphguard.jobs.featurize import make_features
from graphguard.jobs.groups import groups_at, links_at
from graphguard.jobs.nightly import Night, run_night
from graphguard.jobs.train import graph_context, load_dataset
from graphguard.models.base import load_model
from graphguard.scores.removal import REMOVED, Removal
from graphguard.tables.events import read_features, scan_events
from graphguard.tables.files import read_parquet

AS_OF = date(2026, 1, 22)


def short_night(config):
    return run_night(Night(config, last="featurize"))


@pytest.fixture(scope="module")
def small(world, tmp_path_factory):
    """Likes alone, in a minute and an hour."""
    folder = tmp_path_factory.mktemp("groups")
    edge = {"name": ["user", "likes", "content"], "log": "likes", "source": "user_id"}
    raw = {
        "workspace": str(folder / "workspace"),
        "as_of": AS_OF.isoformat(),
        "logs": {"likes": {"path": f"{world}/logs/likes/dt={{date}}/*.parquet", "time": "ts"}},
        "graph": {"window": "14d", "edges": [{**edge, "target": "content_id"}]},
        "labels": {
            "path": f"{world}/labels/*.parquet",
            "key": "user_id",
            "value": "is_abusive",
            "known_at": "decided_at",
        },
        "features": ["activity", "groups"],
        "training": {
            "anchors": 3,
            "anchor_every": "14d",
            "horizon": "14d",
            "models": ["trees"],
            "min_positives": 2,
            "trees": {"rounds": 30, "bags": 1},
        },
        "rings": {
            "traces": [{"log": "likes", "object": "content_id"}],
            "windows": ["60s", "1h"],
        },
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return load_config(path)


@pytest.fixture(scope="module")
def run(small):
    return short_night(small)


def test_groups_hold_mostly_the_abusive_and_others_have_none(run, world):
    rows = read_features(run, "user")

    inside = rows.filter(pl.col("groups.size") > 0)
    abusive = pl.read_parquet(world / "truth" / "users.parquet").filter("abusive")
    # A fifth of this platform is abusive.
    assert inside.height > 30
    assert inside.get_column("key").is_in(abusive.get_column("user_id").implode()).mean() > 0.6
    assert inside.filter(pl.col("groups.ties") >= 2).height > 0.8 * inside.height
    assert inside.get_column("groups.density").is_between(0, 1).all()
    outside = rows.filter(pl.col("groups.size") == 0)
    assert outside.height + inside.height == rows.height
    assert outside.get_column("groups.tie_bits").sum() == 0
    assert outside.get_column("groups.density").null_count() == outside.height


def test_rows_of_a_past_anchor_saw_the_groups_of_their_day(small):
    proof = check_anchors(small, AS_OF, short_night)

    assert proof.comparison.rows > 500


def test_who_loses_the_acts_leaves_the_group(small, run):
    graph = HeteroGraph.open(run.stage("build_graph") / "graph")
    job = Job(small, AS_OF, run, None, Silent())
    links = links_at(job, graph, AS_OF)
    there = groups_at(job, graph, AS_OF, links).sort("ties", "entity", descending=True)
    user = there.item(0, "entity")
    likes = scan_events(run, "likes", 0, 2**62)
    touched = likes.select(
        entity="user_id", type=pl.lit("content"), object="content_id"
    ).drop_nulls()
    touched = touched.unique().collect().select(list(REMOVED))
    mine = touched.filter(pl.col("entity") == user)
    removal = Removal(small, mine, mine, touched, links)

    left = groups_at(job, graph, AS_OF, removal.links_left)
    table = make_features(job, graph, f"anchor={AS_OF}", AS_OF, removal)

    assert user not in left.get_column("entity")
    mates = there.join(left, on="entity", suffix="_left")
    assert mates.height > 2
    own = table.filter(pl.col("entity") == user)
    assert np.array(own.select("groups.size", "groups.ties")).tolist() == [[0.0, 0.0]]


def test_who_are_linked_by_company_alone_part_when_one_loses_an_act(small):
    channel = "once.likes.content_id"
    rows = [(1, 2, 1), (1, 3, 0), (2, 3, 1), (3, 4, 0), (2, 4, 0)]
    links = pl.DataFrame(
        {
            "user_a": [row[0] for row in rows],
            "user_b": [row[1] for row in rows],
            "channel": channel,
            "weight": [row[2] for row in rows],
            "a_first": 0,
            "log10_p": -9.0,
            "log10_q": -3.0,
        }
    )
    likes = [(1, 50), (2, 50), (2, 60), (3, 60), (4, 70)]
    touched = pl.DataFrame(
        [(user, "content", post) for user, post in likes], schema=REMOVED, orient="row"
    )
    mine = touched.filter(pl.col("entity") == 3)

    left = Removal(small, mine, mine, touched, links).links_left

    # What 3 had in common, and whom it only knew by others, are gone; the rest is as it was.
    assert left.select("user_a", "user_b", "weight", "log10_p").rows() == [
        (1, 2, 1, -9.0),
        (2, 4, 0, -9.0),
    ]


def test_a_night_reads_groups_and_leaving_out_nothing_changes_no_score(small):
    run = run_night(Night(small, last="score"))
    job = Job(small, AS_OF, run, None, Silent())
    graph = HeteroGraph.open(run.stage("build_graph") / "graph")
    told = read_parquet(run.file("embed", "predictions.parquet"))

    recount = Recount(job, graph_context(job, graph, load_dataset(job, graph)))
    after = recount.risk_without(pl.DataFrame(schema=REMOVED), told.get_column("key"))

    both = told.join(after, on="key", validate="1:1")
    assert both.height == told.height > 500
    assert np.abs(both["risk_score"] - both["after"]).max() < 1e-9
    assert recount.links is not None
    columns = [column.name for column in group_catalogue(small)]
    assert set(columns) < set(load_model(run.file("train", "model")).gains)


def test_rows_with_anchors_of_their_own_have_no_groups(small):
    training = small.training.model_copy(update={"anchor": EventAnchor(event=3)})
    own = small.model_copy(update={"training": training})

    with pytest.raises(BadSetting, match="theme 'groups' needs rows of one anchor"):
        group_catalogue(own)

"""A ring that acts over a day through the jobs, on a small platform of posts and likes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
import yaml

from graphguard.config.load import load_config
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.acts import authors, known_acts
from graphguard.jobs.audiences import audience_links
from graphguard.jobs.context import Job, Silent
from graphguard.jobs.find_rings import _pairs
from graphguard.jobs.nightly import Night, run_night
from graphguard.jobs.slow import slow_cores

START = datetime(2026, 1, 1, tzinfo=UTC)
COMMUNITIES, USERS, AUTHORS, POSTS = 20, 60, 15, 3
RING = [f"u{community * USERS + 7}" for community in range(12)]


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """Users like what their community posts; twelve of them also like what they are called to."""
    folder = tmp_path_factory.mktemp("slow")
    rng = np.random.default_rng(0)
    number = COMMUNITIES * AUTHORS * POSTS
    author = np.repeat(np.arange(COMMUNITIES * AUTHORS), POSTS)
    author = author // AUTHORS * USERS + author % AUTHORS
    born = rng.uniform(0, 8.5 * 86_400, number)
    likes = {
        (f"u{user}", int(thing))
        for user in range(COMMUNITIES * USERS)
        for thing in rng.choice(
            np.flatnonzero(author // USERS == user // USERS), rng.poisson(5) + 1, replace=False
        )
    }
    for thing in rng.choice(number, 15, replace=False):
        likes |= {(user, int(thing)) for user in RING if rng.random() < 0.7}
    rows = [(user, thing, born[thing] + rng.uniform(60, 72_000)) for user, thing in sorted(likes)]
    write(folder / "posts", [(f"u{author[one]}", one, born[one]) for one in range(number)])
    write(folder / "likes", rows)
    labels = {"user_id": ["u0"], "is_abusive": [1], "decided_at": [START]}
    pl.DataFrame(labels).write_parquet(folder / "labels.parquet")
    edge = {"source": "user", "target": "post"}
    raw = {
        "workspace": str(folder / "workspace"),
        "as_of": "2026-01-11",
        "logs": {name: {"path": f"{name}.parquet", "time": "at"} for name in ("posts", "likes")},
        "graph": {
            "window": "10d",
            "edges": [{"name": ["user", f, "post"], "log": f, **edge} for f in ("posts", "likes")],
        },
        "labels": {"path": "labels.parquet"},
        "training": {"anchor": "static"},
        "rings": {"traces": [{"log": "likes", "object": "post"}], "windows": ["60s", "1h", "24h"]},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    config = load_config(path)
    return Job(config, config.as_of, run_night(Night(config, last="link")), None, Silent())


def write(path, rows):
    at = [START + timedelta(seconds=float(second)) for _, _, second in rows]
    columns = {"user": [row[0] for row in rows], "post": [f"p{row[1]}" for row in rows], "at": at}
    pl.DataFrame(columns).write_parquet(path.with_suffix(".parquet"))


def test_the_author_is_who_acted_first_in_another_log(job):
    graph = HeteroGraph.open(job.run.stage("build_graph") / "graph")
    trace = job.config.rings.traces[0]
    _, _, objects = known_acts(job, graph, trace, job.as_of)

    found = authors(job, graph, trace, (objects, job.as_of))

    posts = job.workspace.ids("post").decode(pl.DataFrame({"o": objects}), "o", "key")
    keys = graph.keys("user")[:]
    written = pl.read_parquet(job.config.root / "posts.parquet")
    expected = posts.join(written, left_on="key", right_on="post", maintain_order="left")
    assert [keys[one] for one in found] == expected.get_column("user").to_list()


def test_days_before_the_window_tell_authors_too_if_asked(job):
    graph = HeteroGraph.open(job.run.stage("build_graph") / "graph")
    trace = job.config.rings.traces[0]
    later = job.as_of + timedelta(days=4)
    _, _, objects = known_acts(job, graph, trace, later)

    within = authors(job, graph, trace, (objects, later))
    ever = authors(job, graph, trace, (objects, later), since_us=0)

    assert 0 < (within < 0).sum() < len(objects)
    assert (ever >= 0).all()
    assert (ever == within)[within >= 0].all()


def test_authors_whom_the_graph_lacks_are_told_apart_too(job, monkeypatch):
    graph = HeteroGraph.open(job.run.stage("build_graph") / "graph")
    trace = job.config.rings.traces[0]
    _, _, objects = known_acts(job, graph, trace, job.as_of)
    plain = authors(job, graph, trace, (objects, job.as_of))
    lacking = np.unique(plain)[:2]
    dense = graph.dense

    def without(node_type, entity):
        found = dense(node_type, entity)
        return np.where(np.isin(found, lacking), -1, found)

    monkeypatch.setattr(graph, "dense", without)
    found = authors(job, graph, trace, (objects, job.as_of))

    numbers = [np.unique(found[plain == one]) for one in lacking]
    assert [len(one) for one in numbers] == [1, 1]
    assert numbers[0] != numbers[1]
    assert min(int(one[0]) for one in numbers) >= graph.num_nodes["user"]
    others = ~np.isin(plain, lacking)
    assert (found == plain)[others].all()


def test_a_ring_that_acts_over_a_day_is_a_core_and_nobody_else_is(job):
    graph = HeteroGraph.open(job.run.stage("build_graph") / "graph")
    pairs = _pairs(job, graph)
    (told,) = slow_cores(job, pairs, 1_200 * 1_199 / 2)
    found = told.links

    keys = graph.keys("user")[:]
    users = {keys[one] for name in ("user_a", "user_b") for one in found.get_column(name)}
    assert users <= set(RING)
    assert len(users) >= 10
    # Few of these pairs are discoveries among all pairs.
    assert found.height >= 1.5 * pairs.filter(pl.col("log10_q") <= -2).height
    assert set(found.get_column("channel")) == {"core.likes.post"}
    assert (found.get_column("log10_q") <= -2).all()


def test_what_its_objects_share_tells_the_ring_too_and_nobody_else(job):
    graph = HeteroGraph.open(job.run.stage("build_graph") / "graph")
    (told,) = audience_links(job, graph, 1_200 * 1_199 / 2)
    found = told.links

    keys = graph.keys("user")[:]
    users = {keys[one] for name in ("user_a", "user_b") for one in found.get_column(name)}
    assert users <= set(RING)
    assert len(users) >= 11
    assert found.height == len(users) * (len(users) - 1) / 2
    assert set(found.get_column("channel")) == {"audience.likes.post"}
    assert (found.get_column("log10_q") <= -2).all()
    assert (found.get_column("bits") > 0).all()
    assert set(found.get_column("window_us")) == {10 * 86_400_000_000}


def test_without_a_slow_window_audiences_tell_nothing(job):
    graph = HeteroGraph.open(job.run.stage("build_graph") / "graph")
    rings = job.config.rings
    fast = rings.model_copy(update={"windows": rings.windows[:2]})
    hasty = job.config.model_copy(update={"rings": fast})

    assert audience_links(replace(job, config=hasty), graph, 1e6) == []

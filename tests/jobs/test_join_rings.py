"""Users join a ring through the jobs: known to be bad, or beside it where strangers do not come."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
import yaml

from graphguard.config.load import load_config
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.context import Job, Silent
from graphguard.jobs.joining import join_rings
from graphguard.jobs.nightly import Night, run_night
from graphguard.jobs.ring_channels import ring_channels

START = datetime(2026, 1, 1, tzinfo=UTC)
RING = [f"ring{number}" for number in range(5)]
USERS, POSTS = 400, 600
NOBODY = np.zeros(0, dtype=np.int64)


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """Five users on three posts and one phone of their own; others like and log in by lot.

    All posts were made by somebody on the first day. On the third of the ring's own posts six came
    within the hours in which the ring did, as many on one of strangers.
    """
    folder = tmp_path_factory.mktemp("known")
    rng = np.random.default_rng(0)
    likes = [
        (f"u{user}", f"p{post}", float(rng.uniform(0, 8 * 86_400)))
        for user in range(USERS)
        for post in rng.choice(POSTS, 4, replace=False)
    ]
    likes += [(user, f"own{one}", 3_600.0 * one) for user in RING for one in range(2)]
    likes += [("liked", "own0", 600.0), ("late", "own0", 5 * 86_400.0), ("calm", "own1", 3_660.0)]
    evening = 6 * 86_400.0
    likes += [(user, "call", evening + 3_600 * n) for n, user in enumerate([*RING, "r5", "r6"])]
    likes += [(f"beside{n}", "call", evening + 1_800 * n) for n in range(1, 6)]
    likes += [(f"else{n}", "p0", evening + 1_800 * n) for n in range(5)]
    names = [*(f"p{post}" for post in range(POSTS)), "own0", "own1", "call"]
    posts = [("author", name, 1.0) for name in names]
    logins = [(f"u{user}", f"d{user}", 0.0) for user in range(USERS)]
    logins += [(user, "phone", 60.0) for user in [*RING, "used"]]
    logs = {"likes": ("post", likes), "logins": ("device", logins), "posts": ("post", posts)}
    for name, (column, rows) in logs.items():
        at = [START + timedelta(seconds=second) for _, _, second in rows]
        table = {"user": [row[0] for row in rows], column: [row[1] for row in rows], "at": at}
        pl.DataFrame(table).write_parquet(folder / f"{name}.parquet")
    labels = {"user_id": ["liked"], "is_abusive": [1], "decided_at": [START]}
    pl.DataFrame(labels).write_parquet(folder / "labels.parquet")
    edges = [("likes", "post"), ("logins", "device"), ("posts", "post")]
    raw = {
        "workspace": str(folder / "workspace"),
        "as_of": "2026-01-10",
        "logs": {name: {"path": f"{name}.parquet", "time": "at"} for name in logs},
        "graph": {
            "window": "9d",
            "edges": [
                {"name": ["user", log, kind], "log": log, "source": "user", "target": kind}
                for log, kind in edges
            ],
        },
        "labels": {"path": "labels.parquet"},
        "training": {"anchor": "static"},
        "rings": {
            "traces": [{"log": "likes", "object": "post"}],
            "shared": ["device"],
            "windows": ["60s", "24h"],
        },
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    config = load_config(path)
    run = run_night(Night(config, last="link"))
    job = Job(config, config.as_of, run, None, Silent())
    return job, HeteroGraph.open(run.stage("build_graph") / "graph")


def joined_by(night, groups, bad=NOBODY):
    job, graph = night
    return join_rings(job, graph, ring_channels(job, graph), groups, (bad, 1e6))


def places(graph, *users):
    return np.array([graph.index_of("user", user) for user in users], dtype=np.int64)


def test_bad_users_on_a_rings_own_posts_and_phones_join_it(night):
    job, graph = night
    bad = places(graph, "liked", "late", "used", "u1", "u2")

    (joined,), channels = joined_by(night, [np.sort(places(graph, *RING))], bad)

    keys = graph.keys("user")
    assert sorted(keys[int(one)] for one in joined) == sorted([*RING, "liked", "used"])
    told = pl.concat([one.links for one in channels])
    ends = told.select("user_a", "user_b").to_numpy()
    found = {
        (channel, frozenset(keys[int(end)] for end in pair))
        for channel, pair in zip(told.get_column("channel"), ends, strict=True)
    }
    assert found == {
        *(("known.likes.post", frozenset({"liked", one})) for one in RING),
        *(("known.shared.device", frozenset({"used", one})) for one in RING),
    }
    assert set(told.select("channel", "window_us").unique().rows()) == {
        ("known.likes.post", 86_400_000_000),
        ("known.shared.device", 0),
    }
    assert (told.get_column("bits") > 0).all()
    places_of = {one.channel: (one, one.sets[0]) for one in channels}
    names = {channel: one.names(first.objects) for channel, (one, first) in places_of.items()}
    assert names == {
        "known.likes.post": [("post", "own0")],
        "known.shared.device": [("device", "phone")],
    }


def test_users_who_came_beside_a_ring_join_it(night):
    job, graph = night
    ring = np.sort(places(graph, *RING, "r5", "r6"))

    (joined,), channels = joined_by(night, [ring])

    keys = graph.keys("user")
    added = [f"beside{n}" for n in range(1, 6)]
    assert sorted(keys[int(one)] for one in np.setdiff1d(joined, ring)) == added
    (told,) = channels
    assert told.channel == "beside.likes.post"
    assert told.names(told.sets[0].objects) == [("post", "call")]
    assert [one.terms["others"] for one in told.sets] == [5] * 5
    assert [one.terms["members"] for one in told.sets] == [7] * 5
    # Seven members and five who join: each of the five with all others.
    assert told.links.height == 5 * 7 + 5 * 4 // 2


def test_without_bad_users_or_rings_nothing_changes(night):
    job, graph = night
    ring = [np.sort(places(graph, *RING))]

    groups, told = joined_by(night, ring)
    assert [group.tolist() for group in groups] == [one.tolist() for one in ring]
    assert told == []
    assert joined_by(night, [], places(graph, "liked")) == ([], [])

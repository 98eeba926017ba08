"""A ring that shows itself in one window and hardly in the next, through the jobs."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
import yaml

from graphguard.config.load import load_config
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.context import Job, Silent
from graphguard.jobs.earlier import earlier_groups, earlier_links
from graphguard.jobs.nightly import Night, run_night
from graphguard.jobs.ring_channels import ring_channels
from graphguard.jobs.ring_nulls import ring_nulls
from graphguard.rings.evidence import EARLIER
from graphguard.rings.significance import all_pairs
from graphguard.tables.events import read_groups

START = datetime(2026, 1, 7, tzinfo=UTC)
DAY = 86_400.0
DAYS, USERS, POSTS = 29, 2_000, 4_000
RING = [f"u{number}" for number in range(0, 100, 10)]
LATE = [f"u{number}" for number in range(5, 55, 10)]


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """Everybody likes posts by lot; ten like eight posts of 15 to 22 January within a minute each.

    In the last week four, four and two of the ten like a post on one day, as others do. Five
    others like six posts together half a day before that week.
    """
    folder = tmp_path_factory.mktemp("earlier")
    rng = np.random.default_rng(3)
    born = rng.uniform(0, (DAYS - 2) * DAY, POSTS)
    maker = [f"m{number % 200}" for number in range(POSTS)]
    acts = {(f"u{rng.integers(USERS)}", int(rng.integers(POSTS))) for _ in range(12_000)}
    likes = [(user, post, born[post] + rng.uniform(60, 2 * DAY)) for user, post in sorted(acts)]
    second = np.flatnonzero((born > 8 * DAY) & (born < 13 * DAY))[:8]
    for post in second.tolist():
        likes += [(user, post, born[post] + DAY + rng.uniform(0, 40)) for user in RING]
    last = np.flatnonzero((born > 22.5 * DAY) & (born < 25 * DAY))[:3].tolist()
    for post, number in zip(last, (4, 4, 2), strict=True):
        likes += [(user, post, born[post] + rng.uniform(60, DAY)) for user in RING[:number]]
    before = np.flatnonzero((born > 20 * DAY) & (born < 21 * DAY))[:6]
    for post in before.tolist():
        likes += [(user, post, 21.5 * DAY + rng.uniform(0, 40)) for user in LATE]
    write(folder / "posts", [(maker[one], one, born[one]) for one in range(POSTS)])
    write(folder / "likes", likes)
    labels = {"user_id": ["u1"], "is_abusive": [1], "decided_at": [START]}
    pl.DataFrame(labels).write_parquet(folder / "labels.parquet")
    edge = {"source": "user", "target": "post"}
    raw = {
        "workspace": str(folder / "workspace"),
        "as_of": "2026-02-05",
        "logs": {name: {"path": f"{name}.parquet", "time": "at"} for name in ("posts", "likes")},
        "graph": {
            "window": "7d",
            "edges": [{"name": ["user", f, "post"], "log": f, **edge} for f in ("posts", "likes")],
        },
        "labels": {"path": "labels.parquet"},
        "features": ["activity"],
        "training": {"anchors": 3, "anchor_every": "7d", "horizon": "7d"},
        "rings": {"traces": [{"log": "likes", "object": "post"}], "windows": ["60s", "1h", "24h"]},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    config = load_config(path)
    run = run_night(Night(config, last="featurize"))
    graph = HeteroGraph.open(run.stage("build_graph") / "graph")
    return Job(config, config.as_of, run, None, Silent()), graph, [f"{one}" for one in last]


def write(path, rows):
    at = [START + timedelta(seconds=second) for _, _, second in rows]
    table = {"user": [row[0] for row in rows], "post": [f"{row[1]}" for row in rows], "at": at}
    pl.DataFrame(table).write_parquet(path.with_suffix(".parquet"))


def named(graph, users):
    keys = graph.keys("user")
    return sorted(keys[int(user)] for user in users)


def test_groups_of_windows_before_tonights_are_known(night):
    job, graph, _ = night

    found = sorted(named(graph, one) for one in earlier_groups(job, graph))
    assert found == sorted([sorted(RING), sorted(LATE)])
    weeks = {f"anchor={day}" for day in ("2026-01-15", "2026-01-22", "2026-01-29")}
    stored = job.run.partitions("featurize", "groups")
    assert set(stored) == weeks
    sizes = {name: read_groups(job.run, name).height for name in stored}
    assert sizes == {"anchor=2026-01-15": 0, "anchor=2026-01-22": 10, "anchor=2026-01-29": 5}


def asked(job, graph):
    return ring_channels(job, graph), earlier_groups(job, graph)


def test_what_they_come_to_together_again_is_told_with_their_pairs(night):
    job, graph, last = night

    (told,) = earlier_links(job, graph, asked(job, graph), all_pairs(USERS))

    assert told.channel == f"{EARLIER}likes.post"
    posts = {told.names(one.objects)[0]: named(graph, one.users) for one in told.sets}
    assert {("post", one) for one in last[:2]} <= set(posts)
    assert posts["post", last[0]] == sorted(RING[:4])
    ends = told.links.select("user_a", "user_b").to_numpy()
    pairs = {tuple(named(graph, pair)) for pair in ends}
    four = sorted(RING[:4])
    assert {(a, b) for a in four for b in four if a < b} <= pairs
    assert {user for pair in pairs for user in pair} <= {*RING, *LATE}


def test_without_earlier_windows_the_night_does_not_know_them(night):
    job, graph, _ = night
    rings = job.config.rings.model_copy(update={"earlier": False})
    blind = replace(job, config=job.config.model_copy(update={"rings": rings}))

    assert earlier_groups(blind, graph) == []
    assert earlier_links(blind, graph, asked(blind, graph), all_pairs(USERS)) == []
    assert list(ring_nulls(blind, graph, *asked(blind, graph))["channels"]) == ["likes.post"]


def test_dealt_nights_ask_for_them_too_and_they_meet_nobody(night):
    job, graph, _ = night

    nulls = ring_nulls(job, graph, *asked(job, graph))

    assert list(nulls["channels"]) == ["likes.post", f"{EARLIER}likes.post"]
    found = nulls["channels"][f"{EARLIER}likes.post"]
    assert (found["shards"], found["flagged"], found["alarms"]) == (2, 0, [])
    assert nulls["alarms"] == []


def test_a_window_that_tonights_begins_in_is_left_out(night):
    job, graph, _ = night
    # A day earlier the last window but one ends a day after tonight's begins.
    sooner = replace(job, as_of=date(2026, 2, 4))

    found = [named(graph, one) for one in earlier_groups(sooner, graph)]

    assert sorted(RING) in found
    assert sorted(LATE) not in found


def test_stored_groups_are_not_made_again_and_unasked_ones_not_at_all(night):
    job, _, _ = night
    again = run_night(Night(job.config, last="featurize"))
    rings = job.config.rings.model_copy(update={"earlier": False})
    unasked = job.config.model_copy(update={"rings": rings})

    assert again.partitions("featurize", "groups") == job.run.partitions("featurize", "groups")
    assert run_night(Night(unasked, last="featurize")).partitions("featurize", "groups") == {}

"""Traces of nearly equal texts through the jobs, on a small platform of captions and links."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
import yaml

from graphguard.config.load import load_config
from graphguard.errors import BadSetting
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.acts import trace_acts
from graphguard.jobs.context import Job, Silent
from graphguard.jobs.nightly import Night, run_night
from graphguard.jobs.texts import alike_links
from graphguard.tables.events import read_pairs

START = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = [a + b + c for a in "bdfglmnprst" for b in "aeiou" for c in "bdfglmnprst"]
RING = [f"r{number}" for number in range(6)]
SPAM = "earn {} euros a day from home and join our {} team now"


def post(user, day, second, caption, link):
    at = START + timedelta(days=int(day), seconds=float(second))
    return {"user": user, "caption": caption, "link": link, "app": "web", "at": at}


@pytest.fixture
def platform(tmp_path):
    """Writes users who chat and quote, a ring that posts together on four days, and the config."""
    rng = np.random.default_rng(0)

    def make(near="text", **trace):
        rows = []
        for number in range(1_500):
            user = f"u{rng.integers(0, 300)}"
            site = f"https://www.corner{number % 200}.example/{rng.integers(0, 3)}"
            caption = " ".join(rng.choice(WORDS, 8))
            rows.append(post(user, rng.integers(0, 10), rng.uniform(0, 86_400), caption, site))
        for number in range(320):
            quote = " ".join(rng.choice(WORDS, 8))
            # Twenty are said all the time, the others by a few users for a day and a half.
            often, span = (150, 10.0) if number < 20 else (6, 1.5)
            for second in 86_400 * (rng.uniform(0, 10 - span) + rng.uniform(0, span, often)):
                rows.append(post(f"u{rng.integers(0, 600)}", 0, second, quote, None))
        for day in (1, 3, 5, 8):
            for number, user in enumerate(RING):
                caption = SPAM.format(rng.integers(10, 999), rng.choice(["great", "nice", "best"]))
                link = f"https://deal.example/{rng.integers(0, 9)}?{number}"
                rows.append(post(user, day, 40_000 + rng.uniform(0, 30), caption, link))
        pl.DataFrame(rows).write_parquet(tmp_path / "posts.parquet")
        labels = {"user_id": ["u0"], "is_abusive": [1], "decided_at": [START]}
        pl.DataFrame(labels).write_parquet(tmp_path / "labels.parquet")
        edge = {"name": ["user", "uses", "app"], "log": "posts", "source": "user"}
        raw = {
            "workspace": str(tmp_path / "workspace"),
            "as_of": "2026-01-11",
            "logs": {"posts": {"path": "posts.parquet", "time": "at", "text": "caption"}},
            "graph": {"window": "10d", "edges": [edge | {"target": "app"}]},
            "labels": {"path": "labels.parquet"},
            "training": {"anchor": "static"},
            "rings": {
                "traces": [
                    {"log": "posts", "object": "link"},
                    {"log": "posts", "object": "caption", "near": near, **trace},
                ]
            },
        }
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(raw), encoding="utf-8")
        return load_config(path)

    return make


def linked_job(config):
    run = run_night(Night(config, last="link"))
    job = Job(config, config.as_of, run, None, Silent())
    return job, HeteroGraph.open(run.stage("build_graph") / "graph")


def names(table, keys):
    return {frozenset((keys[a], keys[b])) for a, b in table.select("user_a", "user_b").iter_rows()}


def all_pairs(users):
    return {frozenset((a, b)) for a in users for b in users if a < b}


def test_users_who_post_one_text_with_words_changed_at_once_are_linked(platform):
    job, graph = linked_job(platform())

    pairs = read_pairs(job.run, "anchor=2026-01-11").filter(pl.col("log10_q") <= -2)

    assert set(pairs.get_column("channel")) == {"posts.caption"}
    storage = dict(zip(graph.storage("user").tolist(), graph.keys("user")[:], strict=True))
    assert names(pairs, storage) == all_pairs(RING)
    # The four days are four objects, though the text is one.
    assert pairs.get_column("weight").to_list() == [4] * 15


def test_a_text_said_again_after_more_than_a_day_is_another_object(platform):
    job, graph = linked_job(platform())
    trace = job.config.rings.traces[1]

    acts, born_us = trace_acts(job, graph, trace, job.as_of)

    ring = np.isin(acts.user, [graph.keys("user")[:].index(user) for user in RING])
    assert len(np.unique(acts.object[ring])) == 4
    first = [acts.time_us[acts.object == thing].min() for thing in range(len(born_us))]
    assert born_us.tolist() == first


def test_who_writes_alike_about_one_site_is_one_set_though_every_link_differs(platform):
    job, graph = linked_job(platform())

    (links,) = alike_links(job, graph, 180_000.0)

    assert names(links, graph.keys("user")[:]) == all_pairs(RING)
    assert set(links.get_column("channel")) == {"alike.posts.link"}
    assert links.get_column("log10_q").max() <= -2
    assert set(links.get_column("weight")) == {1}


def test_a_near_text_is_no_entity_and_the_trace_must_name_the_logs_text(platform):
    columns = platform().entity_columns("posts")
    assert columns == {"user": "user", "app": "app", "link": "posts.link"}
    with pytest.raises(BadSetting, match="near: text needs the text of log 'posts'.*'link'"):
        platform(object="link")

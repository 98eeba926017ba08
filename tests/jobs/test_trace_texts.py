"""Traces of nearly equal texts through the jobs, on a small platform of captions and links."""

import json

import numpy as np
import polars as pl
import pytest

from graphguard.checks.evidence import check_evidence
from graphguard.checks.leakage import CheckFailed
from graphguard.checks.said import texts_differ
from graphguard.errors import BadSetting
from graphguard.graph.hetero import HeteroGraph
from graphguard.investigate.explain import held_by
from graphguard.jobs.acts import trace_acts
from graphguard.jobs.context import Job, Silent
from graphguard.jobs.nightly import Night, run_night
from graphguard.jobs.texts import LIKENESS, alike_links
from graphguard.report.held import held_together
from graphguard.ring_schema import RING_ACTS
from graphguard.rings.quotes import quotes
from graphguard.tables.events import read_pairs
from graphguard.tables.files import read_json, read_parquet, write_parquet

WORDS = [a + b + c for a in "bdfglmnprst" for b in "aeiou" for c in "bdfglmnprst"]
SPAM = "earn {} euros a day from home and join our {} team now"


@pytest.fixture
def platform(posts_config, crowd, together):
    """Users who chat and quote, a ring that posts one text with words changed."""
    rng = np.random.default_rng(0)

    def said():
        return " ".join(rng.choice(WORDS, 8))

    def chat(number):
        user = f"u{rng.integers(0, 300)}"
        site = f"https://www.corner{number % 200}.example/{rng.integers(0, 3)}"
        return user, rng.integers(0, 10), rng.uniform(0, 86_400), said(), site

    def spam(_, number):
        words = SPAM.format(rng.integers(10, 999), rng.choice(["great", "nice", "best"]))
        return words, f"https://deal.example/{rng.integers(0, 9)}?{number}"

    def make(near="text", **trace):
        posts = [chat(number) for number in range(1_500)]
        posts += [(*quote, None) for quote in crowd(rng, said)]
        posts += [(*post, *both) for *post, both in together(rng, spam)]
        traces = [{"log": "posts", "object": "link"},
                  {"log": "posts", "object": "caption", "near": near, **trace}]  # fmt: skip
        return posts_config(posts, ["caption", "link"], traces, text="caption")

    return make


def linked_job(config):
    run = run_night(Night(config, last="link"))
    job = Job(config, config.as_of, run, None, Silent())
    return job, HeteroGraph.open(run.stage("build_graph") / "graph")


def names(table, keys):
    return {frozenset((keys[a], keys[b])) for a, b in table.select("user_a", "user_b").iter_rows()}


def all_pairs(users):
    return {frozenset((a, b)) for a in users for b in users if a < b}


def test_users_who_post_one_text_with_words_changed_at_once_are_linked(platform, ring):
    job, graph = linked_job(platform())

    pairs = read_pairs(job.run, "anchor=2026-01-11").filter(pl.col("log10_q") <= -2)

    assert set(pairs.get_column("channel")) == {"posts.caption"}
    storage = dict(zip(graph.storage("user").tolist(), graph.keys("user")[:], strict=True))
    assert names(pairs, storage) == all_pairs(ring)
    # The four days are four objects, though the text is one.
    assert pairs.get_column("weight").to_list() == [4] * 15


def test_a_text_said_again_after_more_than_a_day_is_another_object(platform, ring):
    job, graph = linked_job(platform())
    trace = job.config.rings.traces[1]

    acts, born_us = trace_acts(job, graph, trace, job.as_of)

    mine = np.isin(acts.user, [graph.keys("user")[:].index(user) for user in ring])
    assert len(np.unique(acts.object[mine])) == 4
    first = [acts.time_us[acts.object == thing].min() for thing in range(len(born_us))]
    assert born_us.tolist() == first


def test_who_writes_alike_about_one_site_is_one_set_though_every_link_differs(platform, ring):
    job, graph = linked_job(platform())

    (told,) = alike_links(job, graph, 180_000.0)
    links = told.links

    assert names(links, graph.keys("user")[:]) == all_pairs(ring)
    assert set(links.get_column("channel")) == {"alike.posts.link"}
    assert links.get_column("log10_q").max() <= -2
    assert set(links.get_column("weight")) == {1}


def test_the_evidence_of_near_texts_is_shown_and_an_act_that_nobody_wrote_is_told(platform, ring):
    config = platform()

    run = run_night(Night(config, last="find_rings"))
    path = run.file("find_rings", "ring_acts.parquet")
    acts = read_parquet(path)

    assert sorted(set(acts.get_column("key"))) == ring
    near = acts.filter(pl.col("object_type") == "near.text")
    about = acts.filter(pl.col("object_type") == "site.posts.link")
    assert near.get_column("object").n_unique() == 4
    assert set(about.get_column("object")) == {"deal.example"}
    # Each post is an act on a text, and one on the site that it is about.
    assert sorted(near.get_column("time_us")) == sorted(about.get_column("time_us"))
    proof = check_evidence(config, run)
    assert proof.acts == acts.height == 48
    assert (proof.sets, proof.read) == (7, 3)
    assert proof.by_sets == 30
    late = acts.with_columns(pl.col("time_us") + (pl.int_range(pl.len()) == 0).cast(pl.Int64))
    path.unlink()
    write_parquet(path, late, RING_ACTS)
    with pytest.raises(CheckFailed, match="holds no event of r"):
        check_evidence(config, run)


def test_what_a_set_says_of_its_texts_is_held_against_those_in_the_log(platform, ring):
    config = platform()
    run = run_night(Night(config, last="find_rings"))
    path = run.file("find_rings", "ring_sets.parquet")
    sets = read_parquet(path)
    said = sets.filter(pl.col("test") == "alike")

    assert said.get_column("keys").to_list() == [ring] * len(LIKENESS)
    for name, new, told in (
        ("log_trees", 1.0, "log_trees is 1.0"),
        ("among", 5, "among is 5, 6 by the texts"),
        ("texts", [9] * 6, "texts is [9, 9, 9, 9, 9, 9], "),
        ("chances", {"anywhere": 0.1, "elsewhere": 0, "around": 0.2}, "chances.around is 0.2"),
        ("similarity", 0.95, "set 0 of alike.posts.link"),
    ):
        spoilt = said.with_columns(
            pl.Series("terms", [json.dumps(json.loads(one) | {name: new}) for one in said["terms"]])
        )
        assert any(told in one for one in texts_differ(config, run, spoilt)), name
    assert list(texts_differ(config, run, said)) == []
    stranger = said.with_columns(keys=pl.concat_list("keys", pl.lit("u7")))
    assert any("do not connect" in one for one in texts_differ(config, run, stranger))


def test_two_texts_of_a_set_are_quoted_from_the_log(platform, ring):
    config = platform()
    run = run_night(Night(config, last="find_rings"))
    sets, acts = (
        read_parquet(run.file("find_rings", f"{name}.parquet"))
        for name in ("ring_sets", "ring_acts")
    )

    found = quotes(run, read_json(run.folder / "config.json"), sets, acts)

    of_set = found.filter(pl.col("number") == 0)
    assert of_set.height == 2
    assert len(set(of_set.get_column("key"))) == 2
    assert set(of_set.get_column("key")) <= set(ring)
    assert all(one.startswith("earn ") for one in of_set.get_column("text"))
    (said, *_) = [one for one in held_by(sets, found, "r3") if one["test"] == "alike"]
    assert said["objects"] == ["deal.example"]
    assert said["texts"] == of_set.select("key", "text").to_dicts()
    assert held_by(sets, found, "u7") == []
    shown = held_together(sets, found)
    assert "6 wrote alike about deal.example" in shown
    assert "euros a day from home" in shown


def test_a_near_text_is_no_entity_and_the_trace_must_name_the_logs_text(platform):
    columns = platform().entity_columns("posts")
    assert columns == {"user": "user", "app": "app", "link": "posts.link"}
    with pytest.raises(BadSetting, match="near: text needs the text of log 'posts'.*'link'"):
        platform(object="link")

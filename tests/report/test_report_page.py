"""The page stands alone: no script, nothing loaded, foreign text escaped, empty nights drawn."""

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import polars as pl
import pytest

from graphguard.jobs import report as report_job
from graphguard.jobs.context import Job, Silent
from graphguard.report.markup import number
from graphguard.report.page import render
from graphguard.tables.files import read_json, write_json
from graphguard.tables.workspace import Workspace

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Tags(HTMLParser):
    """Collects tags and attributes, and checks that they are closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def contents(night):
    config, run = night
    return report_job.gather(Job(config, config.as_of, run, None, Silent()))


def parsed(page):
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    return tags


def test_it_is_whole_and_loads_nothing(contents):
    page = render(contents)
    tags = parsed(page)

    assert "script" not in tags.seen
    assert not {"img", "link", "iframe", "object"} & set(tags.seen)
    assert not [value for name, value in tags.attributes if name.startswith("on")]
    links = [value for name, value in tags.attributes if name in ("href", "src")]
    assert links
    assert all(link.startswith("#") for link in links)
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org)", page)


def test_every_link_of_the_page_leads_somewhere(contents):
    tags = parsed(render(contents))
    ids = {value for name, value in tags.attributes if name == "id"}

    assert {value[1:] for name, value in tags.attributes if name == "href"} <= ids


def test_it_says_what_went_in_and_how_good_the_model_is(contents):
    page = render(contents)

    for name in ("trees", "sage", "AUPRC", "precision at the review budget"):
        assert name in page
    for log in ("logins", "posts", "likes", "follows"):
        assert log in page
    for count in contents.intake.group_by("source").agg(pl.col("read").sum()).get_column("read"):
        assert f">{number(count)}<" in page
    assert page.count("<svg") >= 3 + min(contents.rings.height, 12)


def test_foreign_text_is_escaped(contents):
    bad = "<script>alert('x')</script>\u202e"
    first = contents.members.get_column("key")[0]
    members = contents.members.with_columns(
        pl.when(pl.col("key") == first).then(pl.lit(bad)).otherwise("key").alias("key")
    )
    spoiled = replace(contents, members=members, gates=[bad], warnings=[bad])

    page = render(spoiled)

    parsed(page)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\u202e" not in page


def test_a_ring_shows_what_its_sets_met_on_and_two_texts_that_lead_nowhere(contents):
    ring = contents.rings.sort("evidence_bits", descending=True).row(0, named=True)["ring_id"]
    bad = "<img src=x onerror=alert(1)> https://deal.example/win"
    shared = {"ring_id": ring, "number": 0, "window_us": 1, "users": 3, "keys": ["a", "b", "c"],
              "log10_q": -9.0, "terms": "{}"}  # fmt: skip
    alike = {"channel": "alike.posts.link", "test": "alike", "object_type": "site.posts.link",
             "objects": ["<deal>.example"]}  # fmt: skip
    again = {"channel": "again.likes.post", "test": "again", "object_type": "post",
             "objects": ["p1", "p2", "p3", "p4", "p5"]}  # fmt: skip
    known = {"channel": "known.likes.post", "test": "known", "object_type": "post",
             "objects": ["own"], "users": 1, "keys": ["d"]}  # fmt: skip
    rows = [shared | one for one in (alike, again, known)]
    sets = pl.DataFrame(rows, schema=contents.sets.schema)
    quotes = pl.DataFrame(
        [(ring, "alike.posts.link", 0, "<deal>.example", key, 1, bad) for key in ("a", "<b>")],
        schema=contents.quotes.schema,
        orient="row",
    )

    page = render(replace(contents, sets=sets, quotes=quotes))

    parsed(page)
    assert "3 wrote alike about &lt;deal&gt;.example" in page
    assert page.count("“&lt;img src=x onerror=alert(1)&gt; hxxps://deal.example/win”") == 2
    assert "3 met again on p1, p2, p3, 2 more" in page
    assert "1 known to be bad came to what is the ring's own, own (" in page
    assert "https://deal" not in page
    assert "<img" not in page


def test_what_happened_to_rings_is_said_in_plain_words(contents):
    happened = ["birth", "birth", "growth", "return", "dormant"]
    names = contents.rings.get_column("ring_id").to_list()[:1] + [f"r-{n}" for n in range(4)]
    told = {"ring_id": names, "change": happened}
    changes = pl.DataFrame(told, schema={name: contents.changes.schema[name] for name in told})

    page = render(replace(contents, changes=changes))

    assert "tonight: 2 new, 1 back, 1 grew, 1 asleep." in page
    assert f"{names[0]} <em>new</em>" in page


def test_a_night_without_rings_and_decisions_is_drawn(contents):
    empty = {
        name: getattr(contents, name).clear()
        for name in ("rings", "members", "evidence", "changes", "decisions", "sets", "quotes")
    }

    page = render(replace(contents, **empty))

    parsed(page)
    assert "0 decisions" in page


def test_a_red_gate_stands_on_top(contents):
    page = render(replace(contents, gates=["log 'likes' has 5 rows"]))

    assert "Gate red:" in page
    assert page.index("Gate red:") < page.index("<section")


def test_the_night_dealt_every_channel_anew_and_says_so(night, contents):
    config, run = night
    channels = {f"{trace.log}.{trace.object}" for trace in config.rings.traces}
    channels |= {f"shared.{one}" for one in config.rings.shared}
    # There were groups in the windows before, and they are asked for too.
    channels |= {f"earlier.{one}" for one in channels}

    assert contents.nulls == read_json(run.file("find_rings", "nulls.json"))
    assert set(contents.nulls["channels"]) == channels
    assert {found["shards"] for found in contents.nulls["channels"].values()} == {2}
    nights = 2 * len(contents.nulls["channels"])
    assert f"In {nights} nights dealt from tonight's acts" in render(contents)


def test_an_alarm_of_the_dealt_nights_is_a_warning_of_the_report(night, tmp_path):
    config, run = night
    shutil.copytree(run.workspace.root, tmp_path / "workspace")
    run = Workspace(tmp_path / "workspace").run(run.run_id)
    path = run.file("find_rings", "nulls.json")
    alarm = "likes.content_id: 2 of 2 dealt nights have discoveries, all of them false"
    nulls = read_json(path) | {"alarms": [alarm]}
    path.unlink()
    write_json(path, nulls)

    contents = report_job.gather(Job(config, config.as_of, run, None, Silent()))

    told = f"rings are not to be relied on, {alarm}"
    assert told in contents.warnings
    assert told in render(contents)


def test_equal_contents_give_equal_bytes(contents):
    assert render(contents) == render(contents)


def test_a_ring_names_all_its_channels(contents):
    every = ",".join(f"{test}.likes.content_id" for test in ("audience", "again", "once", "beside"))
    rings = contents.rings.with_columns(pl.lit(every).alias("channels"))

    page = render(replace(contents, rings=rings))

    assert f"by {every.replace(',', ', ')} · since" in page

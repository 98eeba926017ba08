"""Keys that look alike, are strange or collide: no two users are merged, and no choice wavers."""

import sys
import unicodedata
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from hostile_platform import FIRST, Platform, ingested, us
from hypothesis import given, settings
from hypothesis import strategies as st

from graphguard.graph.hetero import HeteroGraph

NEXT = FIRST + timedelta(days=1)
EDGE = ("user", "likes", "content")

LOOK_ALIKES = [
    *[unicodedata.normalize(form, "\u00e9lan") for form in ("NFC", "NFD")],
    *[unicodedata.normalize(form, "\ufb01x\u2460") for form in ("NFC", "NFKC")],
    "ann", "Ann", "ANN", "\uff41nn", "\u0430nn",  # the last two: full width, Cyrillic
    "a\u200bnn", "a\u200dnn", "ann\ufeff", "\u2060ann",  # zero width
    "\u202eann", "ann\u200f", "\u05d0nn",  # right to left
    "ann ", " ann", "ann\t", "ann\n", "an\nn", "ann\r\n", "ann\0", "\0ann", "ann\0\0", "\0",
    "stra\u00dfe", "strasse", "STRASSE", "\u0130", "i\u0307", "I", "\u0131", "i",
    "\U0001f600", "\U0001f600\ufe0f", "\U0001f468\u200d\U0001f469", "\U0001f468\U0001f469",
    "1", "01", "1.0", "+1", "1e0", "\u0661", "-0", "0", "null", "None", "NaN", "nan", "true",
    "x" * 10_000, "x" * 9_999 + "y", "\u00e9" * 5_000, "a,b", "a|b", 'a"b', "a'b", "a\\b", "%00",
    "../..",
]  # fmt: skip


def deliver(platform, users, day=FIRST, contents=None):
    contents = ["c"] * len(users) if contents is None else contents
    moments = [us(day, number) for number in range(len(users))]
    time = pa.array(moments, pa.timestamp("us", tz="UTC"))
    table = pa.table({"user_id": users, "content_id": contents, "ts": time})
    return platform.put(platform.part(day), table)


def graph_of(run):
    return HeteroGraph.open(run.stage("build_graph") / "graph")


def edges_of(graph):
    """Edges as pairs of keys."""
    side = graph.out(EDGE)
    users, contents = list(graph.keys("user")), list(graph.keys("content"))
    rows = np.repeat(np.arange(side.num_rows), np.diff(side.indptr))
    return sorted(
        (users[row], contents[other], int(time))
        for row, other, time in zip(rows, side.neighbor, side.time_us, strict=True)
    )


def merges(run, users):
    """How many of the distinct `users` share a node with another."""
    return len(set(users)) - graph_of(run).num_nodes["user"]


def test_users_whose_keys_look_alike_stay_apart(platform):
    assert len(set(LOOK_ALIKES)) == len(LOOK_ALIKES)
    deliver(platform, LOOK_ALIKES, contents=[f"c{n}" for n in range(len(LOOK_ALIKES))])

    run = platform.night("build_graph")

    assert merges(run, LOOK_ALIKES) == 0
    expected = sorted((name, f"c{n}", us(FIRST, n)) for n, name in enumerate(LOOK_ALIKES))
    assert edges_of(graph_of(run)) == expected
    assert ingested(run, "rejects").height == 0


def test_keys_come_back_the_next_night_as_the_same_users(platform):
    deliver(platform, LOOK_ALIKES)
    platform.night("build_graph")
    deliver(platform, LOOK_ALIKES[::-1], NEXT)

    run = platform.night("build_graph", as_of=NEXT + timedelta(days=1))

    assert merges(run, LOOK_ALIKES) == 0
    assert graph_of(run).out(EDGE).indptr[-1] == 2 * len(LOOK_ALIKES)


@settings(max_examples=15)
@given(
    users=st.lists(
        st.text(
            st.characters(exclude_categories=["Cs"]) | st.sampled_from("a\u0301\u200b\0\n"),
            min_size=1,
            max_size=6,
        ),
        min_size=1,
        max_size=40,
    )
)
def test_any_text_is_a_key_of_its_own(users, tmp_path_factory):
    platform = Platform(tmp_path_factory.mktemp("platform"))
    deliver(platform, users)

    run = platform.night("build_graph")

    assert merges(run, users) == 0
    assert set(graph_of(run).keys("user")) == set(users)


def test_integers_are_the_users_that_their_digits_name_and_no_others(platform):
    # The same platform writes its ids as integers in one log and as text in another.
    big = [2**63 - 1, 2**63 - 2, 2**53, 2**53 + 1, 1, -1, 0]
    deliver(platform, pa.array(big, pa.int64()))
    text = [str(one) for one in big] + ["01", "1.0", "9007199254740992.0", "-0"]
    deliver(platform, text, NEXT)

    run = platform.night("build_graph", as_of=NEXT + timedelta(days=1))

    assert merges(run, text) == 0
    assert sorted(graph_of(run).keys("user")) == sorted(text)


def test_unsigned_integers_beyond_the_signed_range_keep_their_digits(platform):
    deliver(platform, pa.array([2**64 - 1, 2**63], pa.uint64()))

    run = platform.night("build_graph")

    assert list(graph_of(run).keys("user")) == ["18446744073709551615", "9223372036854775808"]


def test_floats_are_no_keys_because_they_merge_large_integers(platform):
    deliver(platform, pa.array([float(2**53), float(2**53 + 1)]))

    ended = platform.command()

    assert ended.code == 65
    assert "column 'user_id' has type double, but string or integer is needed" in ended.stderr


def collide(monkeypatch):
    """Give every key the same 64-bit hash, wherever one is taken."""
    for name, module in list(sys.modules.items()):
        if name.startswith("graphguard.") and hasattr(module, "key_hash"):
            monkeypatch.setattr(module, "key_hash", lambda keys: np.zeros(len(keys), np.uint64))


def hub_night(platform, first, second):
    """Nights in which 60 users share an object, some arriving before the others."""
    platform.raw["graph"]["hubs"] = {"content": 10}
    deliver(platform, first)
    platform.night("build_graph")
    deliver(platform, second, NEXT)
    return platform.night("build_graph", as_of=NEXT + timedelta(days=1))


@pytest.mark.parametrize("colliding", [False, True], ids=["apart", "all hashes equal"])
def test_a_hubs_sample_follows_keys_and_not_arrival_though_all_hashes_collide(
    tmp_path, monkeypatch, colliding
):
    users = [f"u{n:02d}" for n in range(60)]
    if colliding:
        collide(monkeypatch)
    found = []
    # The second platform meets the users in another order, so their storage indices differ.
    for name, early in (("a", users[:20]), ("b", users[30:50])):
        platform = Platform(tmp_path / name)
        run = hub_night(platform, early, users[::-1])
        graph = graph_of(run)
        day = [edge for edge in edges_of(graph) if edge[2] >= us(NEXT)]
        found.append([edge[0] for edge in day])
        assert merges(run, users) == 0
        assert graph.degree(EDGE, "target").tolist() == [len(early) + 60]

    assert len(found[0]) == 10
    assert found[0] == found[1]
    if colliding:
        assert found[0] == users[:10]


def test_colliding_hashes_merge_nobody(platform, monkeypatch):
    collide(monkeypatch)
    deliver(platform, LOOK_ALIKES)

    run = platform.night("link")

    assert merges(run, LOOK_ALIKES) == 0
    ids = run.workspace.ids("user").frame
    assert ids.get_column("key").n_unique() == ids.get_column("index").n_unique() == ids.height
    assert ids.height == len(LOOK_ALIKES)

"""Expansion ranks by weight that arrives, says the path, and is cut where hubs are."""

from itertools import count

import numpy as np
import polars as pl
import pytest

from graphguard.errors import UnknownEntity
from graphguard.graph.arrays import EdgeArrays, NodeArrays
from graphguard.graph.build import write_graph
from graphguard.graph.hetero import HeteroGraph
from graphguard.investigate import expand as module
from graphguard.investigate.expand import ExpansionInputs, Question, expand
from graphguard.ring_schema import RING_MEMBERS, RINGS
from graphguard.schema import DECISIONS, SCORES

USES = ("user", "uses", "device")


@pytest.fixture
def make(tmp_path):
    """Inputs from a drawing: {user: [devices]}; every use at time 5."""

    numbers = count()

    def inputs(drawing, *, members=None, embeddings=None, bad=()):
        folder = tmp_path / f"graph{next(numbers)}"
        users = sorted(drawing)
        devices = sorted({device for held in drawing.values() for device in held})
        pairs = [(users.index(u), devices.index(d)) for u, held in drawing.items() for d in held]
        source, target = (np.array(part) for part in zip(*pairs, strict=True))
        ones = np.ones(len(pairs), dtype=np.int64)
        nodes = {
            "user": NodeArrays(pl.Series(users), np.arange(len(users))),
            "device": NodeArrays(pl.Series(devices), np.arange(len(devices))),
        }
        edges = EdgeArrays(source, target, 5 * ones, ones)
        write_graph(folder, nodes, [(USES, edges)], {}, 7)
        ring_members = RING_MEMBERS.empty()
        if members:
            given = {"ring_id": "r1", "role": "core", "degree": 1, "evidence_bits": 50.0}
            rows = [{**given, "key": key, "entity": 0} for key in members]
            wanted = [name for name in RING_MEMBERS.columns if name not in rows[0]]
            rows = [{**row, **dict.fromkeys(wanted)} for row in rows]
            ring_members = pl.DataFrame(rows, schema=ring_members.schema)
        return ExpansionInputs(
            graph=HeteroGraph.open(folder),
            target="user",
            scores=SCORES.empty(),
            rings=RINGS.empty(),
            members=ring_members,
            decisions=DECISIONS.empty(),
            bad=frozenset(users.index(name) for name in bad),
            embeddings=embeddings,
        )

    return inputs


def ask(*seeds, hops=2, limit=10, relations=None, since=0, until=10):
    return Question(tuple(seeds), hops, limit, relations, since, until)


def test_a_rare_object_brings_its_user_in_before_a_crowded_one(make):
    # a-x-b; a-y with c d e f g: b shares a device of two, the others one of six
    drawing = {"a": ["x", "y"], "b": ["x"], **{name: ["y"] for name in "cdefg"}}

    found = expand(make(drawing), ask(0))

    assert found.users[0].user == "b"
    assert found.users[0].path == ["user:a", "device:x", "user:b"]
    assert found.users[0].evidence == ["uses device x as a does"]
    assert [one.user for one in found.users[1:]] == list("cdefg")
    assert found.nodes() == {"device": ["x", "y"], "user": list("abcdefg")}


def test_hops_bound_how_far_it_goes_and_paths_tell_the_way(make):
    # a-x-b-y-c
    drawing = {"a": ["x"], "b": ["x", "y"], "c": ["y"]}

    near, far = (expand(make(drawing), ask(0, hops=hops)) for hops in (1, 2))

    assert [one.user for one in near.users] == ["b"]
    assert [(one.user, one.hops) for one in far.users] == [("b", 1), ("c", 2)]
    assert far.users[1].path == ["user:a", "device:x", "user:b", "device:y", "user:c"]


def test_edges_outside_the_time_range_are_not_walked(make):
    drawing = {"a": ["x"], "b": ["x"]}

    assert expand(make(drawing), ask(0, since=0, until=6)).users
    assert not expand(make(drawing), ask(0, since=6, until=10)).users
    assert not expand(make(drawing), ask(0, since=0, until=5)).users


def test_ring_members_and_alike_users_come_in_and_say_so(make):
    vectors = np.array([[1, 0], [0, 1], [1, 0.1]], dtype=np.float32)
    drawing = {"a": ["x"], "b": ["y"], "c": ["z"]}

    found = expand(make(drawing, members=["a", "b"], embeddings=vectors, bad=["b"]), ask(0))

    told = {one.user: one for one in found.users}
    assert told["b"].evidence == ["in the same ring"]
    assert told["b"].enforced
    assert told["c"].evidence == ["behaves alike (cosine 1.00)"]


def test_a_hub_is_followed_only_so_far_and_that_is_told(make, monkeypatch):
    monkeypatch.setattr(module, "MOST_USERS", 3)
    drawing = {name: ["x"] for name in "abcdefgh"}

    found = expand(make(drawing), ask(0, hops=1))

    assert found.truncated
    assert found.cut_edges == 5
    assert len(found.users) <= 3


def test_order_of_seeds_and_names_changes_nothing_else(make):
    drawing = {"a": ["x"], "b": ["x", "y"], "c": ["y", "z"], "d": ["z"]}

    one, other = (expand(make(drawing), ask(*seeds)) for seeds in ((0, 3), (3, 0)))

    assert [found.user for found in one] == [found.user for found in other] == ["b", "c"]
    assert one.users[0].weight == pytest.approx(one.users[1].weight)


def test_an_unknown_relation_is_refused_with_the_known_ones(make):
    with pytest.raises(UnknownEntity, match="no relation 'use' in this run. Did you mean 'uses'"):
        expand(make({"a": ["x"], "b": ["x"]}), ask(0, relations=("use",)))

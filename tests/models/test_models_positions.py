"""Places on axes: alike users stand together, nobody is placed by what came after, files come back.

The planted platform: users of 40 tastes, each meeting eight objects of its taste; ten tastes are
bad. No two labelled neighbours need share an object, and own columns are noise.
"""

import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_array

from graphguard.errors import ArtefactInvalid, BadSetting
from graphguard.evaluate.metrics import auroc
from graphguard.graph.arrays import EdgeArrays, NodeArrays
from graphguard.graph.build import write_graph
from graphguard.graph.hetero import HeteroGraph
from graphguard.models.base import GraphContext, Rows, load_model
from graphguard.models.positions import FOLDER, Axes, Positions, position_phrases
from graphguard.models.trees import TreesModel, TreesSettings

USERS, TASTES, OBJECTS, TOUCHES, WINDOW = 1200, 40, 30, 8, 50
LIKES, KNOWS = ("user", "likes", "thing"), ("user", "knows", "user")


def build(folder, likes, knows=None, day=20):
    count = 1 + max(USERS - 1, int(likes[0].max(initial=0)))
    things = TASTES * OBJECTS
    nodes = {
        "user": NodeArrays(pl.Series([f"u{n:05}" for n in range(count)]), np.arange(count)),
        "thing": NodeArrays(pl.Series([f"t{n:05}" for n in range(things)]), np.arange(things)),
    }
    edges = []
    for name, pairs in ((LIKES, likes), (KNOWS, knows)):
        if pairs is not None:
            ones = np.ones(len(pairs[0]), dtype=np.int64)
            days = np.broadcast_to(np.asarray(day, dtype=np.int64), ones.shape)
            edges.append((name, EdgeArrays(*pairs, days.copy(), ones)))
    write_graph(folder, nodes, edges, {}, 7)
    return HeteroGraph.open(folder)


def taste_edges(rng, taste, first=0):
    users = np.repeat(np.arange(first, first + len(taste)), TOUCHES)
    own = np.repeat(taste, TOUCHES) * OBJECTS + rng.integers(0, OBJECTS, len(users))
    # A quarter of all is liked by chance.
    chance = rng.integers(0, TASTES * OBJECTS, len(users))
    things = np.where(rng.random(len(users)) < 0.25, chance, own)
    pairs = np.unique(np.stack([users, things]), axis=1)
    return pairs[0], pairs[1]


def rows_of(count, label=None, anchor=WINDOW, seed=3):
    x = np.random.default_rng(seed).normal(size=(count, 2)).astype(np.float32)
    return Rows(np.arange(count), np.full(count, anchor), x, ("noise", "more"), label)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    rng = np.random.default_rng(5)
    taste = rng.integers(0, TASTES, USERS)
    label = (rng.random(USERS) < np.where(taste < 10, 0.8, 0.05)).astype(np.int8)
    likes = taste_edges(rng, taste)
    folder = tmp_path_factory.mktemp("graph")
    graph = build(folder, likes)
    rows = rows_of(USERS, label)
    return GraphContext(graph, "user", WINDOW, rows, static=True), rows, taste, likes


def places(made):
    columns = [name for name in made.names if ".position_" in name]
    return made.select(tuple(columns)).x


def test_the_places_are_those_of_a_dense_svd():
    rng = np.random.default_rng(0)
    met = (rng.random((60, 25)) < 0.2).astype(np.float32)
    met[:, 0] = 1.0
    axes = Axes.of(pl.Series([f"k{n}" for n in range(25)]), csr_array(met), 4, 7)

    weight = np.log(60 / np.maximum(met.sum(axis=0), 1))
    dense = met / np.sqrt(met.sum(axis=1, keepdims=True)) * weight
    left, size, _ = np.linalg.svd(dense, full_matrices=False)

    found = axes.places(pl.Series([f"k{n}" for n in range(25)]), csr_array(met))
    np.testing.assert_allclose(np.abs(found), np.abs(left[:, :4] * size[:4]), atol=2e-2)
    # What everybody met tells nobody apart.
    assert axes.weight[0] == 0


def test_users_of_one_taste_stand_together(planted):
    context, rows, taste, _ = planted

    found = places(Positions.fit(rows, context, 32, 7).apply(rows, context))

    found = found / np.linalg.norm(found, axis=1, keepdims=True)
    near = found @ found.T
    np.fill_diagonal(near, -1)
    assert (taste[near.argmax(axis=1)] == taste).mean() > 0.9


def test_trees_learn_from_places_what_columns_do_not_say(planted):
    context, rows, _, _ = planted
    part = np.random.default_rng(1).permutation(USERS)
    train, valid, test = (np.sort(one) for one in np.split(part, [600, 800]))
    settings = TreesSettings(rounds=120, bags=1, label_rates="never", threads=1)
    scored = []
    for width in (0, 32):
        model = TreesModel(replace(settings, positions=width))
        model.fit(rows.take(train), rows.take(valid), context)
        scored.append(auroc(model.predict(rows.take(test), context), rows.label[test]))
    assert scored[0] < 0.6
    assert scored[1] > 0.8


def test_no_label_and_nothing_after_the_earliest_anchor_moves_a_place(planted, tmp_path):
    context, rows, _, likes = planted
    rng = np.random.default_rng(9)
    early = Positions.fit(rows, context, 8, 7)
    turned = Positions.fit(replace(rows, label=1 - rows.label), context, 8, 7)
    later = (rng.integers(0, USERS, 4000), rng.integers(0, TASTES * OBJECTS, 4000))
    both = tuple(np.r_[one, two] for one, two in zip(likes, later, strict=True))
    days = np.r_[np.full(len(likes[0]), 20), np.full(4000, WINDOW)]
    grown = replace(context, graph=build(tmp_path, both, day=days))
    # Rows of a later anchor as well: the axes are those of the earliest.
    second = replace(rows, anchor_us=np.full(USERS, WINDOW + 10))
    mixed = replace(rows, anchor_us=np.where(np.arange(USERS) % 2, WINDOW, WINDOW + 10))

    again = Positions.fit(mixed, grown, 8, 7)

    expected = places(early.apply(rows, context))
    assert (places(turned.apply(rows, context)) == expected).all()
    assert (places(again.apply(rows, grown)) == expected).all()
    assert (places(again.apply(second, grown)) != expected).any()


def test_a_user_the_axes_never_saw_stands_with_its_like(planted, tmp_path):
    context, rows, taste, likes = planted
    axes = Positions.fit(rows, context, 32, 7)
    rng = np.random.default_rng(17)
    fresh = rng.integers(0, TASTES, 200)
    more = taste_edges(rng, fresh, first=USERS)
    both = tuple(np.r_[one, two] for one, two in zip(likes, more, strict=True))
    grown = replace(context, graph=build(tmp_path, both))
    every = rows_of(USERS + 200)

    found = places(axes.apply(every, grown))

    found = found / np.linalg.norm(found, axis=1, keepdims=True)
    near = (found[USERS:] @ found[:USERS].T).argmax(axis=1)
    assert (taste[near] == fresh).mean() > 0.85


def test_who_met_nothing_known_has_no_place(planted, tmp_path):
    context, rows, _, likes = planted
    axes = Positions.fit(rows, context, 8, 7)
    held = axes.axes["likes:thing"]
    kept = [n for n, key in enumerate(held.keys) if int(key[1:]) >= 600]
    half = Axes(held.keys.gather(kept), held.weight[kept], held.vector[kept])

    found = places(Positions({"likes:thing": half}).apply(rows, context))

    known = np.zeros(USERS, dtype=bool)
    known[likes[0][likes[1] >= 600]] = True
    assert (np.isnan(found).all(axis=1) == ~known).all()
    assert (~known).any()


def test_users_are_placed_by_the_users_they_met_whichever_way(tmp_path):
    rng = np.random.default_rng(2)
    side = rng.integers(0, 2, USERS)
    start = rng.integers(0, USERS, 9000)
    end = rng.integers(0, USERS, 9000)
    kept = (side[start] == side[end]) & (start != end)
    likes = (np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
    graph = build(tmp_path, likes, (start[kept], end[kept]))
    rows = rows_of(USERS)
    context = GraphContext(graph, "user", WINDOW, rows, static=True)

    made = Positions.fit(rows, context, 2, 7).apply(rows, context)

    column = made.x[:, made.names.index("knows:user.position_01")]
    column = np.nan_to_num(column, nan=0.0)
    assert max(auroc(column, side), auroc(-column, side)) > 0.98


def test_a_model_with_places_comes_back_and_says_what_they_are(planted, tmp_path):
    context, rows, _, _ = planted
    model = TreesModel(TreesSettings(rounds=20, bags=1, positions=8, threads=1))
    model.fit(rows.take(np.arange(800)), rows.take(np.arange(800, USERS)), context)
    model.save(tmp_path)

    again = load_model(tmp_path)

    assert (again.predict(rows, context) == model.predict(rows, context)).all()
    phrases = position_phrases(model.columns)
    assert phrases["likes:thing.position_03"] == "place among all users (likes thing), axis 3"
    assert len(phrases) == 8

    table = tmp_path / FOLDER / "likes__thing" / "axes.parquet"
    assert pl.read_parquet(table).columns == ["key", "weight", "place"]
    pl.DataFrame({"key": ["a"]}).write_parquet(table)
    with pytest.raises(ArtefactInvalid, match="no axes"):
        load_model(tmp_path)
    shutil.rmtree(table.parent)
    with pytest.raises(ArtefactInvalid):
        load_model(tmp_path)


def test_anchors_of_ones_own_are_refused(planted):
    context, rows, _, _ = planted
    own = replace(rows, anchor_us=np.arange(USERS) + WINDOW)

    with pytest.raises(BadSetting, match="positions: needs rows on a few common anchors"):
        Positions.fit(own, context, 8, 7)


def test_more_axes_than_there_are_objects_leave_the_rest_empty():
    met = csr_array(np.eye(5, 3, dtype=np.float32))

    axes = Axes.of(pl.Series(["a", "b", "c"]), met, 16, 7)

    assert axes.vector.shape == (3, 16)
    assert (axes.vector[:, 2:] == 0).all()


def test_a_relation_that_nobody_used_has_no_axes_and_no_places(planted, tmp_path):
    _, rows, _, likes = planted
    none = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    context = GraphContext(build(tmp_path / "graph", likes, none), "user", WINDOW, rows)

    made = Positions.fit(rows, context, 4, 7)
    made.save(tmp_path)
    again = Positions.load(tmp_path, made.facts())

    assert len(again.axes["knows:user"].keys) == 0
    found = again.apply(rows, context)
    assert found.names == made.apply(rows, context).names
    assert np.isnan(found.select(("knows:user.position_00",)).x).all()
    assert np.array_equal(found.x, made.apply(rows, context).x, equal_nan=True)

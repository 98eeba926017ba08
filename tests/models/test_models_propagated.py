"""The decoupled network learns what neighbours tell, over hops and relations, without sampling."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from lying_marks import DEVICES, USERS, WINDOW, lying_rows

from graphguard.errors import ArtefactInvalid, BadSetting, ColumnMissing, TooFewLabels
from graphguard.evaluate.metrics import auroc
from graphguard.graph.arrays import EdgeArrays, NodeArrays
from graphguard.graph.build import write_graph
from graphguard.graph.hetero import HeteroGraph
from graphguard.models.base import GraphContext, Model, Rows, Upkeep, load_model
from graphguard.models.far_columns import FarColumns, far_phrases
from graphguard.models.hop_inputs import column_groups
from graphguard.models.propagated import PropagatedModel, PropagatedSettings
from graphguard.models.trees import TreesModel, TreesSettings

USES, MEETS = ("user", "uses", "device"), ("user", "meets", "user")
SMALL = PropagatedSettings(hidden=16, epochs=15, batch_rows=128, learning_rate=0.01, seed=5)


def context_of(folder, uses, meets, rows, time):
    nodes = {
        "user": NodeArrays(pl.Series([f"u{n:03}" for n in range(USERS)]), np.arange(USERS)),
        "device": NodeArrays(pl.Series([f"d{n:03}" for n in range(DEVICES)]), np.arange(DEVICES)),
    }
    edges = []
    for name, (source, target) in ((USES, uses), (MEETS, meets)):
        repeated = [np.tile(end, len(time)) for end in (source, target)]
        when = np.repeat(time, len(source))
        edges.append((name, EdgeArrays(*repeated, when, np.ones(len(when), dtype=np.int64))))
    write_graph(folder, nodes, edges, {}, 7)
    return GraphContext(HeteroGraph.open(folder), "user", WINDOW, rows)


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    """The label is whether a user is hidden and the OTHERS on its device show a mark."""
    draw = np.random.default_rng(1)
    home, rows = lying_rows(draw)
    meets = (draw.integers(0, USERS, 300), draw.integers(0, USERS, 300))
    uses = (np.arange(USERS), home)
    folder = tmp_path_factory.mktemp("graph")
    return context_of(folder, uses, meets, rows, [15, 35, 55]), rows


def at(rows, anchor):
    return rows.take(np.flatnonzero(rows.anchor_us == anchor))


@pytest.fixture(scope="module")
def fitted(platform):
    context, rows = platform
    model = PropagatedModel(SMALL)
    model.fit(at(rows, 20), at(rows, 40), context)
    return model


def test_it_learns_what_only_neighbours_tell(platform, fitted):
    context, rows = platform
    test = at(rows, 60)
    hidden = test.take(np.flatnonzero(test.x[:, 0] == 0.5))

    assert isinstance(fitted, Model)
    # Among these users the own row says nothing at all.
    assert auroc(fitted.predict(hidden, context), hidden.label) > 0.8
    assert fitted.curve[-1] < 0.8 * fitted.curve[0]


def test_attention_goes_to_the_relation_that_tells(fitted):
    assert list(fitted.attention) == ["own", "uses:device, hop 2", "meets:user, hop 2"]
    assert sum(fitted.attention.values()) == pytest.approx(1.0)
    assert fitted.attention["uses:device, hop 2"] > fitted.attention["meets:user, hop 2"]


def test_the_same_seed_makes_the_same_model(platform, fitted):
    context, rows = platform
    again, other = PropagatedModel(SMALL), PropagatedModel(replace(SMALL, seed=6))
    for model in (again, other):
        model.fit(at(rows, 20), at(rows, 40), context)

    test = at(rows, 60)
    assert (again.predict(test, context) == fitted.predict(test, context)).all()
    assert (other.predict(test, context) != fitted.predict(test, context)).any()


def test_a_row_is_scored_the_same_alone_and_among_others(platform, fitted):
    context, rows = platform
    test = at(rows, 60)
    whole, vectors = fitted.predict(test, context), fitted.embed(test, context)
    few = np.array([7, 300, 12])

    assert fitted.predict(test.take(few), context) == pytest.approx(whole[few], abs=1e-6)
    assert fitted.embed(test.take(few), context) == pytest.approx(vectors[few], abs=1e-5)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_it_comes_back_from_its_files(platform, fitted, tmp_path):
    context, rows = platform
    for name in ("a", "b"):
        fitted.save(tmp_path / name)

    back = load_model(tmp_path / "a")

    assert (back.predict(at(rows, 60), context) == fitted.predict(at(rows, 60), context)).all()
    assert back.attention == fitted.attention
    for name in ("model.json", "weights.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("damage", ["short", "missing", "other columns"])
def test_a_damaged_model_is_refused(fitted, tmp_path, damage):
    fitted.save(tmp_path)
    path = tmp_path / "weights.safetensors"
    if damage == "short":
        path.write_bytes(path.read_bytes()[:-40])
    elif damage == "missing":
        path.unlink()
    else:
        content = json.loads((tmp_path / "model.json").read_text())
        content["columns"] = content["columns"][:-1]
        (tmp_path / "model.json").write_text(json.dumps(content))

    with pytest.raises(ArtefactInvalid, match="no weights of this model"):
        load_model(tmp_path)


def test_bad_input_is_told(platform, fitted):
    context, rows = platform
    train, valid = at(rows, 20), at(rows, 40)

    with pytest.raises(TooFewLabels, match="train"):
        PropagatedModel(SMALL).fit(train.take(train.label == 0), valid, context)
    with pytest.raises(BadSetting, match=r"propagated.hidden: must be a multiple of 4, got 18"):
        PropagatedModel(replace(SMALL, hidden=18)).fit(train, valid, context)
    with pytest.raises(ColumnMissing, match="has no column 'noise'"):
        fitted.predict(train.select(("own",)), context)


def test_progress_is_told(platform):
    context, rows = platform
    told = []
    model = PropagatedModel(replace(SMALL, epochs=2))
    model.fit(at(rows, 20), at(rows, 40), context, Upkeep(lambda *step: told.append(step)))

    assert [step[0] for step in told] == list(range(1, 11))
    assert told[-1][1:] == (10, "propagated: epoch 2 of at most 2")


def test_columns_are_told_apart_by_where_they_come_from():
    names = (
        "all.num_events",
        "uses:device.nbr_mean.all.num_events",
        "meets:user.direct_mean.all.num_events",
        "uses:device.label_rate",
        "uses:device.nbr_bad_share",
        "all.active_days",
    )

    assert column_groups(names) == {
        "own": ("all.num_events", "all.active_days"),
        "uses:device, hop 1": ("uses:device.nbr_mean.all.num_events", "uses:device.nbr_bad_share"),
        "meets:user, hop 1, direct": ("meets:user.direct_mean.all.num_events",),
        "uses:device, labels": ("uses:device.label_rate",),
    }


def test_the_second_hop_is_what_the_met_have_met(tmp_path):
    # Users 0 and 1 on device 0, 1 and 2 on device 1, all at 5; one column: 1, 2, 4.
    x = np.full((USERS, 1), np.nan, dtype=np.float32)
    x[:3, 0] = [1, 2, 4]
    rows = Rows(np.arange(3), np.full(3, 9), x[:3], ("v",), np.array([0, 1, 0], np.int8))
    uses = (np.array([0, 1, 1, 2]), np.array([0, 0, 1, 1]))
    none = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    context = context_of(tmp_path, uses, none, rows, [5])

    columns = FarColumns.fit(rows, context)

    step = np.array([[0.5, 0.5, 0], [0.25, 0.5, 0.25], [0, 0.5, 0.5]])
    shown = columns.shown.apply(rows)
    far = columns.apply(rows, context)
    assert far.names == (
        "v", "uses:device.hop2.v", "uses:device.hop2.rows", "meets:user.hop2.v",
        "meets:user.hop2.rows",
    )  # fmt: skip
    assert far.x[:, 1] == pytest.approx((step @ step @ shown)[:, 0], abs=1e-6)
    # All who are met have rows; nobody met anybody directly.
    assert far.x[:, 2].tolist() == [1, 1, 1]
    assert (far.x[:, 3:] == 0).all()
    phrases = far_phrases(far.names, {"v": "number of acts"})
    assert phrases["uses:device.hop2.v"] == (
        "number of acts, mean of those two steps away (uses device)"
    )
    assert set(phrases) == set(far.names[1:])


@pytest.mark.parametrize("own_anchors", [False, True])
def test_what_comes_later_changes_nothing(platform, tmp_path, own_anchors):
    _, rows = platform
    draw = np.random.default_rng(2)
    early, late = (replace(at(rows, 40), anchor_us=np.full(USERS, time)) for time in (400, 600))
    if own_anchors:
        # Even users have their anchor between 300 and 400, odd ones at 600.
        early = early.take(np.arange(0, USERS, 2))
        early = replace(early, anchor_us=np.linspace(300, 400, len(early)).astype(np.int64))
        late = late.take(np.arange(1, USERS, 2))
    home, later_home = draw.integers(0, DEVICES, (2, USERS))
    found = []
    for number in (0, 1):
        # Both worlds have the edges of 280; edges of 450 and rows of 600 differ.
        later = np.roll(later_home, number)
        uses = (np.tile(np.arange(USERS), 2), np.r_[home, later])
        more = concat(early, replace(late, x=late.x + number))
        folder = tmp_path / str(number)
        context = timed_context(folder, uses, np.repeat([280, 450], USERS), more)
        columns = FarColumns.fit(early, context)
        assert columns.calendar is not own_anchors
        found.append(
            [columns.apply(some, context).x[:, len(rows.names) :] for some in (early, late)]
        )

    assert (found[0][0] == found[1][0]).all()
    assert np.ptp(found[0][0][:, 0]) > 0.5
    assert (found[0][1] != found[1][1]).any()


def timed_context(folder, uses, time, rows):
    nodes = {
        "user": NodeArrays(pl.Series([f"u{n:03}" for n in range(USERS)]), np.arange(USERS)),
        "device": NodeArrays(pl.Series([f"d{n:03}" for n in range(DEVICES)]), np.arange(DEVICES)),
    }
    folder.mkdir()
    edges = EdgeArrays(*uses, time, np.ones(len(time), dtype=np.int64))
    write_graph(folder, nodes, [(USES, edges)], {}, 7)
    return GraphContext(HeteroGraph.open(folder), "user", 300, rows)


def concat(one, other):
    parts = [
        np.concatenate([getattr(rows, name) for rows in (one, other)])
        for name in ("node", "anchor_us", "x")
    ]
    return Rows(*parts, one.names, np.concatenate([one.label, other.label]))


def test_trees_may_read_the_second_hop_too(platform, tmp_path):
    context, rows = platform
    scores = {}
    for hops in (1, 2):
        model = TreesModel(TreesSettings(rounds=60, bags=1, threads=1, hops=hops))
        model.fit(at(rows, 20), at(rows, 40), context)
        scores[hops] = model.predict(at(rows, 60), context)
    test = at(rows, 60)
    hidden = np.flatnonzero(test.x[:, 0] == 0.5)
    # The noise is the same at every anchor, so trees remember some users by it.
    found = {hops: auroc(score[hidden], test.label[hidden]) for hops, score in scores.items()}
    assert found[2] > found[1] + 0.1

    model.save(tmp_path)
    assert (load_model(tmp_path).predict(test, context) == scores[2]).all()
    (tmp_path / "hops.safetensors").write_bytes(b"no arrays")
    with pytest.raises(ArtefactInvalid, match=r"hops.safetensors: no second hop"):
        load_model(tmp_path)

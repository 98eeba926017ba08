"""Sampled models learn what only neighbours tell, twice the same, and come back from files."""

import numpy as np
import polars as pl
import pytest
import torch

from graphguard.errors import ArtefactInvalid, BadSetting, TooFewLabels
from graphguard.evaluate.metrics import auroc
from graphguard.graph.arrays import EdgeArrays, NodeArrays
from graphguard.graph.build import write_graph
from graphguard.graph.hetero import HeteroGraph
from graphguard.models import tree_inputs
from graphguard.models.base import GraphContext, Model, Upkeep, load_model, open_model
from graphguard.models.sage import SageModel, SageSettings
from graphguard.models.transform import InputTransform

WINDOW, USERS = 10, 600
FAMILIES = ("sage", "rgcn", "hgt", "dgl_rgcn")
SMALL = {
    "fanouts": (6, 4),
    "hidden": 16,
    "epochs": 12,
    "batch_rows": 128,
    "learning_rate": 0.01,
    "seed": 5,
}


def at(rows, anchor):
    return rows.take(np.flatnonzero(rows.anchor_us == anchor))


@pytest.fixture(scope="module", params=FAMILIES)
def fitted(platform, request):
    context, rows = platform
    model = open_model(request.param, SMALL)
    model.fit(at(rows, 20), at(rows, 40), context)
    return model


def test_it_learns_what_only_neighbours_tell(platform, fitted):
    context, rows = platform
    test = at(rows, 60)
    hidden = test.take(np.flatnonzero(test.x[:, 0] == 0.5))

    assert isinstance(fitted, Model)
    # Among these users the own row says nothing at all.
    assert auroc(fitted.predict(hidden, context), hidden.label) > 0.75
    assert fitted.curve[-1] < 0.8 * fitted.curve[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_makes_the_same_model(platform, family):
    context, rows = platform
    scores = []
    for outside in (1, 2):
        torch.manual_seed(outside)  # what others draw does not matter
        model = open_model(family, {**SMALL, "epochs": 2})
        model.fit(at(rows, 20), at(rows, 40), context)
        scores.append(model.predict(at(rows, 60), context))
    other = open_model(family, {**SMALL, "epochs": 2, "seed": 6})
    other.fit(at(rows, 20), at(rows, 40), context)

    assert (scores[0] == scores[1]).all()
    assert (scores[0] != other.predict(at(rows, 60), context)).any()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_weight_learns(platform, family):
    context, rows = platform
    before = open_model(family, {**SMALL, "epochs": 1, "learning_rate": 1e-9})
    after = open_model(family, {**SMALL, "epochs": 1})
    for model in (before, after):
        model.fit(at(rows, 20), at(rows, 40), context)

    untouched = before.net.state_dict()
    for name, value in after.net.state_dict().items():
        assert (value != untouched[name]).any(), name


@pytest.mark.parametrize("family", FAMILIES)
def test_focal_loss_is_another_way_to_learn(platform, family):
    context, rows = platform
    scores = {}
    for loss, gamma in (("weighted", 2.0), ("focal", 0.0), ("focal", 2.0)):
        model = open_model(family, {**SMALL, "epochs": 1, "loss": loss, "focal_gamma": gamma})
        model.fit(at(rows, 20), at(rows, 40), context)
        scores[loss, gamma] = model.predict(at(rows, 60), context)

    assert (scores["focal", 0.0] == scores["weighted", 2.0]).all()
    assert (scores["focal", 2.0] != scores["weighted", 2.0]).any()


@pytest.mark.parametrize("sampler", ["uniform", "rarity", "pagerank"])
def test_every_sampler_finds_the_neighbours_that_tell(platform, sampler):
    context, rows = platform
    test = at(rows, 60)
    hidden = test.take(np.flatnonzero(test.x[:, 0] == 0.5))
    model = open_model("sage", {**SMALL, "sampler": sampler})
    model.fit(at(rows, 20), at(rows, 40), context)

    assert auroc(model.predict(hidden, context), hidden.label) > 0.75


@pytest.mark.parametrize("family", FAMILIES)
def test_relations_without_edges_and_types_without_nodes_are_no_hindrance(
    platform, family, tmp_path
):
    _, rows = platform
    nobody, empty = np.zeros(0, dtype=np.int64), pl.Series([], dtype=pl.String)
    users = NodeArrays(pl.Series([f"u{n:03}" for n in range(USERS)]), np.arange(USERS))
    nodes = {"user": users, "page": NodeArrays(empty, nobody)}
    edges = EdgeArrays(nobody, nobody, nobody, nobody)
    write_graph(tmp_path, nodes, [(("user", "likes", "page"), edges)], {}, 7)
    context = GraphContext(HeteroGraph.open(tmp_path), "user", WINDOW, rows)
    model = open_model(family, {**SMALL, "epochs": 1})
    model.fit(at(rows, 20), at(rows, 40), context)

    assert np.isfinite(model.predict(at(rows, 60), context)).all()
    assert np.isfinite(model.embed(at(rows, 60), context)).all()


def test_rows_encoded_once_a_batch_make_the_same_model(platform, monkeypatch):
    context, rows = platform
    scores = []
    for wide in (1, 1_000):
        monkeypatch.setattr(tree_inputs, "WIDE", wide)
        model = open_model("sage", {**SMALL, "epochs": 2})
        model.fit(at(rows, 20), at(rows, 40), context)
        scores.append(model.predict(at(rows, 60), context))

    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_batches_are_made_where_the_arrays_are(platform, monkeypatch):
    context, rows = platform
    model = open_model("sage", {**SMALL, "epochs": 1})
    model.fit(at(rows, 20), at(rows, 40), context)
    inputs = model._inputs(context)

    def to_host(*_: object) -> None:
        message = "a batch came to the host on its way"
        raise AssertionError(message)

    for name in ("numpy", "cpu", "tolist"):
        monkeypatch.setattr(torch.Tensor, name, to_host)
    batch = inputs.batch(rows.node[:50], rows.anchor_us[:50])
    monkeypatch.undo()

    assert batch.trees.num_edges > 200
    assert batch.x["user"].values.shape[1] == inputs.table.width


def test_a_node_has_its_newest_row_at_or_before_the_time(platform):
    _, rows = platform
    chosen = rows.take(np.array([7, 607, 9, 1_211]))  # u007 at 20 and 40, u009 at 20, u011 at 60
    inputs = tree_inputs.input_table(chosen, InputTransform.fit(chosen))
    table = tree_inputs.RowTable(chosen, inputs, "cpu")
    nodes = [7, 7, 7, 7, 9, 9, 11, 11, 8, 599]
    times = [19, 20, 39, 90, 40, 10, 60, 59, 90, 90]

    found = table.newest(torch.tensor(nodes), torch.tensor(times))

    assert found.tolist() == [4, 0, 0, 1, 2, 4, 3, 4, 4, 4]
    assert table.inputs(torch.tensor([8]), torch.tensor([90])).values.tolist() == [[0, 0, 1]]


def test_progress_is_told_batch_by_batch(platform):
    context, rows = platform
    told = []
    model = SageModel(SageSettings(**{**SMALL, "epochs": 2}))
    model.fit(at(rows, 20), at(rows, 40), context, Upkeep(tell=lambda *one: told.append(one)))

    assert [done for done, _, _ in told] == list(range(1, 11))
    assert {total for _, total, _ in told} == {10}
    assert told[-1][2] == "sage: epoch 2 of at most 2"


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
    fitted.save(tmp_path / "a")
    fitted.save(tmp_path / "b")

    back = load_model(tmp_path / "a")

    assert (back.predict(at(rows, 60), context) == fitted.predict(at(rows, 60), context)).all()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "model.json",
        "weights.safetensors",
    ]
    for name in ("model.json", "weights.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("damage", ["short", "missing", "other"])
def test_damaged_weights_are_refused(fitted, tmp_path, damage):
    fitted.save(tmp_path)
    path = tmp_path / "weights.safetensors"
    if damage == "short":
        path.write_bytes(path.read_bytes()[:-40])
    elif damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"\x80\x04 a pickle, perhaps")

    with pytest.raises(ArtefactInvalid, match="no weights of this model"):
        load_model(tmp_path)


def test_one_class_only_is_refused(platform):
    context, rows = platform
    train = at(rows, 20)
    good = train.take(np.flatnonzero(train.label == 0))

    with pytest.raises(TooFewLabels, match="train"):
        open_model("sage", SMALL).fit(good, at(rows, 40), context)


def test_a_gpu_that_is_not_there_is_told(platform, monkeypatch):
    context, rows = platform
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    model = SageModel(SageSettings(device="cuda", epochs=1, fanouts=(2,), hidden=4))

    with pytest.raises(BadSetting, match="torch sees no GPU here"):
        model.fit(at(rows, 20), at(rows, 40), context)

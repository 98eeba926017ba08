"""Sage learns what only neighbours tell, twice the same, and comes back from its files."""

import numpy as np
import polars as pl
import pytest

from graphguard.errors import ArtefactInvalid, BadSetting, TooFewLabels
from graphguard.evaluate.metrics import auroc
from graphguard.graph.build import EdgeArrays, NodeArrays, write_graph
from graphguard.graph.hetero import HeteroGraph
from graphguard.models.base import GraphContext, Rows, load_model
from graphguard.models.sage import SageModel, SageSettings

USES = ("user", "uses", "device")
WINDOW, ANCHORS = 10, (20, 40, 60)
USERS, DEVICES = 600, 75
SMALL = SageSettings(
    fanouts=(6, 4), hidden=16, epochs=25, batch_rows=128, learning_rate=0.01, seed=5
)


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    """Users whose label is whether the OTHER users of their device show a mark; own marks lie."""
    draw = np.random.default_rng(1)
    folder = tmp_path_factory.mktemp("graph")
    home = draw.integers(0, DEVICES, USERS)
    marked = draw.random(DEVICES) < 0.3
    mark = np.where(draw.random(USERS) < 0.9, marked[home], ~marked[home]).astype(float)
    source = np.tile(np.arange(USERS), 3)
    time = np.repeat([15, 35, 55], USERS)
    ones = np.ones(len(source), dtype=np.int64)
    nodes = {
        "user": NodeArrays(pl.Series([f"u{n:03}" for n in range(USERS)]), np.arange(USERS)),
        "device": NodeArrays(pl.Series([f"d{n:03}" for n in range(DEVICES)]), np.arange(DEVICES)),
    }
    edges = EdgeArrays(source, np.tile(home, 3), time, ones)
    write_graph(folder, nodes, [(USES, edges)], {}, 7)
    # The label is the device's secret; a user's own mark is hidden in its own row (column `own`).
    hidden = draw.random(USERS) < 0.5
    own = np.where(hidden, 0.5, mark)
    x = np.stack([own, draw.normal(size=USERS)], axis=1).astype(np.float32)
    label = (marked[home] & hidden).astype(np.int8)
    rows = Rows(
        node=np.tile(np.arange(USERS), 3),
        anchor_us=np.repeat(ANCHORS, USERS),
        x=np.tile(x, (3, 1)),
        names=("own", "noise"),
        label=np.tile(label, 3),
    )
    return GraphContext(HeteroGraph.open(folder), "user", WINDOW, rows), rows


def at(rows, anchor):
    return rows.take(np.flatnonzero(rows.anchor_us == anchor))


@pytest.fixture(scope="module")
def fitted(platform):
    context, rows = platform
    model = SageModel(SMALL)
    model.fit(at(rows, 20), at(rows, 40), context)
    return model


def test_it_learns_what_only_neighbours_tell(platform, fitted):
    context, rows = platform
    test = at(rows, 60)
    hidden = test.take(np.flatnonzero(test.x[:, 0] == 0.5))

    # Among these users the own row says nothing at all.
    assert auroc(fitted.predict(hidden, context), hidden.label) > 0.75


def test_the_same_seed_makes_the_same_model(platform, fitted):
    context, rows = platform
    again = SageModel(SMALL)
    again.fit(at(rows, 20), at(rows, 40), context)

    assert (again.predict(at(rows, 60), context) == fitted.predict(at(rows, 60), context)).all()


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
        SageModel(SMALL).fit(good, at(rows, 40), context)


def test_a_gpu_that_is_not_there_is_told(platform, monkeypatch):
    context, rows = platform
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    model = SageModel(SageSettings(device="cuda", epochs=1, fanouts=(2,), hidden=4))

    with pytest.raises(BadSetting, match="torch sees no GPU here"):
        model.fit(at(rows, 20), at(rows, 40), context)

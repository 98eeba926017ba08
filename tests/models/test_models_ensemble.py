"""The ensemble weighs its members by what they are worth, and judges itself on no row it saw."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.special import expit

from graphguard.errors import ArtefactInvalid, BadSetting, TooFewLabels
from graphguard.evaluate.metrics import auprc
from graphguard.graph.arrays import NodeArrays
from graphguard.graph.build import write_graph
from graphguard.graph.hetero import HeteroGraph
from graphguard.models.base import (
    GraphContext,
    Model,
    Rows,
    explainer_of,
    load_model,
    open_model,
)
from graphguard.models.ensemble import EnsembleModel, EnsembleSettings
from graphguard.models.stack import fit_stack
from graphguard.models.trees import TreesModel, TreesSettings

USERS = 1800
TREES = {"rounds": 30, "patience": 10, "bags": 1, "threads": 1, "learning_rate": 0.2}
NETWORK = {"hidden": 8, "epochs": 5, "learning_rate": 0.01}
SETTINGS = EnsembleSettings(settings={"trees": TREES, "propagated": NETWORK}, seed=3)


def test_a_member_that_knows_nothing_gets_no_weight():
    draw = np.random.default_rng(0)
    truth = draw.normal(size=4000) * 2 - 2
    label = (draw.random(4000) < expit(truth)).astype(int)
    knows = expit(truth + draw.normal(size=4000) * 0.5)
    stack = fit_stack(np.stack([knows, draw.random(4000), 1 - knows], axis=1), label)

    assert stack.weight.min() == 0
    assert stack.shares[0] > 0.95
    assert stack.weight[2] == 0
    # The bias and the scale are learned too: what comes out is a probability.
    assert stack.apply(np.stack([knows, knows, 1 - knows], axis=1)).mean() == pytest.approx(
        label.mean(), abs=0.02
    )


def test_two_members_that_err_apart_are_better_together():
    draw = np.random.default_rng(1)
    truth = draw.normal(size=4000) * 2 - 2
    label = (draw.random(4000) < expit(truth)).astype(int)
    members = np.stack([expit(truth + draw.normal(size=4000)) for _ in range(2)], axis=1)

    stack = fit_stack(members[:2000], label[:2000])

    assert stack.shares == pytest.approx([0.5, 0.5], abs=0.15)
    together = auprc(stack.apply(members[2000:]), label[2000:])
    assert together > max(auprc(members[2000:, one], label[2000:]) for one in (0, 1)) + 0.01


def test_few_positives_leave_weights_nearly_equal():
    draw = np.random.default_rng(2)
    label = np.r_[np.ones(2, dtype=int), np.zeros(200, dtype=int)]
    better = expit(np.where(label == 1, 1.0, -1.0) + draw.normal(size=202))

    stack = fit_stack(np.stack([better, draw.random(202)], axis=1), label)

    assert 0.3 < stack.shares[0] < 0.8
    with pytest.raises(ValueError, match="needs both classes, got 0 positives of 200 rows"):
        fit_stack(draw.random((200, 2)), np.zeros(200))


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    keys = pl.Series([f"u{n:05}" for n in range(USERS)])
    write_graph(folder, {"user": NodeArrays(keys, np.arange(USERS))}, [], {}, 7)
    draw = np.random.default_rng(5)
    x = draw.normal(size=(USERS, 4)).astype(np.float32)
    label = (x[:, 0] + x[:, 1] + 0.7 * draw.normal(size=USERS) > 2).astype(np.int8)
    rows = Rows(np.arange(USERS), np.full(USERS, 9), x, ("a", "b", "c", "d"), label)
    parts = np.split(np.arange(USERS), [900, 1400])
    return GraphContext(HeteroGraph.open(folder), "user", 9, rows), [rows.take(p) for p in parts]


@pytest.fixture(scope="module")
def fitted(platform):
    context, (train, valid, _) = platform
    model = EnsembleModel(SETTINGS)
    model.fit(train, valid, context)
    return model


def test_it_fits_its_members_and_scores_with_them(platform, fitted):
    context, (_, _, test) = platform

    said = fitted.predict(test, context)

    assert isinstance(fitted, Model)
    assert list(fitted.members) == ["trees", "propagated"]
    assert (said.dtype, said.shape) == (np.float32, (400,))
    worst = min(auprc(one.predict(test, context), test.label) for one in fitted.members.values())
    assert auprc(said, test.label) > worst
    assert sum(fitted.shares.values()) == pytest.approx(1.0)
    assert len(fitted.stacks) == 5


def test_no_row_of_the_selection_slice_has_a_say_in_its_own_score(platform, fitted):
    context, (_, valid, _) = platform
    fold = fitted._folds(valid, context)
    mine = np.flatnonzero(fold == 2)
    turned = valid.label.copy()
    turned[mine] ^= 1

    other = EnsembleModel(SETTINGS)
    other.adopt(fitted.members)
    other.fit(valid, replace(valid, label=turned), context)

    before, after = (model.predict(valid, context) for model in (fitted, other))
    assert (before[mine] == after[mine]).all()
    rest = np.flatnonzero(fold != 2)
    assert (before[rest] != after[rest]).mean() > 0.9


def test_members_that_are_fitted_already_are_taken_as_they_are(platform):
    context, (train, valid, test) = platform
    trees = open_model("trees", TREES)
    trees.fit(train, valid, context)
    model = EnsembleModel(SETTINGS)
    model.adopt({"trees": trees, "sage": trees})

    model.fit(train, valid, context)

    assert model.members["trees"] is trees
    assert list(model.members) == ["trees", "propagated"]
    before = trees.predict(test)
    model.refit(train, context)
    assert (trees.predict(test) == before).all()


def test_refitting_lets_its_own_members_learn_anew(platform):
    context, (train, valid, test) = platform
    model = EnsembleModel(SETTINGS)
    model.fit(train, valid, context)
    before, stacks = model.predict(test, context), model.stacks

    model.refit(valid, context)

    assert (model.predict(test, context) != before).any()
    assert model.stacks == stacks


def test_it_comes_back_from_its_files(platform, fitted, tmp_path):
    context, (_, _, test) = platform
    fitted.save(tmp_path)

    back = load_model(tmp_path)

    assert (back.predict(test, context) == fitted.predict(test, context)).all()
    assert (back.embed(test, context) == fitted.embed(test, context)).all()
    assert back.settings == fitted.settings
    assert sorted(path.name for path in (tmp_path / "members").iterdir()) == ["propagated", "trees"]


def test_vectors_are_near_when_the_members_say_so(platform, fitted):
    context, (_, _, test) = platform

    vectors = fitted.embed(test, context)

    cosines = vectors @ vectors.T
    expected = np.zeros((400, 400))
    for name, member in fitted.members.items():
        one = member.embed(test, context)
        expected += fitted.shares[name] * (one @ one.T)
    assert cosines == pytest.approx(expected, abs=1e-5)


def test_its_tree_member_explains(platform, fitted):
    context, (_, _, test) = platform
    trees = fitted.members["trees"]

    assert explainer_of(fitted) is trees
    assert explainer_of(trees) is trees
    assert explainer_of(fitted.members["propagated"]) is None


def test_bad_members_and_files_are_refused(platform, fitted, tmp_path):
    context, (train, valid, _) = platform
    for members in ((), ("trees",), ("trees", "trees"), ("trees", "ensemble")):
        with pytest.raises(BadSetting, match="ensemble.members: must be two or more different"):
            EnsembleModel(EnsembleSettings(members=members))
    none = replace(valid, label=np.zeros(len(valid), dtype=np.int8))
    with pytest.raises(TooFewLabels, match="valid"):
        EnsembleModel(SETTINGS).fit(train, none, context)
    fitted.save(tmp_path)
    content = json.loads((tmp_path / "model.json").read_text())
    content["stacks"][0]["weight"] = [1.0]
    (tmp_path / "model.json").write_text(json.dumps(content))
    with pytest.raises(ArtefactInvalid, match="not an ensemble"):
        load_model(tmp_path)


def test_with_few_positives_one_set_of_weights_serves_all(platform):
    context, (train, valid, _) = platform
    few = valid.take(np.r_[np.flatnonzero(valid.label == 1)[:1], np.flatnonzero(valid.label == 0)])
    trees = TreesModel(TreesSettings(**TREES))
    trees.fit(train, valid, context)
    model = EnsembleModel(replace(SETTINGS, members=("trees", "propagated")))
    model.adopt({"trees": trees, "propagated": trees})

    model.fit(train, few, context)

    assert len(model.stacks) == 1
    assert model.predict(valid, context).shape == (500,)

"""Label rates: rows that train and rows that are scored see one distribution; traps are caught."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.stats import ks_2samp

from graphguard.errors import ArtefactInvalid, BadSetting, OwnLabelSeen
from graphguard.evaluate.metrics import auroc
from graphguard.graph.arrays import EdgeArrays, NodeArrays
from graphguard.graph.build import write_graph
from graphguard.graph.hetero import HeteroGraph
from graphguard.models import label_rates
from graphguard.models.base import GraphContext, Rows, RowsInvalid, load_model
from graphguard.models.label_rates import LABELS_FILE, LabelRates, label_phrases
from graphguard.models.trees import TreesModel, TreesSettings

USERS, DEVICES, DAY = 3000, 300, 50
USES, MEETS = ("user", "uses", "device"), ("user", "meets", "user")


def build(folder, keys, uses, meets, day=20):
    nodes = {
        "user": NodeArrays(pl.Series(keys), np.arange(len(keys))),
        "device": NodeArrays(pl.Series([f"d{n:04}" for n in range(DEVICES)]), np.arange(DEVICES)),
    }
    edges = []
    for name, (source, target) in ((USES, uses), (MEETS, meets)):
        ones = np.ones(len(source), dtype=np.int64)
        edges.append((name, EdgeArrays(source, target, ones * day, ones)))
    write_graph(folder, nodes, edges, {}, 7)
    return HeteroGraph.open(folder)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Users of bad devices are bad; columns are noise; two of three users have a label in training.

    A user's own column says nothing: only the labels of those around it do.
    """
    draw = np.random.default_rng(11)
    home = draw.integers(0, DEVICES, USERS)
    away = draw.integers(0, DEVICES, USERS)
    bad_device = draw.random(DEVICES) < 0.2
    label = (draw.random(USERS) < np.where(bad_device[home], 0.8, 0.04)).astype(np.int8)
    uses = (np.r_[np.arange(USERS), np.arange(USERS)], np.r_[home, away])
    near = draw.integers(0, USERS, 2 * USERS)
    meets = (draw.integers(0, USERS, 2 * USERS), near)
    keys = [f"u{n:05}" for n in range(USERS)]
    graph = build(tmp_path_factory.mktemp("graph"), keys, uses, meets)
    x = draw.normal(size=(USERS, 2)).astype(np.float32)
    rows = Rows(np.arange(USERS), np.full(USERS, DAY), x, ("noise", "more"), label)
    context = GraphContext(graph, "user", DAY, rows, static=True)
    part = draw.permutation(USERS)
    train, valid, test = np.sort(part[:2000]), np.sort(part[2000:2500]), np.sort(part[2500:])
    return context, rows, (train, valid, test), (uses, meets, keys)


@pytest.fixture(scope="module")
def rates(world):
    context, rows, (train, _, _), _ = world
    return LabelRates.fit(rows.take(train), context, folds=10, seed=7)


def made_columns(rates, rows, context):
    made = rates.apply(rows, context)
    return dict(zip(made.names, made.x.T, strict=True))


def test_rows_that_train_and_rows_that_do_not_see_one_distribution(world, rates):
    context, rows, (train, _, test), _ = world

    found = [made_columns(rates, rows.take(some), context) for some in (train, test)]

    names = [name for name in found[0] if ".label_" in name]
    assert len(names) == 6 + 4 * 3 + 6 + 2
    labels = [rows.label[some] for some in (train, test)]
    for name in names:
        assert ks_2samp(found[0][name], found[1][name]).pvalue > 1e-3, name
        # And among the bad alone: it is there that one's own label would show.
        bad = [one[name][label == 1] for one, label in zip(found, labels, strict=True)]
        assert ks_2samp(*bad).pvalue > 1e-3, name


def unhidden(monkeypatch):
    """The plain encoding: every training label is shown to every row, its own too."""

    def shared(sides, lookers, labelled, window_us):
        elsewhere = replace(lookers, fold=np.full(len(lookers.node), labelled.fold.max() + 1))
        return SHARED(sides, elsewhere, labelled, window_us)

    monkeypatch.setattr(label_rates, "shared_labels", shared)


SHARED = label_rates.shared_labels


def test_the_plain_encoding_has_another_distribution_and_collapses_on_test(
    world, rates, monkeypatch
):
    context, rows, (train, valid, test), _ = world
    plain = LabelRates(10, 7, rates.labels, (True, None))
    unhidden(monkeypatch)
    found = [made_columns(plain, rows.take(some), context) for some in (train, test)]
    bad = [
        one["uses:device.label_bad"][rows.label[some] == 1]
        for one, some in zip(found, (train, test), strict=True)
    ]
    assert ks_2samp(*bad).pvalue < 1e-6

    slices = [plain.apply(rows.take(some), context) for some in (train, valid, test)]
    trees = TreesModel(TreesSettings(rounds=60, bags=1, threads=1, label_rates="never"))
    trees.fit(slices[0], slices[1], context)

    # It has read its own label in training: far better there than on rows without one.
    in_training = auroc(trees.predict(slices[0]), slices[0].label)
    assert in_training - auroc(trees.predict(slices[2]), slices[2].label) > 0.06


def test_an_encoding_that_shows_a_row_its_own_label_is_refused(world, monkeypatch):
    context, rows, (train, _, _), _ = world
    unhidden(monkeypatch)

    with pytest.raises(OwnLabelSeen, match=r"changes with the row's own label in \d+ of"):
        LabelRates.fit(rows.take(train), context, folds=10, seed=7)


@pytest.mark.parametrize("folds", [0, 1])
def test_label_rates_without_folds_are_refused(world, folds):
    context, rows, (train, valid, _), _ = world
    model = TreesModel(TreesSettings(label_folds=folds, threads=1))

    with pytest.raises(BadSetting, match="label_folds: must be 2 or more, got"):
        model.fit(rows.take(train), rows.take(valid), context)


def test_labels_of_rows_that_do_not_train_are_never_looked_at(world, rates):
    context, rows, (train, _, test), _ = world
    turned = rows.label.copy()
    turned[test] ^= 1
    other = replace(context, rows=replace(rows, label=turned))

    found = [made_columns(rates, rows.take(test), one) for one in (context, other)]

    for name, column in found[0].items():
        assert (column == found[1][name]).all(), name


def test_renumbering_users_changes_no_column(world, rates, tmp_path):
    context, rows, (train, _, _), (uses, meets, keys) = world
    # Reversed keys: user n becomes number USERS - 1 - n of the sorted keys.
    turn = USERS - 1 - np.arange(USERS)
    graph = build(tmp_path, keys, (turn[uses[0]], uses[1]), (turn[meets[0]], turn[meets[1]]))
    swapped = rates.labels.with_columns(
        key="u"
        + (USERS - 1 - pl.col("key").str.slice(1).cast(pl.Int64))
        .cast(pl.String)
        .str.zfill(5)  # fmt: skip
    )
    other = LabelRates(10, 7, swapped, (True, None))
    some = rows.take(train[:200])

    before = made_columns(rates, some, context)
    after = made_columns(other, replace(some, node=turn[some.node]), replace(context, graph=graph))

    for name, column in before.items():
        assert column == pytest.approx(after[name], rel=1e-5, abs=1e-6), name


def test_users_of_one_group_do_not_see_each_others_labels(world):
    context, rows, (train, _, _), _ = world
    ring = np.arange(USERS)
    ring[train[:40]] = -1
    grouped = LabelRates.fit(rows.take(train), replace(context, group=ring), folds=10, seed=7)

    folds = grouped.labels.join(
        pl.DataFrame({"key": context.graph.keys("user"), "ring": ring}), on="key"
    )

    assert folds.filter(pl.col("ring") == -1).get_column("fold").n_unique() == 1
    assert folds.filter(pl.col("ring") != -1).get_column("fold").n_unique() == 10


def test_a_timed_label_is_seen_once_its_horizon_is_over(tmp_path):
    # Users 0, 1, 2 on one device all days. Rows at days 10 and 40; user 1 is bad at day 10,
    # horizon 20: known at 30, so only the rows of day 40 may see it.
    keys = ["a", "b", "c"]
    uses = (np.tile(np.arange(3), 2), np.zeros(6, dtype=np.int64))
    nodes = {
        "user": NodeArrays(pl.Series(keys), np.arange(3)),
        "device": NodeArrays(pl.Series(["d"]), np.arange(1)),
    }
    edges = EdgeArrays(*uses, np.repeat([8, 38], 3), np.ones(6, dtype=np.int64))
    write_graph(tmp_path, nodes, [(USES, edges)], {}, 7)
    rows = Rows(
        np.tile(np.arange(3), 2), np.repeat([10, 40], 3), np.zeros((6, 1), np.float32), ("x",),
        np.array([0, 1, 0, 0, 0, 0], dtype=np.int8),
    )  # fmt: skip
    context = GraphContext(HeteroGraph.open(tmp_path), "user", 9, rows, horizon_us=20)

    # A seed that puts the three users into three folds.
    timed = LabelRates.fit(rows, context, folds=50, seed=1)

    assert timed.labels.get_column("fold").n_unique() == 3
    seen = made_columns(timed, rows, context)
    assert seen["uses:device.label_known"].tolist() == [0, 0, 0, 2, 2, 2]
    assert seen["uses:device.label_bad"].tolist() == [0, 0, 0, 1, 0, 1]


def test_rows_with_anchors_of_their_own_see_what_came_before(world):
    context, rows, (train, valid, _), _ = world
    own = replace(rows, anchor_us=np.arange(10, 10 + USERS))
    each = replace(context, rows=own)

    rates = LabelRates.fit(own.take(train), each, folds=10, seed=7)

    found = made_columns(rates, own.take(np.arange(USERS)), each)
    assert "all.label_spread" not in found
    # All edges lie at 20: rows up to there see none, rows from 71 on have them out of the window.
    known = found["uses:device.label_known"]
    assert known[:11].max() == known[61:].max() == 0
    assert known[11:60].max() > 0
    with pytest.raises(RowsInvalid, match="several training rows at anchors of its own"):
        LabelRates.fit(own.take(np.r_[train, train]), each, folds=10, seed=7)


@pytest.fixture(scope="module")
def fitted(world):
    context, rows, (train, valid, _), _ = world
    model = TreesModel(TreesSettings(rounds=60, bags=1, threads=1))
    model.fit(rows.take(train), rows.take(valid), context)
    return model


def test_trees_learn_what_only_labels_around_tell(world, fitted):
    context, rows, (train, valid, test), _ = world
    blind = TreesModel(TreesSettings(rounds=60, bags=1, threads=1, label_rates="never"))
    blind.fit(rows.take(train), rows.take(valid), context)
    asked = rows.take(test)

    assert auroc(fitted.predict(asked, context), asked.label) > 0.7
    assert auroc(blind.predict(asked, context), asked.label) < 0.6


def test_trees_without_a_time_of_labels_do_not_look_at_them(world):
    context, rows, (train, valid, _), _ = world
    timed = replace(context, static=False)
    model = TreesModel(TreesSettings(rounds=5, bags=1, threads=1))

    model.fit(rows.take(train), rows.take(valid), timed)

    assert model.columns == ("noise", "more")
    asking = TreesModel(TreesSettings(rounds=5, bags=1, threads=1, label_rates="always"))
    with pytest.raises(BadSetting, match="nothing says when a label is known"):
        asking.fit(rows.take(train), rows.take(valid), timed)


def test_fitted_trees_come_back_with_their_labels(world, fitted, tmp_path):
    context, rows, (_, _, test), _ = world
    fitted.save(tmp_path)

    back = load_model(tmp_path)

    asked = rows.take(test)
    assert (back.predict(asked, context) == fitted.predict(asked, context)).all()
    with pytest.raises(ValueError, match="give the GraphContext"):
        back.predict(asked, None)
    (tmp_path / LABELS_FILE).write_bytes(b"no table")
    with pytest.raises(ArtefactInvalid, match=LABELS_FILE):
        load_model(tmp_path)


def test_every_column_says_what_it_is_in_plain_words(world, fitted):
    names = tuple(name for name in fitted.columns if ".label_" in name)

    phrases = label_phrases(fitted.columns)

    assert set(phrases) == set(names)
    assert phrases["any_meets:user.label_bad"] == (
        "number of bad training users met directly by meets user"
    )
    assert not [phrase for phrase in phrases.values() if "{" in phrase]

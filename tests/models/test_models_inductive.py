"""Users never seen in training are scored nearly as well, and unlabelled rows can teach."""

from dataclasses import replace

import numpy as np
import pytest

from graphguard.evaluate.metrics import auroc
from graphguard.models.base import open_model
from graphguard.models.propagated import PropagatedModel, PropagatedSettings

SETTINGS = {
    "trees": {"rounds": 60, "bags": 1, "threads": 1, "hops": 2},
    "propagated": {"hidden": 16, "epochs": 15, "batch_rows": 128, "learning_rate": 0.01},
    "sage": {"hidden": 16, "epochs": 12, "batch_rows": 128, "learning_rate": 0.01,
             "fanouts": (6, 4)},
}  # fmt: skip


def at(rows, anchor, nodes):
    return rows.take((rows.anchor_us == anchor) & np.isin(rows.node, nodes))


@pytest.mark.parametrize("family", SETTINGS)
def test_users_unseen_in_training_lose_at_most_a_few_points(platform, family):
    context, rows = platform
    known, unseen = np.arange(0, 600, 2), np.arange(1, 600, 2)
    model = open_model(family, SETTINGS[family])
    model.fit(at(rows, 20, known), at(rows, 40, known), context)

    found = []
    for nodes in (known, unseen):
        test = at(rows, 60, nodes)
        found.append(auroc(model.predict(test, context), test.label))

    assert found[1] > 0.75
    assert found[0] - found[1] <= 0.05


def small(**changes):
    return PropagatedSettings(hidden=16, epochs=1, batch_rows=128, learning_rate=0.01, **changes)


def test_pretraining_learns_to_guess_what_is_hidden(platform):
    context, rows = platform
    every = np.arange(600)
    models = [PropagatedModel(small(pretrain=8)) for _ in range(2)]
    for model in models:
        model.fit(at(rows, 20, every), at(rows, 40, every), context)

    curve = models[0].pretrain_curve
    assert len(curve) == 8
    assert curve[-1] < 0.9 * curve[0]
    test = at(rows, 60, every)
    assert (models[0].predict(test, context) == models[1].predict(test, context)).all()
    plain = PropagatedModel(small())
    plain.fit(at(rows, 20, every), at(rows, 40, every), context)
    assert plain.pretrain_curve == []
    assert (plain.predict(test, context) != models[0].predict(test, context)).any()


def test_pretraining_sees_no_label_and_nothing_later_than_training(platform):
    context, rows = platform
    every = np.arange(600)
    later = rows.anchor_us > 20
    x = rows.x.copy()
    x[later] += 3
    changed = replace(rows, x=x, label=1 - rows.label)
    curves = []
    for known in (rows, changed):
        model = PropagatedModel(small(pretrain=2))
        seen = replace(context, rows=known)
        model.fit(at(rows, 20, every), at(rows, 40, every), seen)
        curves.append(model.pretrain_curve)

    assert curves[0] == curves[1]

"""The columns that trees name move their score more than as many others by lot."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logit

from graphguard.evaluate.deletion import deletion_test
from graphguard.graph.hetero import HeteroGraph
from graphguard.models.base import GraphContext, Rows, open_model

ROWS, COLUMNS, TELLING, NAMED = 1_500, 12, 4, 2


@pytest.fixture(scope="module")
def trees():
    """Trees on twelve columns, of which four make somebody abusive, each alone."""
    draw = np.random.default_rng(6)
    x = draw.normal(size=(ROWS, COLUMNS)).astype(np.float32)
    label = (x[:, :TELLING] > 1.4).any(axis=1) ^ (draw.random(ROWS) < 0.02)
    anchor = np.repeat([20, 40, 60], ROWS // 3)
    names = tuple(f"c{n}" for n in range(COLUMNS))
    rows = Rows(np.arange(ROWS), anchor, x, names, label.astype(np.int8))
    context = GraphContext(HeteroGraph({"user": ROWS}, {}, {}), "user", 10, rows)
    model = open_model("trees", {"bags": 1, "rounds": 80, "threads": 1})
    parts = [rows.take(anchor == when) for when in (20, 40, 60)]
    model.fit(parts[0], parts[1], context)
    return model, parts[2], context


def without(model, rows, context, columns):
    """Log-odds with the given columns of each row at their median, columns of shape [n, k]."""
    x = rows.x.copy()
    np.put_along_axis(x, columns, np.median(rows.x, axis=0)[columns], axis=1)
    return logit(model.predict(replace(rows, x=x), context).astype(np.float64))


def test_named_columns_pass_the_deletion_test_and_shuffled_names_do_not(trees):
    model, rows, context = trees
    risky = rows.take(np.argsort(-model.predict(rows, context))[:100])
    pushes = model.contributions(risky, context)[:, :-1]
    named = np.argsort(-pushes, axis=1)[:, :NAMED]
    draw = np.random.default_rng(1)
    lot = np.argsort(draw.random(pushes.shape), axis=1)[:, :NAMED]
    shuffled = np.argsort(draw.random(pushes.shape), axis=1)[:, :NAMED]
    before = logit(model.predict(risky, context).astype(np.float64))

    def judged(columns):
        return deletion_test(
            before,
            without(model, risky, context, columns),
            without(model, risky, context, lot),
        )

    assert judged(named).passed
    assert judged(named).gain.value > 1
    assert not judged(shuffled).passed

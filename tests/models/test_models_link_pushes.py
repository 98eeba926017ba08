"""Which link moved a network's score: exact where all neighbours are seen, and found where not."""

import numpy as np
import polars as pl
import pytest
from scipy.special import logit

from graphguard.evaluate.deletion import deletion_test
from graphguard.evaluate.metrics import auroc
from graphguard.graph.arrays import EdgeArrays, NodeArrays
from graphguard.graph.build import write_graph
from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.without import without_edges
from graphguard.models.base import GraphContext, Rows, open_model
from graphguard.models.link_pushes import link_explainer_of

USES = ("user", "uses", "device")
FAMILIES = ("sage", "rgcn", "hgt", "dgl_rgcn")
USERS, DEVICES, EACH = 400, 120, 4
SMALL = {"hidden": 16, "epochs": 12, "batch_rows": 128, "learning_rate": 0.01, "seed": 5}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Users of four devices; abusive are those with one of the few devices that marked users share.

    A row's own columns are a mark that lies half of the time, and noise.
    """
    draw = np.random.default_rng(2)
    folder = tmp_path_factory.mktemp("graph")
    told = DEVICES // 10
    abusive = np.arange(USERS) % 4 == 0
    home = draw.integers(told, DEVICES, (USERS, EACH))
    home[abusive, 0] = draw.integers(0, told, int(abusive.sum()))
    mark = np.where(draw.random(USERS) < 0.5, abusive, 0).astype(float)
    days = (15, 35, 55)
    source = np.tile(np.repeat(np.arange(USERS), EACH), len(days))
    time = np.repeat(days, USERS * EACH)
    edges = EdgeArrays(source, np.tile(home.ravel(), len(days)), time, np.ones_like(source))
    nodes = {
        "user": NodeArrays(pl.Series([f"u{n:03}" for n in range(USERS)]), np.arange(USERS)),
        "device": NodeArrays(pl.Series([f"d{n:03}" for n in range(DEVICES)]), np.arange(DEVICES)),
    }
    write_graph(folder, nodes, [(USES, edges)], {}, 7)
    x = np.stack([mark, draw.normal(size=USERS)], axis=1).astype(np.float32)
    rows = Rows(
        node=np.tile(np.arange(USERS), 3),
        anchor_us=np.repeat((20, 40, 60), USERS),
        x=np.tile(x, (3, 1)),
        names=("mark", "noise"),
        label=np.tile(abusive, 3).astype(np.int8),
    )
    return GraphContext(HeteroGraph.open(folder), "user", 10, rows), rows


def at(rows, anchor):
    return rows.take(np.flatnonzero(rows.anchor_us == anchor))


def fitted(world, family, fanouts):
    context, rows = world
    model = open_model(family, {**SMALL, "fanouts": fanouts})
    model.fit(at(rows, 20), at(rows, 40), context)
    return model


def log_odds(model, rows, context, graph=None):
    seen = context if graph is None else GraphContext(graph, "user", 10, context.rows)
    return logit(model.predict(rows, seen).astype(np.float64))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_push_is_what_the_score_loses_in_a_graph_without_the_link(world, family):
    context, rows = world
    model = fitted(world, family, (60, 60))  # all neighbours are seen
    few = at(rows, 60).take(np.arange(6))
    found = model.link_pushes(few, context, every=True)
    before = log_odds(model, few, context)

    assert set(found.row.tolist()) == set(range(6))
    assert len(model.link_pushes(few, context)) == sum(
        int(one) == few.node[row] for row, one in zip(found.row, found.source, strict=True)
    )
    for link in range(0, len(found), 7):
        pair = (found.source[[link]], found.target[[link]])
        left = without_edges(context.graph, {found.relation[link]: pair})
        row = int(found.row[link])
        after = log_odds(model, few.take(np.array([row])), context, left)[0]
        assert found.push[link] == pytest.approx(before[row] - after, abs=2e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_leaving_out_the_named_link_lowers_the_score_more_than_another(world, family):
    # The named link was found in one sampled tree; the graph without it is sampled anew.
    context, rows = world
    model = fitted(world, family, (4, 6))
    bad = at(rows, 60)
    bad = bad.take(np.flatnonzero(bad.label == 1))
    found = model.link_pushes(bad, context)
    draw = np.random.default_rng(4)
    named, others = [], []
    for row in range(len(bad)):
        mine = np.flatnonzero(found.row == row)
        best = mine[np.argmax(found.push[mine])]
        out = context.graph.out(USES)
        low, high = out.window(bad.node[[row]], 50, 60)
        rest = sorted(set(out.neighbor[int(low[0]) : int(high[0])]) - {found.target[best]})
        named.append(found.target[best])
        others.append(draw.choice(rest))

    def judged(chosen):
        left = without_edges(context.graph, {USES: (bad.node, np.array(chosen))})
        return log_odds(model, bad, context, left)

    before = log_odds(model, bad, context)
    assert auroc(model.predict(at(rows, 60), context), at(rows, 60).label) > 0.7
    assert np.mean(np.array(named) < DEVICES // 10) > 0.4  # the planted one of four
    assert deletion_test(before, judged(named), judged(others)).passed
    assert not deletion_test(before, judged(others), judged(named)).passed


def test_a_model_without_links_has_none_and_a_stack_has_its_networks():
    sage = open_model("sage")
    stack = open_model("ensemble", {"members": ("trees", "sage")})
    stack.adopt({"trees": open_model("trees"), "sage": sage})

    assert link_explainer_of(open_model("trees")) is None
    assert link_explainer_of(sage) is sage
    assert link_explainer_of(stack) is sage


def test_nobody_asked_about_has_no_links(world):
    context, rows = world
    model = fitted(world, "sage", (3, 2))

    assert len(model.link_pushes(rows.take(np.zeros(0, dtype=np.int64)), context)) == 0

"""A search tries what it was given a budget for, the standing settings first, on one slice only."""

import sys
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from graphguard.errors import BadSetting, MissingExtra, TooFewLabels
from graphguard.graph.arrays import NodeArrays
from graphguard.graph.build import write_graph
from graphguard.graph.hetero import HeteroGraph
from graphguard.models.base import GraphContext, Rows, Upkeep, known_settings, open_model
from graphguard.models.search import SPACES, Slices, Span, Trial, best_of, search_settings

STANDING = {"rounds": 25, "patience": 10, "bags": 1, "threads": 1, "depth": 9, "seed": 4}


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    keys = pl.Series([f"u{n:04}" for n in range(900)])
    write_graph(folder, {"user": NodeArrays(keys, np.arange(900))}, [], {}, 7)
    draw = np.random.default_rng(3)
    x = draw.normal(size=(900, 5)).astype(np.float32)
    label = (x[:, 0] * x[:, 1] + draw.normal(size=900) > 1.2).astype(np.int8)
    rows = Rows(np.arange(900), np.full(900, 9), x, tuple("abcde"), label)
    context = GraphContext(HeteroGraph.open(folder), "user", 9, rows)
    return Slices(rows.take(np.arange(600)), rows.take(np.arange(600, 900)), context)


class Kept:
    """Remembers trials, and how often it was told of them."""

    def __init__(self, trials=()):
        self.trials, self.saved = list(trials), 0

    def load(self):
        return list(self.trials)

    def save(self, trials):
        self.trials, self.saved = list(trials), self.saved + 1


def test_the_budget_is_kept_and_the_standing_settings_come_first(slices):
    told = []
    tools = (Upkeep(lambda *step: told.append(step)), Kept())

    trials = search_settings("trees", STANDING, slices, 5, tools)

    assert len(trials) == 5
    assert trials[0].settings == {}
    assert told[-1] == (5, 5, "trees: search, trial 5")
    for trial in trials[1:]:
        assert set(trial.settings) == set(SPACES["trees"])
        assert 3 <= trial.settings["depth"] <= 8
        assert 0.02 <= trial.settings["learning_rate"] <= 0.1
    assert best_of(trials).auprc >= trials[0].auprc
    assert len({trial.auprc for trial in trials}) > 1


def test_the_same_search_makes_the_same_trials(slices):
    found = [search_settings("trees", STANDING, slices, 4) for _ in range(2)]
    other = search_settings("trees", {**STANDING, "seed": 5}, slices, 4)

    assert found[0] == found[1]
    assert found[0] != other


def test_a_killed_search_goes_on_where_it_was(slices, monkeypatch):
    whole = search_settings("trees", STANDING, slices, 4)
    fits = []
    monkeypatch.setattr(
        "graphguard.models.search.open_model",
        lambda name, settings: fits.append(settings) or open_model(name, settings),
    )
    memory = Kept(whole[:3])

    again = search_settings("trees", STANDING, slices, 4, (Upkeep(), memory))

    assert again == whole
    assert (len(fits), memory.saved, len(memory.trials)) == (1, 1, 4)
    # A trial of other settings is no trial of this search.
    false = Kept([Trial({}, whole[0].auprc), Trial({"depth": 3}, 0.99)])
    assert search_settings("trees", STANDING, slices, 2, (Upkeep(), false)) == whole[:2]


@pytest.mark.parametrize("family", SPACES)
def test_every_setting_of_a_space_is_one_of_the_model(family):
    if family == "dgl_rgcn":
        pytest.importorskip("dgl")

    assert set(SPACES[family]) <= set(known_settings(family))
    for one in SPACES[family].values():
        assert one.low < one.high if isinstance(one, Span) else len(one) > 1


def test_the_earlier_of_equal_trials_is_the_best():
    trials = [Trial({}, 0.5), Trial({"depth": 3}, 0.7), Trial({"depth": 4}, 0.7)]

    assert best_of(trials).settings == {"depth": 3}


def test_what_cannot_be_searched_is_refused(slices, monkeypatch):
    with pytest.raises(BadSetting, match="got 3 of 'ensemble'"):
        search_settings("ensemble", {}, slices, 3)
    with pytest.raises(BadSetting, match="got 0 of 'trees'"):
        search_settings("trees", STANDING, slices, 0)
    none = replace(slices.valid, label=np.zeros(300, dtype=np.int8))
    with pytest.raises(TooFewLabels):
        search_settings("trees", STANDING, replace(slices, valid=none), 1)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r"pip install 'graphguard\[search\]'"):
        search_settings("trees", STANDING, slices, 1)

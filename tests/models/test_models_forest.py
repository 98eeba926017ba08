"""Extremely randomised trees in XGBoost's format say what scikit-learn's trees say."""

from dataclasses import replace

import numpy as np
import pytest
import xgboost
from scipy.special import logit
from sklearn.ensemble import ExtraTreesClassifier

from graphguard.errors import ArtefactInvalid
from graphguard.models.base import Rows, load_model, read_model_file, write_model_file
from graphguard.models.forest import ForestRules, grow_forest, log_odds, log_odds_parts
from graphguard.models.trees import TreesModel, TreesSettings

RULES = ForestRules(trees=20, leaf_rows=3, positive_weight=1.0, seed=7, threads=1)
SMALL = TreesSettings(rounds=30, patience=10, bags=1, forests=2, forest_trees=20, threads=1)


def world(seed, count=600):
    """Columns 0 and 1 tell; column 2 has few values, and a tenth of all is missing."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 5)).astype(np.float32)
    label = (x[:, 0] + x[:, 1] > 0.7).astype(np.int8)
    x[:, 2] = np.round(x[:, 2])
    x[rng.random(x.shape) < 0.1] = np.nan
    names = tuple(f"c{number}" for number in range(5))
    return Rows(np.arange(count), np.full(count, 10), x, names, label)


def test_each_row_falls_into_the_leaves_that_scikit_learn_found():
    train, later = world(0), world(1)
    theirs = ExtraTreesClassifier(20, min_samples_leaf=3, max_features="sqrt", random_state=7)
    theirs.fit(train.x, train.label)

    ours = grow_forest(train.x, train.label, RULES)

    leaves, base = theirs.apply(later.x), train.label.mean()
    said = np.zeros(len(later))
    for column, one in enumerate(theirs.estimators_):
        rows = one.tree_.weighted_n_node_samples[leaves[:, column]]
        positives = rows * one.tree_.value[leaves[:, column], 0, 1]
        said += (positives + base) / (rows + 1) / 20
    margin = ours.predict(xgboost.DMatrix(later.x), output_margin=True)
    np.testing.assert_allclose(margin, said, atol=1e-5)
    np.testing.assert_allclose(log_odds(margin), logit(said), atol=1e-4)


def test_contributions_to_a_probability_add_up_to_its_log_odds():
    parts = np.array([[0.2, -0.1, 0.3, 0.4], [-0.2, -0.1, 0.0, 0.4], [0.0, 0.0, 0.0, 0.4]])

    made = log_odds_parts(parts)

    np.testing.assert_allclose(made.sum(axis=1), logit([0.8, 0.1, 0.4]), atol=1e-9)
    np.testing.assert_allclose(made[0, :3] / made[0, 0], [1.0, -0.5, 1.5])
    np.testing.assert_allclose(made[:, 3], logit(0.4))
    # Contributions that cancel out keep the slope of the log-odds there.
    still = log_odds_parts(np.array([[0.1, -0.1, 0.4]]))
    np.testing.assert_allclose(still[0, :2], [0.1 / 0.24, -0.1 / 0.24])


def test_forests_of_an_older_program_are_not_read_as_todays(tmp_path):
    model = TreesModel(SMALL)
    model.fit(world(0), world(1))
    model.save(tmp_path)
    facts = read_model_file(tmp_path)
    del facts["forest_margin"]
    write_model_file(tmp_path, facts)

    with pytest.raises(ArtefactInvalid, match="older program, whose forests"):
        load_model(tmp_path)


def test_a_value_on_a_threshold_goes_where_scikit_learn_sends_it():
    # Two values only: the threshold of a tree may be one of them.
    x = np.array([[1.0], [2.0]] * 20, dtype=np.float32)
    label = np.array([0, 1] * 20, dtype=np.int8)

    ours = grow_forest(x, label, replace(RULES, trees=200))

    values = xgboost.DMatrix(np.array([[1.0], [2.0]], dtype=np.float32))
    said = ours.predict(values, output_margin=True)
    assert said[0] < 0.05
    assert said[1] > 0.95


def test_forests_beside_boosters_add_up_to_the_score_and_come_back(tmp_path):
    model = TreesModel(SMALL)
    model.fit(world(0), world(1))
    later = world(2)

    model.save(tmp_path)
    again = load_model(tmp_path)

    score = model.predict(later)
    assert len(model.boosters) == 3
    assert (again.predict(later, None) == score).all()
    parts = model.contributions(later.take(np.arange(50)))
    np.testing.assert_allclose(parts.sum(axis=1), logit(score[:50].astype(float)), atol=1e-4)
    assert sum(model.gains.values()) == pytest.approx(1.0)
    assert {"c0", "c1"} == set(sorted(model.gains, key=model.gains.get)[-2:])


def test_the_same_seed_grows_the_same_forests_and_a_refit_grows_them_anew():
    model, again = TreesModel(SMALL), TreesModel(SMALL)
    model.fit(world(0), world(1))
    again.fit(world(0), world(1))
    both = world(3, count=1200)

    assert (model.predict(both) == again.predict(both)).all()
    model.refit(both)
    assert len(model.boosters) == 3
    assert (model.predict(both) != again.predict(both)).any()

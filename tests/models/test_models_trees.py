import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logit

from graphguard.errors import ArtefactInvalid, BadSetting, ColumnMissing, TooFewLabels
from graphguard.evaluate.metrics import auprc
from graphguard.models.base import Rows, load_model
from graphguard.models.boosters import pick_device, rounds_to_keep
from graphguard.models.trees import TreesModel, TreesSettings

SMALL = TreesSettings(rounds=40, patience=10, bags=2, learning_rate=0.2, threads=1)


def world(seed, count=1500, columns=6):
    """Rows where columns 0 and 1 tell: positive when their sum is high. A tenth is missing."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, columns)).astype(np.float32)
    label = (x[:, 0] + x[:, 1] + 0.5 * rng.normal(size=count) > 2.2).astype(np.int8)
    x[rng.random(x.shape) < 0.1] = np.nan
    x[:, -1] = 7.0  # a constant column
    names = tuple(f"c{number}" for number in range(columns))
    return Rows(np.arange(count), np.full(count, 10), x, names, label)


@pytest.fixture(scope="module")
def fitted():
    model = TreesModel(SMALL)
    model.fit(world(0), world(1))
    return model


def test_trees_find_what_tells(fitted):
    later = world(2)

    assert auprc(fitted.predict(later), later.label) > 0.6
    assert auprc(fitted.predict(later), later.label) > 4 * later.label.mean()
    ranked = sorted(fitted.gains, key=fitted.gains.get, reverse=True)
    assert set(ranked[:2]) == {"c0", "c1"}
    assert fitted.gains["c5"] == 0.0
    assert sum(fitted.gains.values()) == pytest.approx(1.0)


def test_probabilities_are_float32_in_the_unit_interval(fitted):
    said = fitted.predict(world(2))

    assert said.dtype == np.float32
    assert said.shape == (1500,)
    assert said.min() >= 0
    assert said.max() <= 1


def test_one_input_makes_the_same_bytes(fitted, tmp_path):
    again = TreesModel(replace(SMALL))
    again.fit(world(0), world(1))

    fitted.save(tmp_path / "a")
    again.save(tmp_path / "b")

    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["booster-0.ubj", "booster-1.ubj", "model.json"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_the_number_of_threads_does_not_matter(fitted):
    model = TreesModel(replace(SMALL, threads=2))
    model.fit(world(0), world(1))

    assert (model.predict(world(2)) == fitted.predict(world(2))).all()


def test_another_seed_makes_another_model(fitted):
    model = TreesModel(replace(SMALL, seed=99))
    model.fit(world(0), world(1))

    assert (model.predict(world(2)) != fitted.predict(world(2))).any()


def test_a_saved_model_comes_back(fitted, tmp_path):
    fitted.save(tmp_path)
    rows = world(2)

    model = load_model(tmp_path)

    assert (model.predict(rows, None) == fitted.predict(rows)).all()
    assert (model.embed(rows, None) == fitted.embed(rows)).all()
    assert model.gains == fitted.gains
    assert model.settings == fitted.settings


def test_contributions_add_up_to_the_score(fitted):
    rows = world(2).take(np.arange(50))

    moved = fitted.contributions(rows)

    assert moved.shape == (50, 7)
    expected = logit(fitted.predict(rows).astype(np.float64))
    assert moved.sum(axis=1) == pytest.approx(expected, abs=1e-4)
    assert (moved[:, 5] == 0).all()


def test_embeddings_have_one_width_and_length_one(fitted):
    vectors = fitted.embed(world(2))

    assert (vectors.shape, vectors.dtype) == ((1500, 64), np.float32)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert (vectors[:, 6:] == 0).all()


def test_rows_suspected_for_one_reason_are_neighbours(fitted):
    # Two kinds of abuse: by c0 alone, and by c1 alone.
    rows = world(2).take(np.arange(4))
    x = np.zeros((4, 6), dtype=np.float32)
    x[:2, 0] = [3.0, 2.8]
    x[2:, 1] = [3.0, 2.8]

    vectors = fitted.embed(replace(rows, x=x))

    assert vectors[0] @ vectors[1] > 0.95
    assert vectors[2] @ vectors[3] > 0.95
    assert vectors[0] @ vectors[2] < 0.5


def test_columns_are_found_by_name(fitted):
    rows = world(2)
    order = [3, 5, 0, 1, 4, 2]
    turned = replace(
        rows, x=rows.x[:, order].copy(), names=tuple(rows.names[number] for number in order)
    )

    assert (fitted.predict(turned) == fitted.predict(rows)).all()


def test_a_missing_column_is_named(fitted):
    rows = world(2, columns=4)

    with pytest.raises(ColumnMissing, match="table 'features' has no column 'c4'"):
        fitted.predict(rows)


def test_a_slice_without_positives_is_refused():
    rows = world(0)
    none = replace(rows, label=np.zeros(1500, dtype=np.int8))

    with pytest.raises(TooFewLabels, match="training slice: 0 positive and 1500 negative"):
        TreesModel(SMALL).fit(none, rows)
    with pytest.raises(TooFewLabels, match="selection slice: 0 positive"):
        TreesModel(SMALL).fit(rows, none)


def test_a_handful_of_positives_and_constant_columns_still_fit():
    # 3 positives in 40 rows, no column tells anything
    label = np.zeros(40, dtype=np.int8)
    label[:3] = 1
    rows = Rows(
        np.arange(40), np.zeros(40, np.int64), np.ones((40, 2), np.float32), ("a", "b"), label
    )
    model = TreesModel(SMALL)

    model.fit(rows, rows)

    assert np.ptp(model.predict(rows)) == 0
    assert model.gains == {"a": 0.0, "b": 0.0}
    assert (model.embed(rows) == 0).all()


def test_no_rows_make_no_scores(fitted):
    empty = world(2).take(np.arange(0))

    assert fitted.predict(empty).shape == (0,)
    assert fitted.embed(empty).shape == (0, 64)


def test_more_trees_are_kept_where_the_ranking_is_perfect_at_once():
    assert rounds_to_keep([1.0] * 6, [0.6, 0.5, 0.4, 0.3, 0.2, 0.1]) == 6


def test_one_lucky_round_does_not_stop_growth():
    lucky = [0.1, 0.9, 0.1, 0.1, 0.1, 0.5, 0.5, 0.5, 0.5, 0.5]

    assert rounds_to_keep(lucky, [1.0] * 10) > 5


@pytest.mark.parametrize("weight", ["balanced", 3.0])
def test_positive_weight_raises_probabilities(fitted, weight):
    model = TreesModel(replace(SMALL, positive_weight=weight))
    model.fit(world(0), world(1))

    assert model.predict(world(2)).mean() > fitted.predict(world(2)).mean()


def test_cuda_is_refused_where_the_build_has_none(monkeypatch):
    monkeypatch.setattr("xgboost.build_info", lambda: {"USE_CUDA": False})

    assert pick_device("auto") == "cpu"
    with pytest.raises(BadSetting, match="this xgboost build has no CUDA"):
        pick_device("cuda")


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "half"])
def test_a_damaged_booster_is_refused(fitted, tmp_path, damage):
    fitted.save(tmp_path)
    path = tmp_path / "booster-1.ubj"
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes({"empty": b"", "text": b"cos\nsystem\n", "half": content[:999]}[damage])

    with pytest.raises(ArtefactInvalid, match="booster-1.ubj: (file not found|SHA-256 is)"):
        load_model(tmp_path)


def test_a_booster_of_another_width_is_refused(fitted, tmp_path):
    fitted.save(tmp_path)
    content = json.loads((tmp_path / "model.json").read_text())
    content["columns"] = content["columns"][:4]
    (tmp_path / "model.json").write_text(json.dumps(content))

    with pytest.raises(ArtefactInvalid, match=r"has 6 columns, model.json 4"):
        load_model(tmp_path)


def test_a_refit_learns_from_both_slices_for_as_many_rounds(fitted):
    model = TreesModel(SMALL)
    first, second = world(0), world(1)
    model.fit(first, second)
    rounds = [booster.num_boosted_rounds() for booster in model.boosters]
    both = Rows(
        np.concatenate([first.node, second.node + 1500]),
        np.concatenate([first.anchor_us, second.anchor_us]),
        np.concatenate([first.x, second.x]),
        first.names,
        np.concatenate([first.label, second.label]),
    )

    model.refit(both)

    later = world(2)
    assert [booster.num_boosted_rounds() for booster in model.boosters] == rounds
    assert auprc(model.predict(later), later.label) > auprc(fitted.predict(later), later.label)

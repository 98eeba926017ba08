import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from graphguard.errors import ArtefactInvalid, TooFewLabels
from graphguard.evaluate.metrics import expected_calibration_error, log_loss
from graphguard.models.calibrate import Calibrator, fit_calibrator


def skewed_world(seed, count=20_000, shift=-3.0, slope=0.6):
    """Scores that are far too sure: the truth is logit(p) = slope * logit(score) + shift."""
    rng = np.random.default_rng(seed)
    score = expit(rng.normal(-1, 2, size=count)).astype(np.float32)
    chance = expit(slope * np.log(score / (1 - score)) + shift)
    return score, (rng.random(count) < chance).astype(np.int8), chance


def test_probabilities_are_the_true_chances_on_another_sample():
    score, label, _ = skewed_world(0)
    fresh, fresh_label, chance = skewed_world(1)

    said = fit_calibrator(score, label).apply(fresh)

    assert np.abs(said - chance).max() < 0.03
    assert said.mean() == pytest.approx(fresh_label.mean(), rel=0.1)
    assert expected_calibration_error(said, fresh_label) < 0.005
    assert log_loss(said, fresh_label) < log_loss(fresh, fresh_label)


@pytest.mark.parametrize(("positives", "forms"), [(5, 0), (50, 3), (300, 4)])
def test_freer_forms_take_part_only_with_enough_positives(positives, forms):
    rng = np.random.default_rng(2)
    label = np.repeat([1, 0], [positives, 5000])
    score = expit(rng.normal(size=len(label)) + 2 * label)

    made = fit_calibrator(score, label)

    assert len(made.log_loss) == forms
    assert made.positives == positives
    assert made.method == "logistic"  # the truth, by the way the scores were drawn


def test_isotonic_wins_where_the_truth_has_a_step():
    # below one half: 1 in 100; above: 60 in 100. No smooth form can say that.
    rng = np.random.default_rng(3)
    score = rng.random(20_000)
    label = (rng.random(20_000) < np.where(score < 0.5, 0.01, 0.6)).astype(int)

    made = fit_calibrator(score, label)

    assert made.method == "isotonic"
    assert made.apply(np.array([0.2, 0.8])) == pytest.approx([0.01, 0.6], abs=0.04)


def test_of_few_positives_beside_a_step_the_mean_of_both_curves_is_taken():
    # A smooth trend with a step on it: 60 positives know of the step, and not how high it is.
    rng = np.random.default_rng(31)
    score = expit(rng.normal(-4, 1, 6000))
    chance = np.where(score > 0.08, 0.25, 0.3 * score)
    label = (rng.random(6000) < chance).astype(int)

    made = fit_calibrator(score, label)

    mean = made.apply(score)
    both = (replace(made, method="beta", knots=(), values=()), replace(made, method="isotonic"))
    assert made.method == "mean"
    assert made.line == (1.0, 0.0)
    assert mean == pytest.approx(0.5 * sum(one.apply(score) for one in both), abs=1e-9)
    assert log_loss(mean, label) < log_loss(both[0].apply(score), label)


ANY_SCORES = st.lists(st.floats(0, 1, width=32), min_size=2, max_size=30, unique=True)


@pytest.fixture(scope="module")
def forms():
    step = np.random.default_rng(4).random(4000)
    return {
        "logistic": fit_calibrator(*skewed_world(5, count=60, shift=0.0)[:2]),
        "beta": Calibrator("beta", (0.0, 3.0, -2.0), (), (), 9, 3, {}),
        "isotonic": fit_calibrator(step, (step > 0.5).astype(int)),
        "mean": Calibrator(
            "mean", (0.4, 2.0, -2.0), (-1.0, 2.0), (0.1, 0.1), 9, 3, {}, line=(0.7, 0.3)
        ),
        "flat": Calibrator("logistic", (0.0, 0.0, -2.0), (), (), 9, 3, {}),
        "steep": Calibrator("beta", (20.0, 20.0, 30.0), (), (), 9, 3, {}),
    }


@settings(deadline=None)
@given(scores=ANY_SCORES)
def test_no_two_scores_become_equal_or_change_places(forms, scores):
    rising = np.sort(np.array(scores, dtype=np.float32))
    rising = rising[np.concatenate([[True], np.diff(rising) > 0])]

    for name, calibrator in forms.items():
        said = calibrator.apply(rising)
        assert (np.diff(said) > 0).all(), name
        assert said.min() >= 0, name
        assert said.max() <= 1, name


@pytest.mark.parametrize("around", [1e-40, 1e-6, 0.3, 0.5, 0.9, 0.9999])
def test_neighbouring_float32_scores_stay_apart(forms, around):
    start = np.float32(around)
    rising = [start]
    for _ in range(50):
        rising.append(np.nextafter(rising[-1], np.float32(1)))

    for name, calibrator in forms.items():
        assert (np.diff(calibrator.apply(np.array(rising))) > 0).all(), name


def test_row_order_does_not_matter():
    score, label, _ = skewed_world(6, count=3000)
    order = np.random.default_rng(7).permutation(3000)

    assert fit_calibrator(score[order], label[order]) == fit_calibrator(score, label)


def test_scores_that_tell_nothing_become_the_base_rate():
    rng = np.random.default_rng(8)
    score, label = rng.random(4000), (rng.random(4000) < 0.05).astype(int)

    said = fit_calibrator(score, label).apply(score)

    assert said == pytest.approx(np.full(4000, label.mean()), abs=0.03)


def test_separable_scores_leave_some_doubt():
    score = np.array([0.01, 0.02, 0.03, 0.9, 0.95])
    label = np.array([0, 0, 0, 1, 1])

    said = fit_calibrator(score, label).apply(score)

    assert 0.6 < said[-1] < 0.99
    assert 0.005 < said[0] < 0.4


def test_equal_scores_become_the_base_rate():
    said = fit_calibrator(np.full(100, 0.5), np.repeat([1, 0], [10, 90])).apply(np.array([0.5]))

    assert said[0] == pytest.approx(0.1, abs=0.002)


@pytest.mark.parametrize("count", [60, 20_000])
def test_a_saved_calibrator_comes_back_byte_for_byte(tmp_path, count):
    score, label, _ = skewed_world(9, count=count, shift=-1.0)
    made = fit_calibrator(score, label)

    made.save(tmp_path / "a.json")
    again = Calibrator.load(tmp_path / "a.json")
    again.save(tmp_path / "b.json")

    assert again == made
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert (again.apply(score) == made.apply(score)).all()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"method": "pickle"}, "unknown method 'pickle'"),
        ({"coefficients": [1, 2]}, "not a calibrator"),
        ({"coefficients": [-1, 2, 0]}, "a and b must be 0 or more"),
        ({"coefficients": [1, 2, "nan"]}, "not finite"),
        ({"knots": [1.0], "values": []}, "1 knots and 0 values"),
        ({"method": "isotonic"}, "0 knots"),
        ({"method": "mean"}, "0 knots"),
        ({"line": [0, 1]}, "slope of a line must be above 0"),
        ({"line": [1]}, "not a calibrator"),
        ({"method": "isotonic", "knots": [1, 2], "values": [0.5, 0.4]}, "must not fall"),
        ({"method": "isotonic", "knots": [1, 2], "values": [0.5, 1.5]}, r"in \[0, 1\]"),
        ({"log_loss": 3}, "not a calibrator"),
    ],
)
def test_a_file_that_is_no_increasing_map_is_refused(tmp_path, change, told):
    path = tmp_path / "calibrator.json"
    Calibrator("beta", (1.0, 1.0, 0.0), (), (), 9, 3, {}).save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))

    with pytest.raises(ArtefactInvalid, match=told):
        Calibrator.load(path)


def test_an_older_programs_calibrator_stands_at_the_level_of_its_slices(tmp_path):
    path = tmp_path / "calibrator.json"
    made = fit_calibrator(*skewed_world(15, count=500, shift=0.0)[:2])
    made.save(path)
    content = json.loads(path.read_text())
    for name in ("share", "worth", "follows", "line"):
        del content[name]
    path.write_text(json.dumps(content))

    assert Calibrator.load(path) == made


def test_a_slice_of_one_class_is_refused():
    with pytest.raises(TooFewLabels, match="calibration slice: 0 positive and 3 negative"):
        fit_calibrator(np.array([0.1, 0.2, 0.3]), np.zeros(3))


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1])
def test_a_score_that_is_no_probability_is_refused(bad):
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        fit_calibrator(np.array([0.1, bad]), np.array([0, 1]))


def two_slices(rings_enforced):
    """In each slice 2,000 lone users with true chances, and 4 rings of 20 of like, high scores.

    `rings_enforced` of each slice's rings are enforced, as a whole.
    """
    rng = np.random.default_rng(21)
    score, label, ring = [], [], []
    for number, enforced in enumerate(rings_enforced):
        lone = expit(rng.normal(-4, 1, 2000))
        score.append(np.concatenate([lone, np.full(80, 0.5) + rng.normal(0, 0.01, 80)]))
        fate = np.repeat(np.arange(4) < enforced, 20)
        label.append(np.concatenate([rng.random(2000) < lone, fate]).astype(int))
        ring.append(np.concatenate([np.arange(2000), np.repeat(np.arange(2000, 2004), 20)]))
        ring[-1] += 10_000 * number
    part = np.repeat([0, 1], [len(one) for one in label])
    return np.concatenate(score), np.concatenate(label), np.concatenate(ring), part


def test_what_a_slice_is_worth_to_another_flattens_the_curve():
    # all four rings came true in one slice, none in the other: who knows of the next four?
    score, label, ring, part = two_slices((4, 0))

    told, untold = fit_calibrator(score, label, ring, part), fit_calibrator(score, label)

    assert told.slope < 0.88
    assert told.apply(np.array([0.5])) < 0.95 * untold.apply(np.array([0.5]))
    assert told.apply(score).sum() == pytest.approx(label.sum(), rel=0.1)
    assert fit_calibrator(*two_slices((2, 2))).slope > told.slope + 0.03


def test_slices_of_unlike_shares_of_positives_are_worth_as_much_to_each_other():
    # the same scores rank as well in both, but in one three times as many come true
    score, label, _ = skewed_world(13, count=20_000, shift=-1.0)
    part = np.arange(20_000) % 2
    fewer = label.copy()
    fewer[(part == 0) & (np.arange(20_000) % 3 > 0)] = 0

    found = fit_calibrator(score, fewer, None, part)

    assert found.slope > 0.9
    assert found.apply(score).mean() == pytest.approx(fewer.mean(), abs=1e-4)


def test_the_share_of_earlier_anchors_weighs_a_half():
    score, label, _ = skewed_world(14, count=20_000)

    found = fit_calibrator(score, label, earlier=3 * float(label.mean()))

    assert found.apply(score).mean() == pytest.approx(2 * label.mean(), rel=1e-3)


def test_slices_that_agree_are_hardly_flattened():
    score, label, _ = skewed_world(11, count=20_000, shift=-1.0)
    part = np.arange(20_000) % 2

    assert fit_calibrator(score, label, None, part).slope > 0.97
    assert fit_calibrator(score, label).slope == 1.0


def test_a_slice_without_positives_cannot_say_what_another_is_worth():
    score, label, _ = skewed_world(12, count=3000)
    part = label.copy()

    assert fit_calibrator(score, label, None, part).slope == 1.0


def test_rings_flatten_less_than_rows_would():
    # the same counts: four rings prove less against the prior than eighty users
    score, label, ring, part = two_slices((4, 0))

    by_ring = fit_calibrator(score, label, ring, part).slope
    by_row = fit_calibrator(score, label, None, part).slope

    assert by_row < by_ring < 1

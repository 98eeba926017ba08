import numpy as np
import pytest
from scipy.stats import ks_2samp

from graphguard.evaluate.drift import DriftLimits, Past, drift_report, ks_statistic, psi


def test_psi_of_a_known_shift():
    # two bins at the median 0: half and half before, 1 of 4 and 3 of 4 now (with half a row added)
    before = np.repeat([0.0, 1.0], 1000)
    now = np.repeat([0.0, 1.0], [500, 1500])
    shares = np.array([500.5, 1500.5]) / 2001

    index, p_value = psi(before, now, bins=2)

    assert index == pytest.approx(np.sum((shares - 0.5) * np.log(shares / 0.5)))
    assert p_value < 1e-50


def test_missing_values_are_a_bin_of_their_own():
    before = np.arange(1000.0)
    now = np.where(np.arange(1000) % 2 == 0, np.nan, before)

    assert psi(before, before)[0] == 0.0
    assert psi(before, now)[0] > 0.25
    assert psi(np.full(5, np.nan), np.full(9, np.nan)) == (0.0, 1.0)
    assert psi(np.full(50, np.nan), np.ones(50))[0] > 0.25


def test_p_values_are_honest_where_nothing_changed():
    rng = np.random.default_rng(0)

    p_values = [psi(rng.normal(size=500), rng.normal(size=300))[1] for _ in range(400)]

    assert np.mean(np.array(p_values) < 0.05) < 0.09


def test_ks_agrees_with_scipy():
    rng = np.random.default_rng(1)
    before, now = rng.integers(0, 20, 80) / 4, rng.integers(3, 22, 60) / 4

    assert ks_statistic(before, now) == pytest.approx(ks_2samp(before, now).statistic)
    assert ks_statistic(np.array([np.nan]), now) == 0.0


def test_small_samples_do_not_raise_an_alarm():
    # 60 rows a side: the index alone would be amber or red half the time
    rng = np.random.default_rng(2)

    verdicts = [
        drift_report(rng.normal(size=(60, 5)), rng.normal(size=(60, 5)), "abcde").verdict
        for _ in range(60)
    ]

    assert verdicts.count("green") >= 59


def test_one_moved_column_of_many_is_amber_and_many_are_red():
    rng = np.random.default_rng(4)
    before, now = rng.normal(size=(800, 50)), rng.normal(size=(800, 50))
    names = [f"c{number}" for number in range(50)]
    now[:, 0] *= 5

    one = drift_report(before, now, names)
    now[:, 1] *= 5
    two = drift_report(before, now, names)

    assert (one.verdict, one.reason[:24]) == ("amber", "1 of 50 columns have mov")
    assert (two.verdict, two.red_share) == ("red", 0.04)
    assert drift_report(before, now, names, DriftLimits(red_share=0.5)).verdict == "amber"


def test_one_moved_column_that_the_model_rests_on_is_red():
    rng = np.random.default_rng(4)
    before, now = rng.normal(size=(800, 50)), rng.normal(size=(800, 50))
    names = [f"c{number}" for number in range(50)]
    now[:, 3] *= 5

    report = drift_report(before, now, names, past=Past(gains={"c3": 0.4, "c4": 0.6}))

    assert (report.verdict, report.red_gain) == ("red", 0.4)
    assert "40% of the model's gain is on those that moved far, most 'c3'" in report.reason


def test_a_column_that_never_stands_still_may_move_as_it_did():
    # the column grows by 1 from anchor to anchor; tonight by 1 again, then by 4
    rng = np.random.default_rng(5)
    anchors = [rng.normal(size=(900, 1)) + step for step in range(4)]
    past = Past(anchors[:2])

    usual = drift_report(anchors[2], anchors[3], ["age"], past=past)
    jump = drift_report(anchors[2], anchors[2] + 4, ["age"], past=past)
    unknown = drift_report(anchors[2], anchors[3], ["age"])

    assert usual.verdict == "green"
    assert jump.verdict == unknown.verdict == "red"
    assert jump.columns[0].usual > 0.5


def test_a_few_columns_that_leap_from_where_they_stood_still_make_the_night_red():
    # 400 columns: three leap; or three move as far that have moved half as far before
    rng = np.random.default_rng(6)
    names = [f"c{number}" for number in range(400)]
    anchors = [rng.normal(size=(900, 400)) for _ in range(4)]
    restless = [one.copy() for one in anchors]
    for rows in (anchors, restless):
        rows[3][:, :3] += 0.9
    restless[1][:, :3] += 0.6

    leapt = drift_report(anchors[2], anchors[3], names, past=Past(anchors[:2]))
    moved = drift_report(restless[2], restless[3], names, past=Past(restless[:2]))
    anchors[3][:, 2] -= 0.9
    two = drift_report(anchors[2], anchors[3], names, past=Past(anchors[:2]))

    assert (leapt.verdict, leapt.leap_share) == ("red", 3 / 400)
    assert "0.8% of all leapt from where they had stood still" in leapt.reason
    assert (moved.verdict, moved.leap_share) == ("amber", 0.0)
    assert (two.verdict, two.leap_share) == ("amber", 0.0)


def test_leaps_in_a_scope_that_has_moved_far_before_are_no_news():
    # three columns leap; a fourth of their scope, or of another one, moves as far as once before
    rng = np.random.default_rng(7)
    anchors = [rng.normal(size=(900, 400)) for _ in range(4)]
    anchors[3][:, :3] += 0.9
    for moved in (1, 3):
        anchors[moved][:, 3] += 3.0
    names = [f"uses.c{number}" for number in range(400)]
    names[:3] = ["likes.a", "likes.b", "likes.c"]
    past = Past(anchors[:2])

    still = drift_report(anchors[2], anchors[3], names, past=past)
    names[3] = "likes.d"
    restless = drift_report(anchors[2], anchors[3], names, past=past)

    assert next(one for one in still.columns if one.name == "uses.c3").usual > 1
    assert (still.verdict, still.leap_share) == ("red", 3 / 400)
    assert (restless.verdict, restless.leap_share) == ("amber", 0.0)
    assert restless.red_share == still.red_share


def test_of_many_rows_some_are_compared():
    rows = np.arange(100_000.0)[:, None]

    report = drift_report(rows, rows[::2], ["a"])

    assert (report.verdict, report.columns[0].psi < 1e-4) == ("green", True)


def test_constant_columns_do_not_drift():
    report = drift_report(np.zeros((30, 1)), np.zeros((20, 1)), ["zero"])

    assert (report.verdict, report.columns[0].psi) == ("green", 0.0)


def test_a_side_without_rows_is_refused():
    with pytest.raises(ValueError, match="found 0 and 3"):
        psi(np.empty(0), np.ones(3))
    with pytest.raises(ValueError, match="2 names for 1 columns before"):
        drift_report(np.ones((3, 1)), np.ones((3, 1)), ["a", "b"])

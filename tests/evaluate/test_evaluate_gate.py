import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binomtest

from graphguard.evaluate.drift import Past
from graphguard.evaluate.gate import GateInputs, LabelCount, drift_gate, label_flow, score_tail

NAMES = [f"c{number}" for number in range(10)]


def night(seed=0, **changes):
    """Four anchors of 700 rows and 10 columns, three of scores, three of labels: nothing moves."""
    rng = np.random.default_rng(seed)
    given = {
        "rows": [rng.normal(size=(700, 10)) for _ in range(4)],
        "names": NAMES,
        "scores": [expit(rng.normal(-4, 1, 700)) for _ in range(3)],
        "labels": [LabelCount(int(rng.poisson(30)), 700) for _ in range(3)],
        "past": Past(),
    }
    return GateInputs(**{**given, **changes})


def test_a_night_like_the_others_is_green():
    verdicts = [drift_gate(night(seed)).verdict for seed in range(40)]

    assert verdicts.count("green") >= 39
    assert "red" not in verdicts


def test_a_score_that_moved_alone_makes_the_night_red():
    moved = [*night().scores[:2], expit(np.random.default_rng(1).normal(-2, 1, 700))]

    report = drift_gate(night(scores=moved))

    assert report.verdict == "red"
    assert "the score has moved (PSI " in report.reason
    assert report.features.verdict == "green"


def test_many_more_users_among_the_highest_make_the_night_red():
    # 700 rows: 7 above the reference's 99% mark; tonight 70 more join the very highest
    calm = night().scores
    wave = calm[2].copy()
    wave[:70] = calm[1].max()

    report = drift_gate(night(scores=[*calm[:2], wave]))

    assert report.verdict == "red"
    assert report.score.verdict != "red"
    assert [shift.verdict for shift in report.tail] == ["red"]
    assert "times as many users score above the 99% mark" in report.reason


def test_ties_at_the_mark_are_no_tail():
    # nine in ten have one score: as many as ever lie above the mark, none
    flat = np.concatenate([np.full(90, 0.2), np.full(10, 0.1)])

    shifts = score_tail(flat, np.concatenate([flat, flat]))

    assert [(shift.ratio, shift.verdict) for shift in shifts] == [(0.0, "green")]


@pytest.mark.parametrize("newest", [3, 110])
def test_labels_that_stop_or_flood_make_the_night_red(newest):
    counts = [LabelCount(30, 700), LabelCount(34, 700), LabelCount(newest, 700)]

    report = drift_gate(night(labels=counts))

    assert report.verdict == "red"
    assert f"({newest} independent ones in 700 rows, 64 in 1400 before)" in report.reason


def test_labels_that_vary_as_rings_do_are_no_drift():
    # twice as many as before: beyond chance, but not beyond what rings make of a fortnight
    flow = label_flow([LabelCount(30, 700), LabelCount(30, 700), LabelCount(64, 700)])

    assert flow.p_value < 1e-3
    assert (flow.verdict, round(flow.ratio, 2)) == ("green", 2.13)


def test_labels_that_vary_as_widely_before_are_no_drift():
    # three times the mean of the past, but not twice the highest of it
    flow = label_flow([LabelCount(10, 700), LabelCount(60, 700), LabelCount(120, 700)])

    assert (flow.verdict, round(flow.ratio, 2)) == ("green", 3.43)
    assert label_flow([*(LabelCount(35, 700),) * 2, LabelCount(120, 700)]).verdict == "red"


def test_the_p_value_of_a_label_flow_is_that_of_the_binomial():
    flow = label_flow([LabelCount(20, 300), LabelCount(9, 500)])
    exact = binomtest(9, 29, 500 / 800, alternative="less").pvalue

    assert flow.p_value == pytest.approx(2 * exact)


def test_a_first_anchor_without_positives_is_no_division_by_zero():
    assert label_flow([LabelCount(0, 300), LabelCount(0, 300)]).verdict == "green"
    assert label_flow([LabelCount(0, 300), LabelCount(40, 300)]).verdict == "red"


def test_one_anchor_is_refused():
    with pytest.raises(ValueError, match="rows of two anchors, got 1"):
        drift_gate(night(rows=night().rows[:1]))

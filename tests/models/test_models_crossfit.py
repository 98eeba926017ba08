import numpy as np
import pytest
from scipy.special import expit

from graphguard.errors import TooFewLabels
from graphguard.models.crossfit import HeldOut, cross_fit


def held_out(seed=0, count=3000):
    rng = np.random.default_rng(seed)
    score = expit(rng.normal(-2, 1.5, count))
    label = (rng.random(count) < score**1.5).astype(int)
    part = rng.choice(["select", "calibrate", "certify"], count)
    return HeldOut(score, label, part, part == "select", np.arange(count))


def test_no_row_is_told_by_a_calibrator_that_saw_its_label():
    rows = held_out()
    mine = rows.slice_ == "certify"
    flipped = HeldOut(
        rows.score, np.where(mine, 1 - rows.label, rows.label), rows.slice_, rows.day, rows.group
    )

    whole, told = cross_fit(rows)
    other, again = cross_fit(flipped)

    assert (told[mine] == again[mine]).all()
    assert not (told[~mine] == again[~mine]).any()
    assert whole != other


def test_the_calibrator_that_scores_has_learned_from_all_rows():
    rows = held_out()

    whole, told = cross_fit(rows)

    assert (whole.rows, whole.positives) == (3000, int(rows.label.sum()))
    assert np.abs(whole.apply(rows.score) - told).max() < 0.1


def test_positives_in_one_slice_alone_are_refused():
    rows = held_out()
    alone = HeldOut(
        rows.score, rows.label * (rows.slice_ == "select"), rows.slice_, rows.day, rows.group
    )

    with pytest.raises(TooFewLabels, match="calibration slice: 0 positive"):
        cross_fit(alone)

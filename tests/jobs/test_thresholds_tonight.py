"""A certified threshold follows a night's level upwards and never comes down."""

import numpy as np
import pytest
from scipy.special import expit

from graphguard.jobs.decide import thresholds_tonight
from graphguard.models.calibrate import Calibrator
from graphguard.tables.files import write_json


class Stages:
    """The files of a run's stages, as `Run.file` finds them."""

    def __init__(self, folder):
        self.folder = folder

    def stage(self, name):
        return self.folder / name

    def file(self, stage, name):
        return self.folder / stage / name


@pytest.fixture
def at_level(tmp_path):
    """The thresholds of a night at a level; as certified, 0.6 stands between raw .5 and .7."""

    def made(shift):
        for stage in ("train", "embed"):
            (tmp_path / stage).mkdir(exist_ok=True)
        held = {"ban": {"threshold": 0.6, "ends": [0.5, 0.7]}, "limit": {"threshold": None}}
        write_json(tmp_path / "train" / "metrics.json", {"thresholds": held})
        tonight = Calibrator("logistic", (1.0, 1.0, shift), (), (), 9, 3, {})
        tonight.save(tmp_path / "embed" / "calibrator.json")
        return thresholds_tonight(Stages(tmp_path)), tonight

    return made


def test_at_a_higher_level_the_same_raw_scores_lie_above(at_level):
    found, tonight = at_level(1.0)

    assert found["ban"] == pytest.approx((expit(1.0) + expit(1.0 + np.log(7 / 3))) / 2, abs=1e-5)
    assert (tonight.apply(np.array([0.5, 0.7])) >= found["ban"]).tolist() == [False, True]


def test_at_a_lower_level_the_threshold_stays(at_level):
    assert at_level(-1.0)[0]["ban"] == 0.6


def test_an_action_that_was_not_certified_has_none(at_level):
    assert at_level(1.0)[0]["limit"] is None


def test_a_night_of_an_older_program_stands_where_it_was_certified(at_level, tmp_path):
    at_level(1.0)
    held = {"thresholds": {"ban": {"threshold": 0.6}}}
    write_json(tmp_path / "train" / "metrics.json", held)
    (tmp_path / "train" / "model").mkdir()
    (tmp_path / "embed" / "calibrator.json").rename(tmp_path / "train/model/calibrator.json")

    assert thresholds_tonight(Stages(tmp_path)) == {"ban": 0.6}

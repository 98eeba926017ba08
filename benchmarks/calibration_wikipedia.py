"""Do probabilities mean what they say on a real log: users of Wikipedia who began in 2014?

Protocol P3 of wikipedia_vandals (`benchmarks/sets/wikipedia.py`): a family learns from users who
began before 2014, is calibrated on the newest fifth of these, learns from that fifth too where it
can, as a night does, and says of every later user how likely it is to be blocked as a vandal.
"""

import argparse
import sys
from typing import Any

import numpy as np
from calibration import say_calibration
from numpy.typing import NDArray
from result import print_result, say
from sets.task import Split, Task
from sets.wikipedia import began_us, load_later

from graphguard.evaluate.calibration import CalibrationReport, calibration_report
from graphguard.evaluate.metrics import expected_calibration_error
from graphguard.evaluate.ranking import Floats
from graphguard.models.base import MODELS, Refits, open_model
from graphguard.models.calibrate import Calibrator, fit_calibrator

FIVE, TEN = 5, 10


def main() -> int:
    """Fit, calibrate, judge; end with the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", default="trees", choices=sorted(MODELS))
    options = parser.parse_args()
    task = load_later()
    (split,) = task.splits
    said, calibrator = probabilities(task, split, options.family)
    label = labels(task, split.test)
    found = calibration_report(said, label, bins=FIVE)
    say_calibration(found, f"{len(label):,} later users, {options.family}")
    say(
        f"calibrator {calibrator.method}, follows the night: {calibrator.follows}, expects "
        f"{calibrator.share:.3f} positives, there are {label.mean():.3f}"
    )
    finer = expected_calibration_error(said, label, TEN)
    print_result(figures(found, options.family) | {"ece_of_ten": round(finer, 4)})
    return 0


def probabilities(task: Task, split: Split, family: str) -> tuple[Floats, Calibrator]:
    """Calibrated probability of each test row; its calibrator never saw a test label."""
    rows = task.rows
    model = open_model(family, dict(task.settings.get(family, {})))
    valid = rows.take(split.valid)
    model.fit(rows.take(split.train), valid, task.context)
    # Two slices in time, as a night has them, divided as the protocol divides its users.
    began = began_us()[split.valid]
    late = began >= np.median(began)
    raw = model.predict(valid, task.context)
    calibrator = fit_calibrator(raw, labels(task, split.valid), part=late)
    if isinstance(model, Refits):
        both = np.sort(np.concatenate([split.train, split.valid]))
        model.refit(rows.take(both), task.context)
    raw = model.predict(rows.take(split.test), task.context)
    tonight = calibrator.tonight(raw)
    return tonight.apply(raw).astype(np.float64), tonight


def labels(task: Task, places: NDArray[np.int64]) -> NDArray[np.int8]:
    """Labels of rows of the task."""
    if task.rows.label is None:
        message = "the task's rows carry no label"
        raise ValueError(message)
    return task.rows.label[places]


def figures(found: CalibrationReport, family: str) -> dict[str, Any]:
    """What the RESULT line says."""
    return {
        "family": family,
        "reliability_slope": round(found.slope, 4),
        "diagram_slope": round(found.diagram_slope, 4),
        "expected_over_observed": [round(one, 4) for one in found.expected_over_observed],
        "brier_skill": round(found.brier_skill, 4),
        "ece": round(found.ece, 4),
        "top_gap": round(abs(found.top_said - found.top_seen), 4),
    }


if __name__ == "__main__":
    sys.exit(main())

"""What the quality benchmarks share: the scores of a run's models, and intervals as cells."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graphguard.evaluate.bootstrap import Interval
from graphguard.models.base import GraphContext, Rows, load_model
from graphguard.models.calibrate import Calibrator
from graphguard.tables.files import read_json
from graphguard.tables.workspace import Run


def scores_of(run: Run, rows: Rows, context: GraphContext) -> dict[str, NDArray[np.float64]]:
    """Calibrated probability of each row by each of the run's models."""
    found = {}
    for name, folder in model_folders(run).items():
        raw = load_model(folder).predict(rows, context)
        found[name] = Calibrator.load(folder / "calibrator.json").apply(raw).astype(np.float64)
    return found


def champion_of(run: Run) -> str:
    """Name of the run's champion."""
    return str(read_json(run.file("train", "metrics.json"))["champion"])


def model_folders(run: Run) -> dict[str, Path]:
    """Folders of the champion and its challengers by model name."""
    train = run.stage("train")
    found = {champion_of(run): train / "model"}
    others = train / "challengers"
    if others.is_dir():
        found |= {one.name: one for one in sorted(others.iterdir())}
    return found


def as_list(found: Interval) -> list[float]:
    """Value, low and high, four digits."""
    return [round(found.value, 4), round(found.low, 4), round(found.high, 4)]


def as_cell(found: Interval) -> str:
    """Value and interval as a cell of a table."""
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"

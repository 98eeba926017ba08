"""A night that is killed while it trains keeps what is done, and ends as if nothing had been."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from graphguard.jobs.fitting import fitted_before
from graphguard.jobs.nightly import Night, run_night
from graphguard.models.base import Rows
from graphguard.models.trees import TreesModel, TreesSettings
from graphguard.tables.files import read_json
from graphguard.tables.workspace import Workspace

SAGE = {"epochs": 3, "fanouts": [4, 2], "hidden": 16, "batch_rows": 64}
DAY = "2026-01-22"


def trained(command, point=None):
    """Run the stage in a process of its own, killed at a point; its exit code and its notes."""
    env = {**os.environ, "GRAPHGUARD_KILL_AT": point} if point else dict(os.environ)
    ended = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
    lines = [json.loads(line) for line in ended.stderr.splitlines() if line.startswith("{")]
    return ended.returncode, lines


@pytest.mark.slow
def test_a_stage_killed_in_training_ends_with_the_same_models_and_scores(make_config, tmp_path):
    training = {"models": ["trees", "sage"], "sage": SAGE}
    config = make_config(training={**training, "trees": {"rounds": 20}})
    run = run_night(Night(config, last="featurize"))
    calm = tmp_path / "calm"
    shutil.copytree(config.workspace_folder, calm)
    text = (tmp_path / "config.yaml").read_text()
    (tmp_path / "calm.yaml").write_text(text.replace(str(config.workspace_folder), str(calm)))
    cli = [sys.executable, "-c", "from graphguard.jobs.cli import main; main()", "nightly"]
    rest = ["--as-of", DAY, "--to", "train", "--json-logs"]

    code, _ = trained([*cli, "--config", str(tmp_path / "calm.yaml"), *rest])
    assert code == 0
    command = [*cli, "--config", str(tmp_path / "config.yaml"), *rest]
    code, killed = trained(command, "train:sage:0:1:2")
    assert code == -signal.SIGKILL
    assert (run.kept("train") / "trees" / "fitted.json").is_file()
    assert (run.kept("train") / "sage" / "checkpoint" / "checkpoint.json").is_file()
    code, resumed = trained(command)
    assert code == 0

    notes = [line["text"] for line in resumed if line["event"] == "note"]
    assert "trees: fitted before the run was interrupted" in notes
    assert "sage: goes on after 1 epochs and 0 batches" in notes
    steps = [line for line in killed + resumed if line["event"] == "step"]
    assert any("seconds_left" in line and "epoch" in line["what"] for line in steps)
    assert not run.kept("train").exists()
    other = Workspace(calm).run(run.run_id)
    for path in sorted(other.stage("train").rglob("*")):
        if path.is_file() and path.name != "manifest.json":
            mine = run.stage("train") / path.relative_to(other.stage("train"))
            assert mine.read_bytes() == path.read_bytes(), mine
    assert set(read_json(run.stage("train") / "metrics.json")["models"]) == {"trees", "sage"}


def test_a_model_fitted_before_is_taken_for_the_same_inputs_only(tmp_path):
    rng = np.random.default_rng(1)
    rows = Rows(
        node=np.arange(80),
        anchor_us=np.zeros(80, dtype=np.int64),
        x=rng.normal(size=(80, 2)).astype(np.float32),
        names=("a", "b"),
        label=(np.arange(80) % 2).astype(np.int8),
    )
    model = TreesModel(TreesSettings(rounds=3, threads=1))
    model.fit(rows, rows)
    model.save(tmp_path / "model")

    assert fitted_before(tmp_path, "one") is None
    (tmp_path / "fitted.json").write_text('{"inputs": "one"}')
    found = fitted_before(tmp_path, "one")
    assert (found.predict(rows) == model.predict(rows)).all()
    assert fitted_before(tmp_path, "other") is None

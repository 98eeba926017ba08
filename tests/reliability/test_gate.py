"""While the drift gate is red nothing automatic leaves, from changed logs to the sink."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from graphguard.jobs.nightly import Night, run_night
from graphguard.tables.files import read_json
from graphguard.worlds.drifts import change_days, drift_world

AS_OF = date(2026, 1, 22)
POLICY = {
    "actions": [
        {"name": "limit", "threshold": 0.001, "budget": 40},
        {"name": "review", "budget": 20},
    ]
}


def actions_in_sink(folder: Path) -> dict[str, int]:
    held = pl.read_parquet(folder / "sink" / "decisions" / "*" / "*.parquet")
    return dict(held.group_by("action").len().iter_rows())


@pytest.mark.parametrize("kind", ["lost rows", "flood"])
def test_nothing_automatic_leaves_while_the_gate_is_red(make_config, world, tmp_path, kind):
    drift_world(world, tmp_path / "drifted", kind, change_days(AS_OF, 21))
    config = make_config(long=True, policy=POLICY)
    logs = {
        name: log.model_copy(
            update={"path": log.path.replace(str(world), str(tmp_path / "drifted"))}
        )
        for name, log in config.logs.items()
    }
    path = config.labels.path.replace(str(world), str(tmp_path / "drifted"))
    labels = config.labels.model_copy(update={"path": path})

    run = run_night(Night(config.model_copy(update={"logs": logs, "labels": labels})))

    drift = read_json(run.file("decide", "drift.json"))
    page = run.file("report", "report.html").read_text(encoding="utf-8")
    assert drift["verdict"] == "red"
    assert run.manifest("decide")["held_back_by"] == [f"drift: {drift['reason']}"]
    assert set(actions_in_sink(tmp_path)) == {"review"}
    assert "no automatic action: drift: " in page


def test_a_night_like_those_before_acts(make_config, tmp_path):
    run = run_night(Night(make_config(long=True, policy=POLICY)))

    assert read_json(run.file("decide", "drift.json"))["verdict"] != "red"
    assert actions_in_sink(tmp_path) == {"limit": 40, "review": 20}

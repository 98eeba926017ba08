import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import graphguard
from graphguard.checks.compare import compare_runs
from graphguard.errors import (
    ActionRateExceeded,
    BadSetting,
    NotCommitted,
    TooLittleHistory,
    WorkspaceBusy,
)
from graphguard.jobs.nightly import Night, run_night
from graphguard.jobs.pipeline import STAGE_NAMES, Stage
from graphguard.tables.files import read_json, read_parquet
from graphguard.tables.workspace import Workspace

CLI = [sys.executable, "-c", "from graphguard.jobs.cli import main; main()"]


def test_a_night_leaves_scores_rings_decisions_and_a_report(night):
    config, run = night
    opened = graphguard.open_run(config.workspace_folder)

    assert opened.run.run_id == run.run_id
    scores = opened.scores()
    assert scores.height > 300
    assert scores.get_column("risk_score").is_between(0, 1).all()
    assert opened.rings().height >= 1
    assert set(opened.members().get_column("ring_id")) == set(opened.rings().get_column("ring_id"))
    page = opened.report_path.read_text(encoding="utf-8")
    assert "Model quality" in page
    assert opened.rings().get_column("ring_id")[0] in page


def test_every_row_of_every_file_is_accounted_for(night):
    _, run = night
    intake = read_parquet(run.file("ingest", "intake.parquet"))

    whole = intake.get_column("accepted") + intake.get_column("rejected")
    assert (whole + intake.get_column("not_yet")).to_list() == intake.get_column("read").to_list()
    assert intake.get_column("read").sum() > 30_000


def test_both_models_are_judged_and_one_is_champion(night):
    _, run = night
    metrics = read_json(run.file("train", "metrics.json"))

    assert set(metrics["models"]) == {"trees", "sage"}
    assert metrics["champion"] in metrics["models"]
    assert (run.stage("train") / "model" / "model.json").is_file()
    for slices in metrics["models"].values():
        assert slices["newest"]["auprc"]["low"] <= slices["newest"]["auprc"]["value"]


def test_the_sink_holds_the_nights_decisions_once(night):
    config, run = night
    sink = config.root / config.export[0].path
    held = pl.read_parquet(sink / "decisions" / "*" / "*.parquet", hive_partitioning=True)
    decided = read_parquet(run.file("decide", "decisions.parquet"))

    assert held.height == decided.height
    assert set(held.get_column("decision_key")) == set(decided.get_column("decision_key"))


def test_the_same_night_again_is_done_at_once(night, monkeypatch):
    config, run = night
    before = (run.folder / "run.json").read_bytes()
    loaded = []
    monkeypatch.setattr(Stage, "load", lambda stage: loaded.append(stage.name))

    again = run_night(Night(config))

    assert again.run_id == run.run_id
    assert (run.folder / "run.json").read_bytes() == before
    # Only the first stage, before it is known that the night is done.
    assert loaded == ["ingest"]


def test_expand_and_explain_answer_about_a_scored_user(night):
    config, _ = night
    opened = graphguard.open_run(config.workspace_folder)
    user = opened.members().get_column("key")[0]

    expansion = opened.expand(f"user:{user}", hops=2, limit=20)
    explanation = opened.explain(f"user:{user}")

    assert 0 < len(expansion.users) <= 20
    assert explanation.ring is not None
    assert explanation.timeline


def test_run_json_tells_stages_metrics_and_the_reason_of_exit(night):
    _, run = night
    facts = run.facts()

    assert facts["exit_code"] == 0
    assert facts["reason"] == "done"
    assert set(facts["stages"]) == set(STAGE_NAMES)
    assert facts["metrics"]["champion"]


def test_stages_can_be_run_one_part_at_a_time_and_a_dry_run_exports_nothing(make_config, tmp_path):
    config = make_config()

    run = run_night(Night(config, last="link"))
    assert [name for name in STAGE_NAMES if run.has(name)] == ["ingest", "build_graph", "link"]
    assert run.facts()["state"] == "open"

    dry = run_night(Night(config, first="featurize", dry_run=True))
    assert dry.has("decide")
    assert dry.facts()["state"] == "open"
    assert not (tmp_path / "sink").exists()

    whole = run_night(Night(config, first="export"))
    assert (tmp_path / "sink").exists()
    assert whole.run_id == run.run_id
    assert whole.facts()["state"] == "committed"


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (SystemExit(143), "terminated; the same command goes on"),
        (KeyboardInterrupt(), "interrupted; the same command goes on"),
        (ValueError("no such"), "ValueError: no such"),
    ],
)
def test_a_night_that_was_ended_says_why_it_is_open(make_config, monkeypatch, end, reason):
    config = make_config()

    def ended(stage, job, out):
        raise end

    monkeypatch.setattr(Stage, "run", ended)
    with pytest.raises(type(end)):
        run_night(Night(config))

    [path] = config.workspace_folder.glob("runs/*/run.json")
    facts = read_json(path)
    assert (facts["state"], facts["reason"]) == ("open", reason)


def test_a_policy_that_would_act_on_too_many_stops_before_it_commits(make_config, tmp_path):
    config = make_config(policy={"max_action_rate": 0.001})

    with pytest.raises(ActionRateExceeded, match="above policy.max_action_rate"):
        run_night(Night(config))

    assert not (tmp_path / "sink").exists()
    assert not (tmp_path / "workspace" / "CURRENT").exists()


def test_too_little_log_is_told_in_days(make_config):
    with pytest.raises(TooLittleHistory, match=r"needs \d+ days of log before as_of, found \d+"):
        run_night(Night(make_config(graph={"window": "90d"})))


def test_wrong_words_on_the_command_line_are_refused(make_config):
    with pytest.raises(BadSetting, match="must be one of ingest, build_graph"):
        run_night(Night(make_config(), last="nowhere"))
    with pytest.raises(BadSetting, match="comes after --to"):
        run_night(Night(make_config(), first="report", last="ingest"))


@pytest.mark.parametrize("stage", ["train", "find_rings", "export"])
def test_a_stage_out_of_order_names_the_first_that_is_not_there(make_config, stage):
    before = STAGE_NAMES[STAGE_NAMES.index(stage) - 1]

    with pytest.raises(
        NotCommitted, match=rf"stage 'ingest' of run .* nightly --to {before}` first"
    ):
        run_night(Night(make_config(), first=stage, last=stage))


def test_a_second_scheduler_is_told_to_wait(make_config):
    config = make_config()
    with Workspace(config.workspace).locked(), pytest.raises(WorkspaceBusy, match="is locked"):
        run_night(Night(config, last="ingest"))


def exported(sink: Path) -> dict[str, bytes]:
    """What readers of the sink see: bytes by path."""
    files = [path for path in sink.glob("*/as_of=*/**/*") if path.is_file()]
    return {str(path.relative_to(sink)): path.read_bytes() for path in sorted(files)}


@pytest.mark.slow
def test_a_night_killed_at_any_point_goes_on_to_the_same_result(make_config, tmp_path):
    config = make_config()
    undisturbed = run_night(Night(config.model_copy(update={"workspace": tmp_path / "calm"})))
    (tmp_path / "sink").rename(tmp_path / "calm-sink")
    log = tmp_path / "points.txt"
    command = [*CLI, "nightly", "--config", str(tmp_path / "config.yaml"), "--as-of", "2026-01-22"]
    once = {**os.environ, "GRAPHGUARD_FAILPOINT_LOG": str(log)}
    spare = [*command[:-4], "--config", str(tmp_path / "spare.yaml"), "--as-of", "2026-01-22"]
    text = (tmp_path / "config.yaml").read_text().replace("/workspace", "/spare")
    (tmp_path / "spare.yaml").write_text(text.replace("/sink", "/spare-sink"))
    subprocess.run(spare, env=once, check=True, capture_output=True)
    points = list(dict.fromkeys(log.read_text().split()))

    for point in points:
        env = {**os.environ, "GRAPHGUARD_KILL_AT": point}
        ended = subprocess.run(command, env=env, check=False, capture_output=True)
        if ended.returncode == 0:
            # All points of this name lay behind: begin anew, so that each name kills once.
            shutil.rmtree(config.workspace)
            shutil.rmtree(tmp_path / "sink")
            ended = subprocess.run(command, env=env, check=False, capture_output=True)
        assert ended.returncode == -signal.SIGKILL, (point, ended.stderr.decode()[-2000:])
    last = subprocess.run(command, check=True, capture_output=True, text=True)

    assert len(points) >= 60
    run = Workspace(config.workspace).current_run()
    assert last.stdout.strip().endswith("run.json")
    comparison = compare_runs(undisturbed, run, config)
    assert comparison.differences == []
    assert comparison.rows > 50_000
    assert exported(tmp_path / "sink") == exported(tmp_path / "calm-sink")
    assert not list(Path(config.workspace).rglob(".tmp-*"))


def test_likeness_is_asked_of_the_embedding_and_of_behaviour_with_the_recall_of_both(night):
    facts = read_json(night[1].file("find_rings", "index.json"))

    assert facts["recall"] > 0.9
    assert facts["behaviour"]["recall"] > 0.9
    assert facts["behaviour"]["engine"] == facts["engine"]

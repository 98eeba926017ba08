"""Commands on a workspace that is damaged, or asked for what it does not hold; no night is run."""

import json
from datetime import date

import polars as pl
import pytest
from typer.testing import CliRunner

from graphguard.config.load import load_config
from graphguard.errors import ArtefactInvalid, BadSetting, GraphInvalid, PointerWrong
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.cli import app
from graphguard.jobs.commands import roll_back
from graphguard.jobs.erase import read_request
from graphguard.sinks import open_sink
from graphguard.sinks.base import RollbackRefused
from graphguard.tables.workspace import Workspace

DAY = date(2026, 1, 31)
CONFIG = """
workspace: workspace
logs:
  likes: {path: "logs/*.parquet", time: ts}
graph:
  edges: [{name: [user, likes, content], log: likes, source: user_id, target: content_id}]
labels: {path: labels.parquet, key: user_id, value: bad, known_at: at}
export: [{path: one}, {path: two}]
"""
RUN = {
    "run_id": "2026-01-31-a",
    "as_of": "2026-01-31",
    "sequence": 1,
    "state": "open",
    "stages": {},
    "metrics": {},
    "seconds": 319.483,
    "peak_memory_mb": 457,
    "reason": "TooFewLabels: slice 'select' holds [too] few positive rows " + "and more " * 20,
    "previous": None,
}


@pytest.fixture
def config(tmp_path):
    (tmp_path / "graphguard.yaml").write_text(CONFIG)
    return load_config(tmp_path / "graphguard.yaml")


@pytest.fixture
def write_run(config):
    def write(text, name="2026-01-31-a"):
        folder = config.workspace_folder / "runs" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run.json").write_text(text)

    return write


def listed(config, *more):
    words = ["runs", "list", "--config", str(config.root / "graphguard.yaml"), *more]
    return CliRunner().invoke(app, words, env={"COLUMNS": "80"})


def test_in_a_pipe_a_run_is_one_line_with_whole_seconds_and_peak_memory(config, write_run):
    write_run(json.dumps(RUN))

    heading, row = listed(config).stdout.splitlines()

    assert "seconds  peak MB  state" in heading
    assert row.split()[:4] == ["2026-01-31-a", "2026-01-31", "319", "457"]
    assert row.rstrip().endswith(f"open: {RUN['reason']}".rstrip())


def test_a_damaged_run_hides_no_other_run(config, write_run):
    write_run(json.dumps(RUN))
    write_run("{}", "2026-01-31-b")

    ended = listed(config, "--json")

    assert [one["run_id"] for one in json.loads(ended.stdout)] == ["2026-01-31-a"]
    assert isinstance(ended.exception, ArtefactInvalid)
    assert "2026-01-31-b/run.json: does not say as_of" in str(ended.exception)


@pytest.mark.parametrize("text", ["[]", "{}", "garbage", '{"run_id": "gone"}'])
def test_a_pointer_to_nothing_is_told_and_the_next_night_writes_it_anew(config, write_run, text):
    write_run(json.dumps(RUN))
    workspace = Workspace(config.workspace_folder)
    (workspace.root / "CURRENT").write_text(text)

    with pytest.raises(PointerWrong, match=r"CURRENT: .*; name a run's folder with --run"):
        workspace.current_run()
    workspace.point_to(workspace.run(RUN["run_id"]))
    assert workspace.current_run().run_id == RUN["run_id"]


def test_a_graph_that_names_no_edges_is_invalid(tmp_path):
    (tmp_path / "meta.json").write_text("{}")

    with pytest.raises(GraphInvalid, match="does not say edge_types and num_nodes"):
        HeteroGraph.open(tmp_path)


def test_a_refused_rollback_makes_no_folder(config):
    with pytest.raises(RollbackRefused, match=r"cannot roll back run 'x': .*standing: none"):
        roll_back(config, "x")
    assert not (config.root / "one").exists()


def test_a_rollback_that_was_interrupted_between_sinks_goes_on(config):
    sinks = [open_sink(one, config.root) for one in config.export]
    for sink in sinks:
        sink.export({}, DAY, "x")
    sinks[0].rollback("x")

    told = roll_back(config, "x")

    assert told.splitlines() == [
        "one: left as it is, it holds no export of run x",
        "two: holds again what it held before run x",
    ]
    assert [sink.receipt(DAY) for sink in sinks] == [None, None]
    with pytest.raises(RollbackRefused):
        roll_back(config, "x")


def test_an_id_with_its_type_before_it_is_not_taken_for_nobody(config):
    workspace = Workspace(config.workspace_folder)
    ids = workspace.ids("user")
    ids.add(pl.Series("key", ["ana", "user:bo"]))
    ids.save()

    with pytest.raises(BadSetting, match="1 of 2 ids begin with 'user:', .* Nothing was done"):
        read_request(config, None, [], ["user:ana", "user:bo"])
    assert read_request(config, None, [], ["user:bo", "user:cy"]).keys == {"user:bo", "user:cy"}


def test_a_day_that_is_none_is_told_by_its_option(config):
    days = ["--since", "tomorrow", "--until", "2026-01-31"]
    path = str(config.root / "graphguard.yaml")
    said = CliRunner().invoke(app, ["backfill", "--config", path, *days])

    assert isinstance(said.exception, BadSetting)
    assert str(said.exception).startswith("command line: --since: ")

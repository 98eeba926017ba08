"""A night up to its features, on a Spark cluster and on Polars, from the command line."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from graphguard.checks.compare import compare_runs
from graphguard.config.load import load_config
from graphguard.tables.workspace import Run, find_run
from graphguard.worlds import WorldSpec, write_world

TOP = Path(__file__).parents[2]
MAIN = "from graphguard.jobs.cli import main; main()"
STAGES = ("ingest", "build_graph", "link", "featurize")
HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def own_cluster(tmp_path_factory):
    """A cluster of its own: the session of the other tests holds every core of theirs."""
    from graphguard.tables.spark_cluster import SparkCluster

    with SparkCluster(tmp_path_factory.mktemp("night-cluster"), workers=2) as started:
        yield started


@pytest.fixture
def settings(tmp_path) -> dict:
    """The demo's config for 500 users over 24 days: three anchors of three days, and the cutoff."""
    world = tmp_path / "world"
    write_world(WorldSpec(users=500, days=24, seed=7, ring_share=0.14, solo_share=0.08), world)
    text = (TOP / "configs" / "demo.yaml").read_text(encoding="utf-8")
    raw = yaml.safe_load(text.replace("../demo/world", str(world)))
    raw["as_of"] = "2026-01-28"
    del raw["features"]
    raw["graph"] |= {"window": "6d"}
    raw["training"] |= {"anchors": 3, "anchor_every": "4d", "horizon": "4d"}
    return raw


def a_night(folder: Path, settings: dict) -> Run:
    """Run a night up to its features in a process of its own."""
    folder.mkdir()
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(settings | {"workspace": str(folder / "workspace")}), "utf-8")
    # A night closes its session, and there is one session in each process.
    command = [sys.executable, "-c", MAIN, "nightly", "--config", str(path), "--to", STAGES[-1]]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    (found,) = (folder / "workspace" / "runs").glob("2026-*")
    return find_run(found)


def work_by_stage(log: Path, run: Run) -> tuple[Counter[str], Counter[str]]:
    """What began while each stage of the run was at work, by Spark's own event log.

    Jobs, and plans that call a kernel in the Python workers.
    """
    ends = [(run.stage(name) / "manifest.json").stat().st_mtime * 1000 for name in STAGES]
    jobs: Counter[str] = Counter()
    kernels: Counter[str] = Counter()
    for path in log.rglob("events_*"):
        for line in path.read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            begun = event.get("Submission Time", event.get("time", 0))
            stage = next((name for name, end in zip(STAGES, ends, strict=True) if begun < end), "")
            jobs[stage] += event["Event"] == "SparkListenerJobStart"
            plan = event.get("physicalPlanDescription", "")
            starts = event["Event"].endswith("SparkListenerSQLExecutionStart")
            kernels[stage] += starts and "FlatMapGroupsInArrow" in plan
    return jobs, kernels


def test_a_night_on_spark_is_the_night_on_polars_and_every_stage_ran_there(
    own_cluster, settings, tmp_path
):
    log = tmp_path / "log"
    log.mkdir()
    options = {"spark.driver.host": HOST, "spark.driver.bindAddress": HOST}
    options |= {"spark.eventLog.enabled": "true", "spark.eventLog.dir": log.as_uri()}
    options |= {"spark.eventLog.compress": "false"}
    spark = {"master": own_cluster.master, "partitions": 4, "options": options}
    spark |= {"executor_memory_mb": 768, "driver_memory_mb": 768}
    here = a_night(tmp_path / "polars", settings)

    there = a_night(tmp_path / "spark", settings | {"engine": "spark", "spark": spark})

    found = compare_runs(here, there, load_config(tmp_path / "polars" / "config.yaml"))
    assert found.differences == []
    assert found.tables > 100
    for name in STAGES:
        assert there.manifest(name)["rows"] > 50, name
        assert there.manifest(name)["rows"] == here.manifest(name)["rows"]
    jobs, kernels = work_by_stage(log, there)
    # Files of every log are judged, and every trace is paired at every anchor, by kernels.
    assert kernels["ingest"] == 4
    assert kernels["link"] == 2 * 4
    # Four logs and all together, two blocks each, at every anchor; every edge type.
    assert jobs["featurize"] >= 10 * 4
    assert jobs["build_graph"] >= 5
    assert list((tmp_path / "spark" / "workspace" / "scratch").iterdir()) == []

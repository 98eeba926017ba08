"""A night up to its daily edges, on Spark and on Polars, from the command line."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import yaml

MAIN = "from graphguard.jobs.cli import main; main()"
SPARK = {
    "master": "local[2]",
    "partitions": 4,
    "options": {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"},
}


def edges_of_a_night(folder: Path, settings: dict) -> dict[str, pl.DataFrame]:
    """Run a night up to build_graph; its daily edges by relation and day."""
    raw = settings | {"workspace": str(folder / "workspace")}
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    night = ("nightly", "--config", str(folder / "config.yaml"), "--to", "build_graph")
    # A process of its own: a night closes its session, and there is one in each process.
    command = [sys.executable, "-c", MAIN, *night]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    store = folder / "workspace" / "store" / "edges"
    return {
        path.parts[-4] + "/" + path.parts[-3]: pl.read_parquet(path)
        for path in store.rglob("edges.parquet")
    }


def test_a_night_on_spark_stores_the_edges_of_a_night_on_polars(make_config, tmp_path):
    make_config()
    settings = yaml.safe_load((tmp_path / "config.yaml").read_text(encoding="utf-8"))
    settings["as_of"] = "2026-01-22"
    expected = edges_of_a_night(tmp_path / "polars", settings)

    log = tmp_path / "log"
    log.mkdir()
    told = {"spark.eventLog.enabled": "true", "spark.eventLog.dir": log.as_uri()}
    plain = {"spark.eventLog.compress": "false"}
    spark = SPARK | {"options": SPARK["options"] | told | plain}
    found = edges_of_a_night(tmp_path / "spark", settings | {"engine": "spark", "spark": spark})

    assert len(expected) > 100
    assert found.keys() == expected.keys()
    for name, table in expected.items():
        assert found[name].equals(table), name
    written = [path.read_text(encoding="utf-8") for path in log.rglob("*") if path.is_file()]
    jobs = sum(text.count('"SparkListenerJobStart"') for text in written)
    assert jobs >= len(settings["graph"]["edges"]), "the edges were not made by Spark"
    assert list((tmp_path / "spark" / "workspace" / "scratch").iterdir()) == []

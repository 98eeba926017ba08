"""A worker is killed in mid-job, and the tables are those of an undisturbed run."""

import threading
import time
from pathlib import Path

import narwhals as nw
import numpy as np
import polars as pl
import pyarrow as pa

from graphguard.config.sections import EdgeConfig, LogConfig
from graphguard.graph.contraction import component_labels
from graphguard.tables.edges import daily_edges
from graphguard.tables.engine import Bucketed, Kernel

DAY = 86_400_000_000
EVENTS, BUCKETS = 20_000, 6
EDGE = EdgeConfig(name=("user", "likes", "post"), log="likes", source="user", target="post")
LOG = LogConfig(path="x", time="ts")
SCHEMA = pa.schema([(name, pa.int64()) for name in ("user", "post", "time_us")])


def slow_copy(marks: Path) -> Kernel:
    """A kernel that leaves a mark when it begins and takes its time."""
    columns = SCHEMA.names

    # Inside a function it travels by value: the workers cannot import a test.
    def copy(rows: pa.Table) -> pa.Table:
        (marks / f"{time.time_ns()}").touch()
        time.sleep(2.0)
        return rows.select(columns)

    return copy


def wait_for(marks: Path, count: int) -> None:
    end = time.monotonic() + 120
    while len(list(marks.iterdir())) < count:
        assert time.monotonic() < end, "the kernel was never called"
        time.sleep(0.05)


def test_a_killed_worker_changes_no_table(cluster, spark, polars, tmp_path):
    draw = np.random.default_rng(3)
    events = pl.DataFrame(
        {
            "user": draw.integers(0, 900, EVENTS),
            "post": draw.integers(0, 30_000, EVENTS),
            "time_us": draw.integers(20_000 * DAY, 20_005 * DAY, EVENTS),
        }
    )
    how = Bucketed("user", BUCKETS, SCHEMA)
    kernel = slow_copy(tmp_path)
    killed_at: list[float] = []

    def kill() -> None:
        # Four calls: one pair is done and its rows lie with the workers, the next is under way.
        wait_for(tmp_path, 4)
        cluster.kill_worker(0)
        killed_at.append(time.monotonic())

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        copied = spark.map_buckets(spark.table(events), kernel, how)
        edges = daily_edges(copied, EDGE, LOG, engine=spark)
        ended_at = time.monotonic()
        links = spark.table(edges).select(first="source", second=nw.col("target") + 1000)
        labels = spark.collect(component_labels(spark, links))
    finally:
        killer.join()
        cluster.add_worker()

    expected = daily_edges(events.lazy(), EDGE, LOG)
    there = polars.table(expected).select(first="source", second=nw.col("target") + 1000)
    assert killed_at[0] < ended_at
    assert len(list(tmp_path.iterdir())) > BUCKETS, "no call was repeated, so nothing was lost"
    assert edges.equals(expected)
    wanted = polars.collect(component_labels(polars, there))
    assert labels.sort("node").equals(wanted.sort("node"))

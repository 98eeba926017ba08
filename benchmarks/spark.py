"""Whether Spark gives the tables that Polars gives, with a worker killed on the way.

On the logs of a generated platform: ingest (rejects, counts, ids, encoded events), daily edges of
every relation, event features, neighbour aggregates, co-action pairs and components. Polars runs in
this process; Spark on a standalone master with two workers of one core on this machine. A worker is
killed while the largest log is ingested, and replaced. Tables are compared row by row: keys and
whole numbers exactly, real numbers to 1e-9.

Spark is no faster on one machine: its seconds are the price of the cluster, not its promise.
"""

import argparse
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import narwhals as nw
import polars as pl
from platform_logs import count, make_world, write_config
from polars.testing import assert_frame_equal
from result import print_result, say, work_folder

from graphguard.config.load import load_config
from graphguard.config.sections import Config, SparkConfig
from graphguard.config.values import DAY_US, day_us
from graphguard.features.catalogue import Source, blocks
from graphguard.features.rows import acts_of_rows, event_rows
from graphguard.features.table import block_columns
from graphguard.graph.contraction import component_labels
from graphguard.graph.keyed import key_hash
from graphguard.graph.neighbour_joins import neighbour_table
from graphguard.rings.coaction_buckets import coaction_tables
from graphguard.schema import FIXED_POINT, IDS
from graphguard.tables.admission import UnitFiles, admit, encoded, new_ids
from graphguard.tables.edges import daily_edges, edge_table
from graphguard.tables.engine import Engine, Frame, PolarsEngine
from graphguard.tables.sources import find_units
from graphguard.tables.units import log_contract

HOST = "127.0.0.1"
WINDOWS_US = [1_000_000, 10_000_000, 60_000_000]
Tables = Iterator[tuple[str, pl.DataFrame]]


def main() -> int:
    """Make the logs, run both engines, compare, print the table and the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=150_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep the logs of an earlier run")
    options = parser.parse_args()
    folder = work_folder("spark")
    world, _ = make_world(folder, options.events, options.seed, keep=options.keep)
    config = load_config(write_config(folder, world, ["trees"]))
    stored = folder / "tables"
    shutil.rmtree(stored, ignore_errors=True)
    stored.mkdir()
    expected = Timetable()
    for name, table in expected.timed(tables(PolarsEngine(), config)):
        table.write_parquet(stored / f"{name.replace('/', '.')}.parquet")
    say(f"polars: {expected.total:.0f} s")
    with tempfile.TemporaryDirectory() as scratch:
        found, different, killed = on_cluster(config, Path(scratch), stored)
    events = sum(count(path) for path in stored.glob("events.*.parquet"))
    say("| tables | polars (s) | spark (s) |")
    say("|---|---|---|")
    for step, seconds in expected.seconds.items():
        say(f"| {step} | {seconds:.1f} | {found.seconds.get(step, 0.0):.1f} |")
    say(f"a worker was killed during: {killed}; tables that differ: {different or 'none'}")
    seconds = {"polars": round(expected.total, 1), "spark": round(found.total, 1)}
    print_result(
        {
            "events": events,
            "equal": not different,
            "tables": len(list(stored.iterdir())),
            "seconds": seconds,
            "killed_during": killed,
        }
    )
    return int(bool(different))


class Timetable:
    """Seconds of each step; a table belongs to the step its name begins with."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @property
    def total(self) -> float:
        """Seconds of all steps."""
        return sum(self.seconds.values())

    def timed(self, made: Tables) -> Tables:
        """Pass tables on, and add the time that each took to its step."""
        while True:
            start = time.perf_counter()
            try:
                name, table = next(made)
            except StopIteration:
                return
            step = name.split("/")[0]
            took = time.perf_counter() - start
            self.seconds[step] = self.seconds.get(step, 0.0) + took
            yield name, table


def on_cluster(config: Config, scratch: Path, stored: Path) -> tuple[Timetable, list[str], str]:
    """Run Spark, kill a worker; the seconds, the tables that differ, and what the kill met."""
    from graphguard.tables.spark_cluster import SparkCluster
    from graphguard.tables.spark_engine import SparkEngine

    found = Timetable()
    different: list[str] = []
    killed = ["nothing"]
    largest = threading.Event()
    with SparkCluster(scratch / "cluster", worker_memory_mb=2048) as cluster:
        settings = SparkConfig(
            master=cluster.master,
            partitions=8,
            executor_memory_mb=2048,
            options={"spark.driver.host": HOST, "spark.driver.bindAddress": HOST},
        )
        engine = SparkEngine(settings, scratch)

        def kill() -> None:
            largest.wait()
            killed[0] = stage_under_way()
            cluster.kill_worker(0)
            cluster.add_worker()

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        for name, table in found.timed(tables(engine, config, largest)):
            path = stored / f"{name.replace('/', '.')}.parquet"
            same = equal(table, pl.read_parquet(path))
            say(f"{name}: {table.height:,} rows, {'equal' if same else 'DIFFERENT'}")
            different += [] if same else [name]
        killer.join()
        engine.close()
    return found, different, killed[0]


def stage_under_way() -> str:
    """Wait for a stage that has done some of its tasks and has some under way; tell how many."""
    from pyspark.sql import SparkSession

    session = SparkSession.builder.getOrCreate()
    tracker = session.sparkContext.statusTracker()
    while True:
        for number in tracker.getActiveStageIds():
            stage = tracker.getStageInfo(number)
            if stage and stage.numCompletedTasks >= 3 and stage.numActiveTasks >= 1:
                done = f"{stage.numCompletedTasks} of {stage.numTasks} tasks done"
                return f"ingest of likes, stage {number}, {done}"
        time.sleep(0.02)


def equal(found: pl.DataFrame, expected: pl.DataFrame) -> bool:
    """Whether two tables hold the same rows, in any order: reals to 1e-9, all else exactly."""
    order = [name for name, kind in expected.schema.items() if not kind.is_float()]
    both = [frame.select(expected.columns).sort(order) for frame in (found, expected)]
    try:
        # How many bits a count takes is an engine's own affair.
        assert_frame_equal(*both, rel_tol=1e-9, abs_tol=1e-12, check_dtypes=False)
    except AssertionError as error:
        say(str(error))
        return False
    return True


def tables(engine: Engine, config: Config, largest: threading.Event | None = None) -> Tables:
    """All tables of one engine, in turn; sets `largest` when the log of likes is begun."""
    ids: dict[str, pl.DataFrame] = {}
    events: dict[str, Frame] = {}
    for log in config.logs:
        if largest is not None and log == "likes":
            largest.set()
        yield from ingested(engine, config, log, ids, events)
    for name, known in ids.items():
        yield f"ids/{name}", known
    edges: dict[str, pl.DataFrame] = {}
    for edge in config.graph.edges:
        name = edge_table(edge)
        log = config.logs[edge.log]
        edges[name] = daily_edges(events[edge.log], edge, log, engine=engine)
        yield name, edges[name]
    yield from around_users(engine, config, ids["user"], events["likes"])
    yield "neighbours/likes", neighbours(engine, config, edges["edges/user__likes__content"])
    yield from paired(engine, ids["user"], events["likes"])
    # Users and devices in one row of numbers: devices follow users.
    uses = engine.table(edges["edges/user__uses__device"])
    after = ids["user"].height
    links = uses.select(first="source", second=nw.col("target") + after)
    yield "components/devices", engine.collect(component_labels(engine, links))


def ingested(
    engine: Engine,
    config: Config,
    log: str,
    ids: dict[str, pl.DataFrame],
    events: dict[str, Frame],
) -> Tables:
    """Rejects, counts and encoded events of one log; adds to `ids` and `events`."""
    found = find_units(log, config.logs[log].path, config.root)
    units = [
        UnitFiles(unit.files, None if unit.day is None else day_us(unit.day) + DAY_US)
        for unit in found
    ]
    contract = replace(log_contract(config, log), cutoff_us=2**62)
    made = admit(engine, units, contract, config.root)
    yield f"ingest/{log}.rejects", engine.collect(made.rejects)
    yield f"ingest/{log}.counts", engine.collect(made.counts)
    columns = config.entity_columns(log)
    coded = made.accepted
    for column, kind in columns.items():
        known = ids.get(kind, IDS.empty())
        new = new_ids(coded.select(key=column), engine.table(known), known.height)
        ids[kind] = pl.concat([known, engine.collect(new).sort("index")])
        coded = encoded(coded, column, engine.table(ids[kind]))
    events[log] = engine.hold(coded.select("time_us", *columns))
    yield f"events/{log}", engine.collect(events[log])


def around_users(engine: Engine, config: Config, users: pl.DataFrame, likes: Frame) -> Tables:
    """Event features of every user about the likes of the last two weeks."""
    window = config.graph.window.us
    rows = users.select(
        pl.col("index").alias("entity"),
        pl.lit(day_us(config.as_of), dtype=pl.Int64).alias("anchor_us"),
        pl.col("index").alias("row"),
    )
    acts = acts_of_rows(likes, "user_id", engine.table(rows), window)
    made = engine.hold(event_rows(acts, window))
    source = Source("events", "likes", "user_id")
    for block in blocks(config):
        if block.source == source:
            yield f"features/{block.theme}", engine.collect(block_columns(made, block))


def neighbours(engine: Engine, config: Config, edges: pl.DataFrame) -> pl.DataFrame:
    """What the others are like on the posts that each user likes; every tenth counts as bad."""
    until = day_us(config.as_of)
    activity = edges.group_by("source").agg(pl.col("count").sum() * FIXED_POINT)
    rows = activity.select(
        pl.col("source").alias("user"),
        (pl.col("source") % 10 == 0).cast(pl.Int64).alias("bad"),
        pl.col("count").alias("pace"),
    )
    links = engine.table(edges.select(user="source", object="target", time_us="first_us"))
    span = (until - config.graph.window.us, until)
    return engine.collect(neighbour_table(engine, links, engine.table(rows), ["pace"], span))


def paired(engine: Engine, users: pl.DataFrame, likes: Frame) -> Tables:
    """Co-action of users on posts, over all days."""
    hashes = users.select(
        pl.col("index").alias("user"),
        pl.Series("user_hash", key_hash(users.get_column("key")).view("int64")),
    )
    acts = likes.select("time_us", user="user_id", object="content_id")
    hashed = acts.join(engine.table(hashes), on="user", how="inner")
    made = coaction_tables(engine, hashed, WINDOWS_US, buckets=16)
    for name in ("pairs", "touches", "meetings", "visit_pairs"):
        yield f"coaction/{name}", engine.collect(getattr(made, name))


if __name__ == "__main__":
    sys.exit(main())

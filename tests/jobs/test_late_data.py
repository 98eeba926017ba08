"""What a late row, or a file that is delivered anew, changes of what earlier nights stored."""

import shutil
from datetime import UTC, datetime

import polars as pl
import pytest

from graphguard.errors import ArtefactInvalid
from graphguard.jobs.nightly import Night, run_night
from graphguard.tables.files import file_digest, read_parquet

OTHER = {"seed": 5}
"""Another choice of a hub's edges: no earlier graph can be carried on, and all days are read."""


@pytest.fixture
def platform(world, make_config, tmp_path):
    """Own copy of the likes, and a config that reads them."""
    logs = tmp_path / "logs"
    shutil.copytree(world / "logs" / "likes", logs / "likes")
    likes = {"path": str(logs / "likes" / "dt={date}" / "*.parquet"), "time": "ts"}

    def config(as_of):
        made = make_config(as_of=as_of)
        log = made.logs["likes"].model_copy(update=likes)
        return made.model_copy(update={"logs": {**made.logs, "likes": log}})

    return logs / "likes", config


def stored(run):
    """Digest of every day of likes' edges that the run settled on."""
    days = run.partitions("build_graph", "edges/user__likes__content")
    return {name: file_digest(folder / "edges.parquet") for name, folder in days.items()}


def add_like(path, moment):
    frame = pl.read_parquet(path)
    late = frame.head(1).with_columns(pl.lit(moment).cast(frame.schema["ts"]).alias("ts"))
    pl.concat([frame, late]).write_parquet(path)


def test_late_rows_change_the_edges_of_their_own_day_and_no_other(platform):
    likes, config = platform
    first = run_night(Night(config("2026-01-21"), last="build_graph"))
    before = stored(first)
    # In the file of 21 January: one row of the 19th, inside the look-back, one of the 2nd.
    newest = likes / "dt=2026-01-21" / "part-0.parquet"
    add_like(newest, datetime(2026, 1, 19, 12, tzinfo=UTC))
    add_like(newest, datetime(2026, 1, 2, 12, tzinfo=UTC))

    second = run_night(Night(config("2026-01-22"), last="build_graph"))

    after = stored(second)
    changed = [name for name in before.keys() & after.keys() if before[name] != after[name]]
    assert changed == ["dt=2026-01-19"]
    assert len(before) > 25
    assert second.manifest("ingest")["late"] == 1
    rejects = read_parquet(second.file("ingest", "rejects.parquet"))
    late = rejects.filter(pl.col("reason") == "older than the look-back")
    assert late.select("column", "value").rows() == [("ts", "2026-01-02 12:00:00.000000")]
    # What the earlier night settled on stays as it was.
    assert stored(first) == before


def test_a_file_that_is_delivered_anew_changes_its_day_and_no_other(platform):
    likes, config = platform
    first = run_night(Night(config("2026-01-21"), last="build_graph"))
    units = first.partitions("ingest", "events/likes")
    add_like(likes / "dt=2026-01-15" / "part-0.parquet", datetime(2026, 1, 15, 6, tzinfo=UTC))

    again = run_night(Night(config("2026-01-21"), last="build_graph"))

    after = again.partitions("ingest", "events/likes")
    assert [name for name in units if after[name] != units[name]] == ["dt=2026-01-15"]
    edges = stored(first), stored(again)
    assert [name for name in edges[0] if edges[0][name] != edges[1][name]] == ["dt=2026-01-15"]
    assert again.run_id != first.run_id


def test_a_day_of_edges_that_is_shorter_than_its_manifest_says_ends_the_night(make_config):
    run = run_night(Night(make_config(), last="build_graph"))
    folder = max(run.partitions("build_graph", "edges/user__likes__content").values())
    path = folder / "edges.parquet"
    read_parquet(path).head(1).write_parquet(path)

    with pytest.raises(ArtefactInvalid, match="has 1 rows, its manifest says"):
        run_night(Night(make_config(training=OTHER), last="build_graph"))


def test_an_index_beyond_two_billion_ends_the_night_and_does_not_wrap_around(make_config):
    run = run_night(Night(make_config(), last="build_graph"))
    folder = max(run.partitions("build_graph", "edges/user__likes__content").values())
    path = folder / "edges.parquet"
    edges = read_parquet(path)
    edges.with_columns(pl.col("target") + 2**32).write_parquet(path)

    with pytest.raises(ArtefactInvalid, match="'target' holds a number that is not within 31 bits"):
        run_night(Night(make_config(training=OTHER), last="build_graph"))

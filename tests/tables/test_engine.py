import sys
from functools import partial

import narwhals as nw
import polars as pl
import pyarrow as pa
import pytest

from graphguard.config.sections import Config
from graphguard.errors import Exit, MissingExtra
from graphguard.tables.engine import Bucketed, PolarsEngine, open_engine


def small_config(**changes) -> Config:
    edge = {"name": ["user", "likes", "post"], "log": "likes", "source": "u", "target": "p"}
    settings = {
        "logs": {"likes": {"path": "x", "time": "ts"}},
        "graph": {"edges": [edge]},
        "labels": {"path": "x"},
    }
    return Config.model_validate(settings | changes)


def test_polars_is_the_engine_that_is_always_there():
    assert isinstance(open_engine(small_config()), PolarsEngine)


def test_spark_without_pyspark_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark", None)
    monkeypatch.delitem(sys.modules, "graphguard.tables.spark_engine", raising=False)

    with pytest.raises(MissingExtra, match=r"pip install 'graphguard\[spark\]'") as caught:
        open_engine(small_config(engine="spark"))

    assert caught.value.exit_code == Exit.CONFIG


def test_a_scan_reads_all_files_as_one_table(tmp_path):
    for number in range(2):
        pl.DataFrame({"n": [number, 7]}).write_parquet(tmp_path / f"{number}.parquet")
    engine = PolarsEngine()

    frame = engine.scan(sorted(tmp_path.iterdir()))

    assert engine.collect(frame.sort("n")).rows() == [(0,), (1,), (7,), (7,)]


def test_equal_keys_meet_in_one_call_of_the_kernel():
    schema = pa.schema([("keys", pa.string())])
    frame = pl.DataFrame({"key": [5, 0, 3, 5, 2, 0]})
    engine = PolarsEngine()

    def kernel(rows: pa.Table) -> pa.Table:
        return pa.table({"keys": [str(sorted(rows["key"].to_pylist()))]})

    made = engine.map_buckets(engine.table(frame), kernel, Bucketed("key", 3, schema))

    # 0, 3 modulo 3 are 0; 5 and 2 are 2; no row is in bucket 1.
    assert sorted(engine.collect(made).get_column("keys")) == ["[0, 0, 3]", "[2, 5, 5]"]


def test_a_held_table_is_computed_once():
    calls = []
    engine = PolarsEngine()

    def counted(frame: pl.DataFrame) -> pl.DataFrame:
        calls.append(frame.height)
        return frame

    lazy = pl.LazyFrame({"n": [1, 2]}).map_batches(partial(counted), schema={"n": pl.Int64})
    held = engine.hold(nw.from_native(lazy))

    assert engine.collect(held).height == engine.collect(held).height == 2
    assert calls == [2]

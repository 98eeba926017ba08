import threading
import time
from datetime import date

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graphguard.config.sections import EdgeConfig, LogConfig
from graphguard.errors import FileUnreadable
from graphguard.schema import EVENT_TEXT
from graphguard.tables.edges import daily_edges
from graphguard.tables.ids import IdStore, IdStores
from graphguard.tables.intake import read_rows
from graphguard.tables.row_contract import RowContract
from graphguard.tables.threads import threads

DAY = 86_400_000_000


def write(path, **columns):
    pl.DataFrame(columns).write_parquet(path)
    return path


@pytest.mark.parametrize("keys", [["b", "a", "b", None, ""], [7, 5, 7, None, 9]])
def test_codes_stand_for_the_keys_of_every_file_whatever_their_type(tmp_path, keys):
    contract = RowContract("likes", ("user",), ("link",), time="ts", coded=True)
    links = ["x", None, "x", "y", "z"]
    files = [
        write(tmp_path / name, user=keys, link=links, ts=range(5)) for name in ("1.pq", "2.pq")
    ]

    intake = read_rows(files, contract, tmp_path)

    good = [str(key) for key in keys if key not in (None, "")]
    decoded = intake.words["user"].gather(intake.accepted.get_column("user"))
    assert decoded.to_list() == good * 2
    seen = intake.words["link"].gather(intake.accepted.get_column("link")).to_list()
    assert (
        seen == [link for key, link in zip(keys, links, strict=True) if key not in (None, "")] * 2
    )
    bad = [(3, None)] if 7 in keys else [(3, None), (4, "")]
    assert intake.rejects.select("row", "value").rows() == bad * 2


def test_a_coded_column_may_be_text_and_name_the_row_as_well(tmp_path):
    contract = RowContract("posts", ("post",), time="ts", text="post", unique="post", coded=True)
    file = write(tmp_path / "a.pq", post=["p", "q", "p"], ts=[1, 2, 3])

    intake = read_rows([file], contract, tmp_path)

    assert intake.accepted.get_column(EVENT_TEXT).to_list() == ["p", "q"]
    assert intake.rejects.select("row", "reason", "value").rows() == [(2, "repeated key", "p")]
    assert intake.words["post"].gather(intake.accepted.get_column("post")).to_list() == ["p", "q"]


@pytest.mark.parametrize("rows", [1, 50])
def test_text_that_is_no_text_is_a_damaged_file(tmp_path, rows):
    # Of one row it is read as a string, of many as a dictionary.
    ends = np.arange(rows + 1, dtype=np.int32) * 2
    parts = [None, pa.py_buffer(ends), pa.py_buffer(b"\xff\xfe" * rows)]
    broken = pa.Array.from_buffers(pa.string(), rows, parts)
    pq.write_table(pa.table({"user": broken, "ts": range(rows)}), tmp_path / "a.pq")

    with pytest.raises(FileUnreadable):
        read_rows([tmp_path / "a.pq"], RowContract("l", ("user",), time="ts", coded=True), tmp_path)


def test_two_keys_of_one_hash_keep_two_indices(tmp_path, monkeypatch):
    monkeypatch.setattr(pl.Series, "hash", lambda self: pl.Series([7] * len(self), dtype=pl.UInt64))
    ids = IdStore(tmp_path)

    first = ids.codes(pl.Series(["b", "a", "b"]))
    ids.save()
    again = IdStore(tmp_path).codes(pl.Series(["c", "a"]))

    assert first.to_list() == [1, 0, 1]
    assert again.to_list() == [2, 0]


def test_dictionaries_are_loaded_once_and_saved_together(tmp_path):
    loaded = []
    ids = IdStores(lambda kind: loaded.append(kind) or IdStore(tmp_path / kind))
    ids["user"].add(pl.Series(["a"]))
    ids["user"].add(pl.Series(["b"]))
    ids["post"].add(pl.Series(["p"]))

    ids.save()

    assert loaded == ["user", "post"]
    assert IdStore(tmp_path / "user").frame.rows() == [("a", 0), ("b", 1)]


def test_daily_edges_come_in_order_of_time_and_ties_in_order_of_the_pair():
    # day 0: 1-1 at 5 and 9, 2-0 at 5, 0-3 at 5, 0-1 at 2; day 1: 0-1
    edge = EdgeConfig(name=("user", "likes", "post"), log="likes", source="u", target="p")
    events = pl.LazyFrame(
        {
            "u": [1, 2, 0, 0, 1, 0],
            "p": [1, 0, 3, 1, 1, 1],
            "time_us": [5, 5, 5, 2, 9, DAY + 1],
        }
    )

    every = daily_edges(events, edge, LogConfig(path="x", time="ts"))

    rows = every.select("source", "target", "count", "first_us", "last_us").rows()
    assert rows == [
        (0, 1, 1, 2, 2),
        (0, 3, 1, 5, 5),
        (1, 1, 2, 5, 9),
        (2, 0, 1, 5, 5),
        (0, 1, 1, DAY + 1, DAY + 1),
    ]
    only = daily_edges(
        events.filter(pl.col("time_us") < DAY),
        edge,
        LogConfig(path="x", time="ts"),
        date(1970, 1, 1),
    )
    assert only.rows() == every.rows()[:4]


def test_threads_answer_in_order_and_the_first_error_ends_it():
    done = []

    def task(number):
        if number == 3:
            message = f"no {number}"
            raise ValueError(message)
        time.sleep(0.01 if number >= 100 else 0)
        done.append(number)
        return number * 2

    with threads() as pool:
        assert pool.each(task, [5, 1, 4]) == [10, 2, 8]
        with pytest.raises(ValueError, match="no 3"):
            pool.each(task, [3, *range(100, 300)])
    assert len(done) < 3 + 200


def test_threads_go_on_while_the_caller_does_something_else():
    begun, asked = threading.Event(), threading.Event()

    def task(number):
        begun.set()
        assert asked.wait(10)
        return number + 1

    with threads() as pool:
        work = pool.start(task, [1, 2])
        assert begun.wait(10)
        asked.set()
        assert work.results() == [2, 3]


def test_an_error_of_the_caller_drops_what_its_threads_have_not_begun():
    done = []

    def task(number):
        time.sleep(0.01)
        done.append(number)

    def begin_and_fail():
        with threads() as pool:
            pool.start(task, range(1000))
            message = "enough"
            raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="enough"):
        begin_and_fail()
    assert len(done) < 1000


def test_a_dictionary_may_be_loaded_while_others_are_saved(tmp_path, monkeypatch):
    ids = IdStores(lambda kind: IdStore(tmp_path / kind))
    ids["user"].add(pl.Series(["a"]))
    save = IdStore.save

    def save_and_load(store):
        save(store)
        ids["post"].add(pl.Series(["p"]))

    monkeypatch.setattr(IdStore, "save", save_and_load)
    ids.save()

    assert IdStore(tmp_path / "user").frame.rows() == [("a", 0)]
    assert len(ids["post"]) == 1

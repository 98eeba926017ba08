from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from graphguard.errors import ColumnMissing, ColumnTypeWrong, FileUnreadable
from graphguard.schema import EVENT_TEXT, FIXED_POINT
from graphguard.tables import files
from graphguard.tables.intake import TIME, UNIQUE, read_rows
from graphguard.tables.row_contract import RowContract, check_columns, check_times

DAY = 86_400_000_000
CONTRACT = RowContract(source="likes", keys=("user", "object"), time="ts", cutoff_us=10 * DAY)


def log(path: Path, **columns: object) -> Path:
    pl.DataFrame(columns).write_parquet(path)
    return path


def test_every_row_is_accepted_rejected_or_not_yet(tmp_path):
    # row 0 fine · 1 null key · 2 empty key · 3 at the cutoff · 4 before 1970 · 5 null time
    path = log(
        tmp_path / "a.parquet",
        user=["u", None, "", "u", "u", "u"],
        object=["o"] * 6,
        ts=[DAY, DAY, DAY, 10 * DAY, -5, None],
    )

    intake = read_rows([path], CONTRACT, tmp_path)

    assert intake.counts == [
        {
            "source": "likes",
            "file": "a.parquet",
            "read": 6,
            "accepted": 1,
            "rejected": 4,
            "not_yet": 1,
            "identical": 0,
        }
    ]
    assert intake.rejects.select("row", "column", "reason", "value").rows() == [
        (1, "user", "null key", None),
        (2, "user", "null key", ""),
        (4, "ts", "impossible time", "-5"),
        (5, "ts", "unreadable time", None),
    ]


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_rows_judged_before_are_counted_and_the_others_keep_their_places(
    tmp_path, monkeypatch, batch
):
    monkeypatch.setattr(files, "BATCH", batch)
    late = [9 * DAY, 2 * DAY, None, 8 * DAY, 10 * DAY, DAY, 7 * DAY]
    path = log(tmp_path / "a.parquet", user=["a", "b", "c", None, "e", "f", "g"], ts=late)
    empty = log(tmp_path / "b.parquet", user=["a"], ts=[DAY])
    pl.read_parquet(empty).clear().write_parquet(empty)
    contract = RowContract(source="users", keys=("user",), time="ts", cutoff_us=10 * DAY)

    intake = read_rows([path, empty], contract, tmp_path, since_us=7 * DAY)

    assert intake.accepted.select("__row", "user", TIME).rows() == [
        (0, "a", 9 * DAY),
        (6, "g", 7 * DAY),
    ]
    assert intake.rejects.select("row", "reason").rows() == [(3, "null key")]
    counted = [(one["read"], one["accepted"], one["not_yet"]) for one in intake.counts]
    assert counted == [(7, 2, 1), (0, 0, 0)]


def test_a_time_more_than_five_minutes_after_the_files_day_is_from_the_future(tmp_path):
    five = 5 * 60_000_000
    path = log(
        tmp_path / "a.parquet", user=["u"] * 2, object=["o"] * 2, ts=[DAY + five - 1, DAY + five]
    )

    intake = read_rows([path], CONTRACT, tmp_path, day_end_us=DAY)

    assert intake.accepted.get_column(TIME).to_list() == [DAY + five - 1]
    assert intake.rejects.get_column("reason").to_list() == ["time in the future"]


def test_a_repeated_event_key_is_rejected_in_the_order_of_files(tmp_path):
    contract = RowContract(source="posts", keys=("user",), time="ts", unique="id", cutoff_us=DAY)
    first = log(tmp_path / "a.parquet", user=["u", "v"], ts=[1, 2], id=["p", "q"])
    second = log(tmp_path / "b.parquet", user=["w", "x"], ts=[3, 4], id=["q", "r"])

    intake = read_rows([first, second], contract, tmp_path)

    assert intake.accepted.get_column("user").to_list() == ["u", "v", "x"]
    assert intake.rejects.select("file", "row", "reason", "value").rows() == [
        ("b.parquet", 0, "repeated key", "q")
    ]
    assert [one["accepted"] for one in intake.counts] == [2, 1]
    assert [one["rejected"] for one in intake.counts] == [0, 1]


@pytest.mark.parametrize("ts", [[5, 5, 5, 7], [7, 5, 5, 5], [5, 7, 5, 5]])
def test_identical_rows_of_a_log_without_a_key_are_kept_and_counted(tmp_path, ts):
    # Three rows of one time, of which two are equal; in order of time or not.
    user = ["u" if time == 5 else "v" for time in ts]
    objects = ["o"] * 4
    objects[ts.index(5)] = "p"
    path = log(tmp_path / "a.parquet", user=user, object=objects, ts=ts)

    intake = read_rows([path], CONTRACT, tmp_path)

    assert intake.accepted.height == 4
    assert intake.counts[0]["identical"] == 1


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_times_of_any_unit_and_zone_become_utc_microseconds(tmp_path, unit, zone):
    moment = datetime(2020, 3, 29, 0, 30, tzinfo=UTC)
    series = pl.Series([moment.replace(tzinfo=None)]).cast(pl.Datetime(unit))
    series = series.dt.replace_time_zone("UTC").dt.convert_time_zone(zone) if zone else series
    contract = RowContract(source="x", keys=("user",), time="ts")

    intake = read_rows([log(tmp_path / "a.parquet", user=["u"], ts=series)], contract, tmp_path)

    assert intake.accepted.get_column(TIME).to_list() == [int(moment.timestamp() * 1_000_000)]


def test_files_of_one_unit_may_differ_in_how_they_hold_times_texts_and_names(tmp_path):
    contract = RowContract(source="posts", keys=("user",), time="ts", text="said", unique="id")
    moment = datetime(2020, 3, 29, 0, 30, tzinfo=UTC)
    naive = pl.Series([moment.replace(tzinfo=None)]).cast(pl.Datetime("ms"))
    said = pl.Series(["hello"]).cast(pl.Categorical)
    paths = [
        log(tmp_path / "a.parquet", user=["u"], ts=[moment], said=["hello"], id=[7]),
        log(tmp_path / "b.parquet", user=["v"], ts=naive, said=said, id=["8"]),
        log(tmp_path / "c.parquet", user=["w"], ts=[5], said=["hello"], id=["7"]),
    ]

    intake = read_rows(paths, contract, tmp_path)

    at = int(moment.timestamp() * 1_000_000)
    columns = ["user", TIME, EVENT_TEXT, UNIQUE]
    assert intake.accepted.select(columns).rows() == [
        ("u", at, "hello", "7"),
        ("v", at, "hello", "8"),
    ]
    assert intake.rejects.select("file", "reason").rows() == [("c.parquet", "repeated key")]


def test_a_time_that_would_overflow_is_unreadable_and_not_a_believable_time(tmp_path):
    far = pl.Series([2**62, 5]).cast(pl.Datetime("ms"))
    path = log(tmp_path / "a.parquet", user=["u", "v"], object=["o", "o"], ts=far)

    intake = read_rows([path], CONTRACT, tmp_path)

    assert intake.rejects.select("row", "reason").rows() == [(0, "unreadable time")]


def test_numbers_that_are_not_finite_or_too_large_are_rejected_and_null_is_not(tmp_path):
    contract = RowContract(source="x", keys=("user",), numeric=("amount",))
    path = log(tmp_path / "a.parquet", user=list("abcd"), amount=[1.5, np.inf, 2.0**43, None])

    intake = read_rows([path], contract, tmp_path)

    assert intake.rejects.get_column("row").to_list() == [1, 2]
    assert intake.accepted.get_column("amount").to_list() == [1.5, None]
    assert FIXED_POINT == 2**20


def test_keys_that_differ_only_in_case_or_unicode_form_stay_apart(tmp_path):
    names = ["\u00e9", "e\u0301", "E", "e", "a\u200d", "a"]
    path = log(tmp_path / "a.parquet", user=names, object=["o"] * 6, ts=[1] * 6)

    intake = read_rows([path], CONTRACT, tmp_path)

    assert intake.accepted.get_column("user").n_unique() == 6


def test_a_missing_column_names_the_file_and_the_nearest_column(tmp_path):
    path = log(tmp_path / "a.parquet", usr=["u"], object=["o"], ts=[1])

    with pytest.raises(ColumnMissing) as raised:
        check_columns(path, CONTRACT)

    assert raised.value.column == "user"
    assert str(raised.value) == (
        f"table 'likes ({path})' has no column 'user' (found: object, ts, usr). Did you mean 'usr'?"
    )


def test_a_column_of_a_wrong_type_says_what_is_needed(tmp_path):
    path = log(tmp_path / "a.parquet", user=["u"], object=["o"], ts=["yesterday"])

    with pytest.raises(ColumnTypeWrong, match="column 'ts' has type large_string, but timestamp"):
        check_columns(path, CONTRACT)


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ([1, 5], r"column 'ts' has type integer \(up to 5\), but a timestamp or microseconds"),
        ([1, 7 * DAY], None),  # only the first row is impossible: rows tell that
        ([None, None], None),
        ([datetime(1970, 1, 1), None], None),
    ],
)
def test_integer_times_that_are_all_too_small_are_no_microseconds(tmp_path, times, told):
    path = log(tmp_path / "a.parquet", user=["u"] * 2, object=["o"] * 2, ts=times)
    contract = replace(CONTRACT, earliest_us=6)

    if told is None:
        check_times(path, pq.read_metadata(path), contract)
    else:
        with pytest.raises(ColumnTypeWrong, match=told):
            check_times(path, pq.read_metadata(path), contract)


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    path = tmp_path / "torn.parquet"
    path.write_bytes(b"PAR1 and then nothing")

    with pytest.raises(FileUnreadable, match=r"torn\.parquet: not a readable Parquet file"):
        read_rows([path], CONTRACT, tmp_path)

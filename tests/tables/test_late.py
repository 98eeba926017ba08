"""Late and early rows, wrong clocks, DST nights, the ends of the calendar."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from graphguard.config.sections import Config
from graphguard.errors import ColumnTypeWrong
from graphguard.tables.files import read_parquet
from graphguard.tables.ids import IdStore, IdStores
from graphguard.tables.late import LATE
from graphguard.tables.sources import DigestCache, SourceUnit
from graphguard.tables.units import encode_units, read_unit, unit_fingerprint, write_unit

DAY = date(2026, 1, 10)
NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)


def config_in(folder, lookback="3d"):
    return Config.model_validate({
        "logs": {"likes": {"path": "likes/dt={date}/*.parquet", "time": "ts"}},
        "graph": {"edges": [{"name": ["user", "likes", "post"], "log": "likes",
                             "source": "user", "target": "post"}]},
        "labels": {"path": "labels.parquet"},
        "limits": {"lookback": lookback},
        "root": folder,
    })  # fmt: skip


def write(out, config, unit, ids, as_of):
    """Read, encode and write one unit; returns the manifest's facts."""
    rows = read_unit(config, unit, as_of)
    encode_units(config, [rows], ids)
    return write_unit(out, rows)


def stored(folder, times, lookback="3d", day=DAY):
    """Store one file of a day with a like at each time; returns events, late, rejects, facts."""
    source = folder / "likes" / "part.parquet"
    source.parent.mkdir(parents=True, exist_ok=True)
    users = [f"u{number}" for number in range(len(times))]
    ts = times if isinstance(times, pl.Series) else pl.Series(times)
    pl.DataFrame({"user": users, "post": "p", "ts": ts}).write_parquet(source)
    config = config_in(folder, lookback)
    ids = IdStores(lambda name: IdStore(folder / "ids" / name))
    out = folder / "out"
    out.mkdir(exist_ok=True)
    unit = SourceUnit("likes", f"dt={day}", day, (source,))
    facts = write(out, config, unit, ids, date(2026, 2, 1))
    intake = facts["intake"][0]
    assert intake["accepted"] + intake["rejected"] + intake["not_yet"] == intake["read"]

    def users_of(name):
        path = out / name
        frame = (
            read_parquet(path)
            if path.is_file()
            else pl.DataFrame({"user": []}, schema={"user": pl.Int64})
        )
        return ids["user"].decode(frame, "user", "key").get_column("key").sort().to_list()

    path = out / "rejects.parquet"
    rejects = dict(read_parquet(path).select("row", "reason").iter_rows()) if path.is_file() else {}
    return users_of("events.parquet"), users_of("late.parquet"), rejects, facts


def test_the_look_back_is_counted_from_the_start_of_the_files_day(tmp_path):
    # look-back 3 d before 10 January: from 7 January 00:00 on
    edge = datetime(2026, 1, 7, tzinfo=UTC)
    times = [NOON, edge, edge - timedelta(microseconds=1), datetime(2025, 12, 1, tzinfo=UTC)]

    events, late, rejects, facts = stored(tmp_path, times)

    assert events == ["u0", "u1"]
    assert late == ["u2", "u3"]
    assert rejects == {2: LATE, 3: LATE}
    assert (facts["rows"], facts["late"]) == (2, 2)
    assert facts["first_us"] == int(edge.timestamp() * 1e6)
    path = tmp_path / "out" / "rejects.parquet"
    reject = read_parquet(path).row(by_predicate=pl.col("row") == 3, named=True)
    assert reject["value"] == "2025-12-01 00:00:00.000000"


def test_a_unit_without_late_rows_has_no_late_table(tmp_path):
    events, late, rejects, facts = stored(tmp_path, [NOON])

    assert (events, late, rejects, facts["late"]) == (["u0"], [], {}, 0)
    assert not (tmp_path / "out" / "late.parquet").exists()


def test_rows_ahead_of_their_file_are_from_the_future_after_five_minutes(tmp_path):
    end = datetime(2026, 1, 11, tzinfo=UTC)
    times = [end + timedelta(minutes=5, microseconds=-1), end + timedelta(minutes=5)]

    events, late, rejects, _ = stored(tmp_path, times)

    assert (events, late) == (["u0"], [])
    assert rejects == {1: "time in the future"}


@pytest.mark.parametrize("hours", [-26, 26])
def test_a_device_clock_that_is_off_by_a_day_and_more(tmp_path, hours):
    # Behind: the row falls into the look-back. Ahead: into the future, and it is rejected.
    events, late, rejects, _ = stored(tmp_path, [NOON + timedelta(hours=hours)])

    assert late == []
    assert events == (["u0"] if hours < 0 else [])
    assert rejects == ({} if hours < 0 else {0: "time in the future"})


def test_the_ends_of_the_calendar_are_rejected(tmp_path):
    times = pl.Series([0, 253_402_300_799_000_000, -1, 2**63 - 1], dtype=pl.Int64)

    events, late, rejects, _ = stored(tmp_path, times.cast(pl.Datetime("us", "UTC")))

    assert (events, late) == ([], [])
    assert rejects[0] == rejects[2] == "impossible time"
    assert rejects[1] == "time in the future"
    assert rejects[3] == "unreadable time"


@pytest.mark.parametrize("night", [date(2026, 3, 29), date(2026, 10, 25)])
def test_a_night_on_which_clocks_are_set_is_as_long_as_any_other(tmp_path, night):
    # Berlin: 29 March has 23 hours, 25 October 25; half-hours of one UTC day, in local time.
    start = datetime(night.year, night.month, night.day, tzinfo=UTC)
    berlin = ZoneInfo("Europe/Berlin")
    times = [(start + timedelta(minutes=30 * n)).astimezone(berlin) for n in range(48)]
    zoned = pl.Series(times, dtype=pl.Datetime("us", "Europe/Berlin"))
    config = config_in(tmp_path)

    source = tmp_path / "likes" / "part.parquet"
    source.parent.mkdir(parents=True)
    pl.DataFrame({"user": "u", "post": "p", "ts": zoned}).write_parquet(source)
    ids = {name: IdStore(tmp_path / "ids" / name) for name in ("user", "post")}
    (tmp_path / "out").mkdir()
    unit = SourceUnit("likes", f"dt={night}", night, (source,))
    facts = write(tmp_path / "out", config, unit, ids, date(2027, 1, 1))

    stored_times = read_parquet(tmp_path / "out" / "events.parquet").get_column("time_us")
    assert facts["rows"] == 48
    assert stored_times.diff().drop_nulls().unique().to_list() == [1_800_000_000]
    assert stored_times[0] == int(start.timestamp() * 1e6)


def test_a_time_as_text_is_refused_even_where_one_is_a_leap_second(tmp_path):
    with pytest.raises(ColumnTypeWrong, match="'ts' has type .*string"):
        stored(tmp_path, ["2016-12-31T23:59:60Z"])


def test_the_look_back_is_part_of_a_units_name(tmp_path):
    source = tmp_path / "part.parquet"
    source.write_bytes(b"x")
    unit = SourceUnit("likes", f"dt={DAY}", DAY, (source,))
    digests = DigestCache(tmp_path / "digests.json")

    marks = {
        unit_fingerprint(config_in(tmp_path, lookback), unit, digests, date(2026, 2, 1))
        for lookback in ("3d", "4d", "3d")
    }
    assert len(marks) == 2

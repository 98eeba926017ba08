"""What a platform's changed files do: each change has its declared outcome, and none is silent.

docs/data.md holds the same table, and a test compares the two.
"""

import copy
import re
import shutil
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hostile_platform import FIRST, Platform, ingested, us

from graphguard.errors import DataError
from graphguard.tables.events import scan_events

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
NUMBER = 40
DAYS = [FIRST + timedelta(days=number) for number in range(5)]
NEWEST = DAYS[-1]
AS_OF = NEWEST + timedelta(days=1)
ACCEPT, WARN, RED, REFUSE = "accepted", "accepted, with a warning", "red gate", "refused"


def payments(day):
    draw = np.random.default_rng(day.toordinal())
    channel = ["card", "cash", "wire", "card"] * (NUMBER // 4)
    return pa.table(
        {
            "user_id": pa.array(range(NUMBER), pa.int64()),
            "shop": [f"s{n % 7}" for n in range(NUMBER)],
            "ts": pa.array([us(day, 60 * n) for n in range(NUMBER)], pa.timestamp("us", tz="UTC")),
            "amount": np.round(draw.uniform(10, 90, NUMBER), 2),
            "channel": channel,
            "note": [f"note {n}" for n in range(NUMBER)],
            "extra": [{"x": n} for n in range(NUMBER)],
        }
    )


def put(name, make):
    """A change: column `name` becomes `make(its values)`."""

    def change(table):
        place = table.column_names.index(name)
        made = make(table.column(name))
        values = made if isinstance(made, (pa.Array, pa.ChunkedArray)) else pa.array(made)
        return table.set_column(place, name, values)

    return change


def cast(name, kind):
    return put(name, lambda values: values.cast(kind))


def drop(name):
    return lambda table: table.drop_columns([name])


def rename(name, new):
    return lambda table: table.rename_columns([new if c == name else c for c in table.column_names])


def twice(table):
    return table.append_column("user_id", table.column("user_id"))


def epoch(factor):
    """Times as integers: `factor` of them a microsecond, or its inverse."""

    def make(values):
        whole = [value.value for value in values]
        return pa.array([one * factor if factor > 0 else one // -factor for one in whole])

    return put("ts", make)


def strings(values):
    # 23:59:60 is a real time on some days, and no library reads it.
    return ["2026-01-09T23:59:60Z"] * len(values)


def some_null(values):
    return [None if n < 1 else f"s{n}" for n in range(len(values))]


US = pa.timestamp("us")
DRIFTS = {
    "a new column": (lambda t: t.append_column("new", t.column("shop")), ACCEPT),
    "columns in another order": (lambda t: t.select(t.column_names[::-1]), ACCEPT),
    "an unused column is gone": (drop("extra"), ACCEPT),
    "an unused nested column has another shape": (
        put("extra", lambda v: [{"y": {"z": [1]}}] * len(v)),
        ACCEPT,
    ),
    "the key column is gone": (drop("user_id"), REFUSE),
    "the time column is gone": (drop("ts"), REFUSE),
    "a number column is gone": (drop("amount"), REFUSE),
    "a category column is gone": (drop("channel"), REFUSE),
    "the text column is gone": (drop("note"), REFUSE),
    "a column is renamed": (rename("user_id", "account_id"), REFUSE),
    "a column's name changes case": (rename("user_id", "User_ID"), REFUSE),
    "a column is there twice": (twice, REFUSE),
    "key: int64 to int32": (cast("user_id", pa.int32()), ACCEPT),
    "key: int64 to uint64": (cast("user_id", pa.uint64()), ACCEPT),
    "key: integer to text of its digits": (cast("user_id", pa.string()), ACCEPT),
    "key: integer to float": (cast("user_id", pa.float64()), REFUSE),
    "key: text to large text": (cast("shop", pa.large_string()), ACCEPT),
    "key: text to dictionary": (put("shop", lambda v: v.dictionary_encode()), ACCEPT),
    "key: text to bytes": (cast("shop", pa.binary()), REFUSE),
    "key: text to list of text": (put("shop", lambda v: [[str(one)] for one in v]), REFUSE),
    "key: all null, typed": (put("shop", lambda v: pa.nulls(len(v), pa.string())), REFUSE),
    "key: all null, untyped": (put("shop", lambda v: pa.nulls(len(v))), REFUSE),
    "key: one in 200 null": (put("shop", some_null), ACCEPT),
    "time: microseconds to milliseconds, typed": (cast("ts", pa.timestamp("ms", "UTC")), ACCEPT),
    "time: microseconds to nanoseconds, typed": (cast("ts", pa.timestamp("ns", "UTC")), ACCEPT),
    "time: UTC to another zone": (cast("ts", pa.timestamp("us", "Europe/Berlin")), ACCEPT),
    "time: UTC to no zone": (cast("ts", US), ACCEPT),
    "time: timestamp to integer microseconds": (epoch(1), ACCEPT),
    "time: to integer milliseconds": (epoch(-1000), REFUSE),
    "time: to integer seconds": (epoch(-1_000_000), REFUSE),
    "time: to integer nanoseconds": (epoch(1000), RED),
    "time: to float": (put("ts", lambda v: [float(one.value) for one in v]), REFUSE),
    "time: to text, with a leap second": (put("ts", strings), REFUSE),
    "time: to a date": (put("ts", lambda v: [NEWEST] * len(v)), WARN),
    "number: float to decimal": (
        put("amount", lambda v: [Decimal(f"{one.as_py():.2f}") for one in v]),
        ACCEPT,
    ),
    "number: float to float32": (cast("amount", pa.float32()), ACCEPT),
    "number: to text": (cast("amount", pa.string()), REFUSE),
    "number: unit a thousand times smaller": (
        put("amount", lambda v: [one.as_py() * 1000 for one in v]),
        RED,
    ),
    "number: unit a thousand times larger": (
        put("amount", lambda v: [one.as_py() / 1000 for one in v]),
        RED,
    ),
    "number: all null": (put("amount", lambda v: pa.nulls(len(v), pa.float64())), WARN),
    "category: one new value": (
        put("channel", lambda v: ["coin", *v.to_pylist()[1:]]),
        ACCEPT,
    ),
    "category: all renamed": (put("channel", lambda v: [f"{one}s" for one in v]), WARN),
    "category: other case": (put("channel", lambda v: [str(one).upper() for one in v]), WARN),
    "category: text to codes": (put("channel", lambda v: list(range(len(v)))), WARN),
    "category: all null": (put("channel", lambda v: pa.nulls(len(v), pa.string())), WARN),
    "text: all null": (put("note", lambda v: pa.nulls(len(v), pa.string())), WARN),
    "text: to bytes": (cast("note", pa.binary()), REFUSE),
}


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A platform with five days of payments after a night, and the newest day's rows."""
    platform = Platform(tmp_path_factory.mktemp("honest"))
    platform.raw["logs"] = {
        "payments": {
            "path": "logs/payments/dt={date}/*.parquet",
            "time": "ts",
            "numeric": ["amount"],
            "categorical": ["channel"],
            "text": "note",
        }
    }
    platform.raw["graph"]["edges"][0] |= {"log": "payments", "target": "shop"}
    platform.write("labels.parquet", user_id=["0"], is_abusive=[True], decided_at=[us(FIRST)])
    for day in DAYS:
        platform.put(f"logs/payments/dt={day}/part-0.parquet", payments(day))
    return platform, newest_rows(outcome(platform)[1])


@pytest.fixture
def shop(honest, tmp_path):
    """The platform once more after its night; the newest day is the test's to change."""
    platform = Platform(tmp_path / "shop")
    platform.raw = copy.deepcopy(honest[0].raw)
    shutil.copytree(honest[0].root, platform.root, dirs_exist_ok=True)
    return platform


def newest_rows(run):
    """The newest day's rows, keys decoded."""
    events = scan_events(run, "payments", us(NEWEST), us(AS_OF)).collect()
    for column, kind in (("user_id", "user"), ("shop", "content")):
        ids = run.workspace.ids(kind)
        keys = ids.decode(events.select(column), column, "__key").get_column("__key")
        events = events.with_columns(keys.alias(column))
    return events.sort("time_us", "user_id")


def outcome(platform):
    """How a night on the platform's files ends, and the run if it has an ingest."""
    try:
        run = platform.night(as_of=AS_OF)
    except DataError as error:
        return REFUSE, None, str(error)
    facts = run.manifest("ingest")
    said = [*facts["gates"], *facts["warnings"]]
    return (RED if facts["gates"] else WARN if said else ACCEPT), run, " ".join(said)


@pytest.mark.parametrize("drift", DRIFTS)
def test_a_change_has_its_declared_outcome_and_is_never_silent(honest, shop, drift):
    change, declared = DRIFTS[drift]
    before = honest[1]
    table = change(payments(NEWEST))
    shop.put(f"logs/payments/dt={NEWEST}/part-0.parquet", table)

    found, run, said = outcome(shop)

    assert found == declared, said
    if found == ACCEPT:
        after = newest_rows(run)
        nulls = "key: one in 200 null" == drift
        assert after.height == before.height - nulls
        # Nothing became null that was not, and the values are those that were sent.
        assert after.null_count().sum_horizontal()[0] == before.null_count().sum_horizontal()[0]
        if not nulls and not drift.startswith(("category", "number")):
            assert after.equals(before)
    elif found == REFUSE:
        # By the file where it is wrong as a whole, by the log where its rows are.
        assert "payments" in said


def clicks(day, number=NUMBER):
    return pa.table(
        {
            "user_id": [f"u{n}" for n in range(number)],
            "content_id": ["c"] * number,
            "ts": pa.array([us(day, n) for n in range(number)], pa.int64()),
        }
    )


@pytest.mark.parametrize(
    ("factor", "declared", "words"),
    [
        (None, ACCEPT, ""),
        (1000, RED, "log 'likes' has 0 rows on its newest day, usual are 40"),
        (-1000, REFUSE, "impossible time in 'ts'"),
    ],
)
def test_a_log_without_daily_files_shows_a_change_of_unit_too(platform, factor, declared, words):
    platform.raw["logs"]["likes"]["path"] = "likes/*.parquet"
    for day in DAYS:
        table = clicks(day)
        if day == NEWEST and factor is not None:
            whole = table.column("ts").to_pylist()
            changed = [one * factor if factor > 0 else one // -factor for one in whole]
            table = table.set_column(2, "ts", pa.array(changed))
        platform.put(f"likes/{day}.parquet", table)

    found, _, said = outcome(platform)

    assert found == declared
    assert words in said


@pytest.mark.parametrize("factor", [1000, 1_000_000])
def test_labels_in_another_unit_are_refused(platform, factor):
    platform.likes(NEWEST, 5)
    decided = us(FIRST) // factor
    platform.write("labels.parquet", user_id=["u0"], is_abusive=[True], decided_at=[decided])

    found, _, said = outcome(platform)

    assert found == REFUSE
    assert "impossible time in 'decided_at'" in said


def test_an_entity_table_in_another_unit_is_told(platform):
    platform.likes(NEWEST, 5)
    platform.raw["entities"] = {
        "user": {"path": "users.parquet", "key": "user_id", "time": "updated_at"}
    }
    platform.write("users.parquet", user_id=["u0", "u1"], updated_at=[us(FIRST) // 1000] * 2)

    found, _, said = outcome(platform)

    assert found == WARN
    assert "entities.user: 2 of 2 rows have a 'updated_at' before 2000-01-01" in said


NOT_YET = "not yet seen"
# Moments and what becomes of an event at each, as an integer and as a timestamp. The file's day is
# 2026-01-09; the cutoff lies a day later, and what lies beyond it is counted and not judged.
MOMENTS = {
    "epoch 0": (0, "impossible time", "impossible time"),
    "the last microsecond of 1999": (946_684_799_999_999, "impossible time", "impossible time"),
    "the first of 2000": (946_684_800_000_000, None, None),
    "4:59.999999 after the file's day": (us(AS_OF, 300) - 1, None, None),
    "5 minutes after the file's day": (
        us(AS_OF, 300),
        "time in the future",
        "time in the future",
    ),
    "year 9999": (253_402_300_799_000_000, NOT_YET, NOT_YET),
    "the largest integer": (2**63 - 1, NOT_YET, "unreadable time"),
    "the smallest integer": (-(2**63), "impossible time", "unreadable time"),
    "null": (None, "unreadable time", "unreadable time"),
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("typed", [False, True], ids=["integer", "timestamp"])
def test_a_moment_is_taken_or_rejected_with_its_reason(platform, moment, typed):
    value, *reasons = MOMENTS[moment]
    reason = reasons[typed]
    # Rows of any age are taken: what is too old for its file is tested with the late table.
    platform.raw["limits"] = {"max_reject_ratio": 1, "lookback": "20000d"}
    kind = pa.timestamp("us", tz="UTC") if typed else pa.int64()
    table = pa.table({"user_id": ["a", "b"], "content_id": ["c", "c"]})
    times = pa.array([us(NEWEST), value], pa.int64()).cast(kind)
    platform.put(platform.part(NEWEST), table.append_column("ts", times))
    platform.write("labels.parquet", user_id=["a"], is_abusive=[True], decided_at=[us(NEWEST)])
    platform.put(platform.part(AS_OF), clicks(AS_OF, 1))

    run = platform.night(as_of=AS_OF + timedelta(days=1))

    rejects = ingested(run, "rejects").select("row", "column", "reason").rows()
    intake = ingested(run, "intake").filter(pl.col("file").str.contains(str(NEWEST)))
    events = scan_events(run, "likes", -(2**62), 2**62).filter(pl.col("time_us") != us(AS_OF))
    taken = events.collect().get_column("time_us").to_list()
    assert sorted(taken) == sorted([us(NEWEST), *([value] if reason is None else [])])
    assert rejects == ([] if reason in (None, NOT_YET) else [(1, "ts", reason)])
    counts = intake.select("read", "accepted", "rejected", "not_yet").row(0)
    assert counts == (2, len(taken), len(rejects), int(reason == NOT_YET))


@pytest.mark.parametrize("day", ["2026-03-29", "2025-10-25", "2025-10-26"])
def test_the_night_of_a_clock_change_neither_loses_nor_doubles_an_hour(platform, day):
    # Every half hour of the UTC day, as the wall clocks of Berlin show it with their zone.
    start = us(type(FIRST).fromisoformat(day))
    moments = [start + number * 1_800_000_000 for number in range(48)]
    times = pa.array(moments, pa.timestamp("us", tz="Europe/Berlin"))
    table = pa.table({"user_id": ["u"] * 48, "content_id": [f"c{n}" for n in range(48)]})
    platform.put(f"logs/likes/dt={day}/part-0.parquet", table.append_column("ts", times))
    platform.write("labels.parquet", user_id=["u"], is_abusive=[True], decided_at=[start])

    run = platform.night(as_of=type(FIRST).fromisoformat(day) + timedelta(days=1))

    events = scan_events(run, "likes", 0, 2**62).collect()
    assert events.get_column("time_us").to_list() == moments


def test_the_page_about_data_declares_the_same_outcomes():
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", text, re.M)

    declared = {name: said for name, said in rows if said in (ACCEPT, WARN, RED, REFUSE)}
    assert declared == {name: said for name, (_, said) in DRIFTS.items()}

from dataclasses import replace

import polars as pl
import pytest

from graphguard.errors import ColumnMissing
from graphguard.schema import EVENT_TEXT, FIXED_POINT
from graphguard.tables.admission import UnitFiles, admit, encoded, new_ids
from graphguard.tables.engine import PolarsEngine
from graphguard.tables.ids import IdStore
from graphguard.tables.row_contract import RowContract

DAY = 86_400_000_000
CONTRACT = RowContract(
    source="posts",
    keys=("user",),
    optional_keys=("link",),
    time="ts",
    numeric=("amount",),
    text="caption",
    unique="id",
    cutoff_us=10 * DAY,
)


@pytest.fixture
def units(tmp_path):
    # unit 1, day 1: fine · null key · null time · repeat of id p   unit 2: id p again: fine there
    first = {
        "user": ["a", None, "b", "c"],
        "link": [None, "x", "y", "z"],
        "ts": [DAY, DAY, None, DAY + 5],
        "amount": [1.5, 2.0, 3.0, 4.0],
        "caption": ["hi", "", None, "!"],
        "id": ["p", "q", "r", "p"],
    }
    second = {name: values[:1] for name, values in first.items()} | {"ts": [11 * DAY]}
    third = {name: values[3:] for name, values in first.items()} | {"amount": [None]}
    paths = []
    for number, columns in enumerate((first, second, third)):
        path = tmp_path / f"{number}.parquet"
        schema = {"amount": pl.Float64, "ts": pl.Int64, "caption": pl.String, "link": pl.String}
        pl.DataFrame(columns, schema_overrides=schema).write_parquet(path)
        paths.append(path)
    return [UnitFiles((paths[0],), 2 * DAY), UnitFiles((paths[1], paths[2]))]


def test_keys_are_strings_whatever_the_contract_says_of_codes(units, tmp_path):
    engine = PolarsEngine()

    made = admit(engine, units, replace(CONTRACT, coded=True), tmp_path)

    users = engine.collect(made.accepted).get_column("user").sort()
    assert users.to_list() == ["a", "c"]


def test_every_row_of_every_unit_is_accounted_for(units, tmp_path):
    engine = PolarsEngine()

    made = admit(engine, units, CONTRACT, tmp_path)

    accepted = engine.collect(made.accepted).sort("time_us", "user")
    assert accepted.columns == ["time_us", "user", "link", EVENT_TEXT, "amount"]
    assert accepted.rows() == [
        (DAY, "a", None, "hi", 3 * FIXED_POINT // 2),
        (DAY + 5, "c", "z", "!", None),
    ]
    rejects = engine.collect(made.rejects).sort("file", "row")
    assert rejects.select("file", "row", "column", "reason").rows() == [
        ("0.parquet", 1, "user", "null key"),
        ("0.parquet", 2, "ts", "unreadable time"),
        ("0.parquet", 3, "id", "repeated key"),
    ]
    counts = engine.collect(made.counts).sort("file")
    assert counts.select("file", "read", "accepted", "rejected", "not_yet").rows() == [
        ("0.parquet", 4, 1, 3, 0),
        ("1.parquet", 1, 0, 0, 1),
        ("2.parquet", 1, 1, 0, 0),
    ]


def test_a_file_without_a_column_is_told(units, tmp_path):
    pl.DataFrame({"user": ["a"]}).write_parquet(tmp_path / "short.parquet")

    with pytest.raises(ColumnMissing, match="'link'"):
        admit(PolarsEngine(), [UnitFiles((tmp_path / "short.parquet",))], CONTRACT, tmp_path)


def test_new_keys_are_numbered_after_the_known_ones_as_the_id_store_numbers_them(tmp_path):
    engine, store = PolarsEngine(), IdStore(tmp_path)
    store.add(pl.Series(["m", "b"]))
    keys = pl.Series("key", ["z", "b", None, "é", "a", "z", "\U0001f600", "\uffee"])
    before = store.frame

    new = engine.collect(
        new_ids(engine.table(keys.to_frame()), engine.table(before), before.height)
    )

    store.add(keys)
    assert pl.concat([before, new.sort("index")]).equals(store.frame)


def test_encoding_gives_the_indices_and_null_for_strangers():
    engine = PolarsEngine()
    ids = engine.table(pl.DataFrame({"key": ["x", "y"], "index": [0, 1]}))
    frame = pl.DataFrame({"user": ["y", "z", "x", None], "n": [1, 2, 3, 4]})

    coded = engine.collect(encoded(engine.table(frame), "user", ids)).sort("n")

    assert coded.rows() == [(1, 1), (2, None), (3, 0), (4, None)]

import subprocess
import sys
from contextlib import suppress

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graphguard.tables.dictionaries import codes_of
from graphguard.tables.files import read_foreign_parquet
from graphguard.tables.footers import repeating


def written(path, keys, **settings):
    pq.write_table(pa.table({"key": keys}), path, **settings)
    return path


FEW = [f"u{number % 9}" for number in range(1000)]
MANY = [f"u{number:03}" for number in range(1000)]


@pytest.mark.parametrize(
    ("keys", "settings", "chosen"),
    [
        (FEW, {}, ["key"]),
        (MANY, {}, []),
        # What repeats and was written plainly is read as it stands.
        (FEW, {"use_dictionary": False}, []),
        (MANY, {"row_group_size": 100}, []),
        (MANY, {"write_statistics": False}, ["key"]),
        ([None] * 5, {}, ["key"]),
        (list(range(1000)), {}, ["key"]),
        ([], {}, ["key"]),
    ],
)
def test_columns_of_keys_that_hardly_repeat_need_no_dictionary(tmp_path, keys, settings, chosen):
    kind = None if keys else pa.string()
    path = written(tmp_path / "a.parquet", pa.array(keys, kind), **settings)

    assert repeating(pq.read_metadata(path), ["key"]) == chosen


def damage(path, column):
    """Turn one bit of the footer, so that no one may look at one column."""
    whole = path.read_bytes()
    # The type of a column is told just before its name, where its pages are told.
    named = whole.rindex(column.encode(), 0, whole.index(b"ARROW:schema"))
    for at in range(named - 16, named):
        torn = bytearray(whole)
        torn[at] ^= 4
        path.write_bytes(torn)
        with suppress(OSError, pa.ArrowException):
            pq.read_metadata(path)
            if [dies(path, name) for name in ("key", "other")] == [False, True]:
                return
    pytest.fail(f"no bit ends who looks at '{column}'")


def dies(path, column):
    look = f"""
import pyarrow.parquet as pq
from graphguard.tables.footers import repeating
repeating(pq.read_metadata({str(path)!r}), [{column!r}])
"""
    return subprocess.run([sys.executable, "-c", look], capture_output=True).returncode < 0


def test_a_damaged_column_that_nobody_reads_ends_no_process(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"key": FEW, "other": list(range(1000))}), path)

    damage(path, "other")

    assert pq.read_table(path, columns=["key"]).column("key").to_pylist() == FEW
    assert read_foreign_parquet(path, ["key"], ["key"]).column("key").to_pylist() == FEW
    with pytest.raises(OSError, match=".+"):
        pq.read_table(path)


@pytest.mark.parametrize("keys", [FEW, MANY, [None, *MANY, None], [None, *FEW], [*FEW, ""]])
def test_codes_stand_for_the_same_keys_read_either_way(tmp_path, keys):
    path = written(tmp_path / "a.parquet", keys)

    codes, words = codes_of(read_foreign_parquet(path, ["key"], ["key"]), "key")

    assert codes.dtype == pl.Int32
    assert words.gather(codes).to_list() == keys
    assert codes.null_count() == keys.count(None)

"""Files of rows that become known one after the other."""

import polars as pl
import pytest

from graphguard.errors import ColumnTypeWrong
from graphguard.schema import ACTED
from graphguard.tables import files
from graphguard.tables.files import BegunParquet, read_parquet, write_parquet


def rows(start, end):
    return pl.DataFrame({"bits": list(range(start, end))}, schema={"bits": pl.Int64})


@pytest.mark.parametrize("first", [0, 3, 4, 5, 9])
@pytest.mark.parametrize("more", [0, 1, 4, 7])
def test_a_file_begun_early_is_that_of_all_rows(tmp_path, monkeypatch, first, more):
    monkeypatch.setattr(files, "ROW_GROUP", 4)

    begun = BegunParquet(tmp_path / "begun.parquet", rows(0, first), ACTED)
    begun.finish(rows(first, first + more))

    write_parquet(tmp_path / "whole.parquet", rows(0, first + more), ACTED)
    assert read_parquet(tmp_path / "begun.parquet").equals(rows(0, first + more))
    found = [(tmp_path / f"{name}.parquet").read_bytes() for name in ("begun", "whole")]
    assert found[0] == found[1]


def test_rows_that_come_later_are_held_against_the_contract(tmp_path):
    begun = BegunParquet(tmp_path / "begun.parquet", rows(0, 3), ACTED)

    with pytest.raises(ColumnTypeWrong, match="bits"):
        begun.finish(pl.DataFrame({"bits": [1.5]}))

    begun.close()

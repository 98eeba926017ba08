"""Files that are small on disk and huge once read: refused before they are, within limits."""

import sys
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile_platform import FIRST, us

SECONDS, PEAK_MB = 5.0, 1024


def constant(platform, rows):
    """A file of `rows` equal rows: dictionary and run-length encoding make it tiny."""
    group = min(rows, 50_000_000)
    word = pa.array(["w"])
    table = pa.table(
        {
            "user_id": pa.DictionaryArray.from_arrays(np.zeros(group, np.int8), word),
            "ts": pa.array(np.full(group, us(FIRST)), pa.timestamp("us", tz="UTC")),
        }
    )
    path = platform.root / platform.part(FIRST)
    path.parent.mkdir(parents=True)
    with pq.ParquetWriter(path, table.schema, compression="zstd", write_statistics=False) as file:
        for _ in range(rows // group):
            file.write_table(table, row_group_size=group)
    return path


def many_columns(platform):
    table = pa.table({f"column_{n}": pa.array([0], pa.int8()) for n in range(100_000)})
    return platform.put(platform.part(FIRST), table, write_statistics=False)


def letters(lengths):
    """Strings of the letter a, made without a copy in Python."""
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    text = np.full(int(ends[-1]), ord("a"), np.uint8)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(text)]
    return pa.Array.from_buffers(pa.large_string(), len(lengths), buffers)


def long_value(platform, lengths=(10**9,)):
    rows = len(lengths)
    table = pa.table(
        {
            "user_id": letters(lengths),
            "content_id": ["c"] * rows,
            "ts": pa.array([us(FIRST)] * rows, pa.timestamp("us", tz="UTC")),
        }
    )
    options = {"use_dictionary": False, "write_statistics": False, "compression": "zstd"}
    return platform.put(platform.part(FIRST), table, **options)


def long_value_among_short_ones(platform):
    # The mean length tells nothing here; the cap on the reader's memory does.
    platform.raw["limits"] = {"reader_memory_mb": 128}
    return long_value(platform, (1,) * 10**6 + (3 * 10**8,))


def value_a_bit_too_long(platform):
    return long_value(platform, (1,) * 10**4 + (2**20 + 1,))


def deep_column(platform, depth=500):
    kind = pa.int8()
    for _ in range(depth):
        kind = pa.struct([("x", kind)])
    table = pa.table(
        {
            "user_id": ["u"],
            "content_id": ["c"],
            "ts": pa.array([us(FIRST)], pa.timestamp("us", tz="UTC")),
            "deep": pa.nulls(1, kind),
        }
    )
    return platform.put(platform.part(FIRST), table, write_statistics=False)


def many_row_groups(platform, number=10**6):
    path = platform.root / platform.part(FIRST)
    path.parent.mkdir(parents=True)
    schema = pa.schema([("ts", pa.int64())])
    with pq.ParquetWriter(path, schema, write_statistics=False, use_dictionary=False) as file:
        one = pa.table({"ts": [us(FIRST)] * 2000})
        for _ in range(number // 2000):
            file.write_table(one, row_group_size=1)
    return path


def with_limits(make, **limits):
    """A bomb that passes the limit it was refused by, on the way to the next one."""

    def bomb(platform):
        platform.raw["limits"] = limits
        return make(platform)

    return bomb


def bombs():
    few = {"100 million rows": 10**8, "1e9 rows": 10**9}
    slow = pytest.mark.slow
    for name, rows in few.items():
        marks = [slow] if rows > 10**8 else []
        limits = {} if rows > 10**8 else {"max_rows_per_file": 10**7}
        made = with_limits(partial(constant, rows=rows), **limits)
        yield pytest.param(made, "(limits.max_rows_per_file)", id=name, marks=marks)
        big = {"max_rows_per_file": 10**12, "max_file_gb": 1}
        made = with_limits(partial(constant, rows=rows), **big)
        yield pytest.param(made, "(limits.max_file_gb)", id=f"{name} by width", marks=marks)
    yield pytest.param(many_columns, "(limits.max_footer_mb)", id="100,000 columns")
    made = with_limits(many_columns, max_footer_mb=64)
    yield pytest.param(made, "(limits.max_columns)", id="100,000 columns in a legal footer")
    yield pytest.param(long_value, "(limits.max_value_kb)", id="a string of 1 GB", marks=slow)
    rare = long_value_among_short_ones
    yield pytest.param(rare, "(limits.reader_memory_mb)", id="300 MB among short strings")
    yield pytest.param(value_a_bit_too_long, "(limits.max_value_kb)", id="1 MB and a byte")
    yield pytest.param(deep_column, "too deeply nested", id="500 deep")
    made = partial(deep_column, depth=50)
    yield pytest.param(made, "(limits.max_nesting)", id="50 deep")
    yield pytest.param(many_row_groups, "(limits.max_footer_mb)", id="1e6 row groups", marks=slow)
    made = partial(many_row_groups, number=20_000)
    yield pytest.param(made, "(limits.max_row_groups)", id="20,000 row groups")


@pytest.mark.parametrize(("make", "reason"), [*bombs()])
def test_a_bomb_is_refused_in_five_seconds_and_a_gigabyte(platform, make, reason, record_property):
    path = make(platform)

    ended = platform.command()

    sys.stdout.write(f"{path.stat().st_size / 1e6:.1f} MB on disk: {ended.figures}\n")
    assert ended.code == 65, ended.stderr
    assert f"{path}: " in ended.stderr
    assert reason in ended.stderr
    assert ended.peak_mb < PEAK_MB
    # Of the processor: on a busy machine wall time tells about the others.
    assert ended.cpu_seconds < SECONDS

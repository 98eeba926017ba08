import numpy as np
import pytest

from graphguard.tables.marks import BLOCK, FEWEST_BITS, MarkTable


@pytest.mark.parametrize("held", [0, 5, BLOCK + 1])
def test_each_mark_keeps_its_row_while_the_table_grows(held):
    rng = np.random.default_rng(1)
    begin = rng.integers(0, 2**63, held).astype(np.uint64)
    table = MarkTable(begin, np.arange(held))
    known = {int(mark): row for row, mark in enumerate(begin)}

    for _ in range(3):
        # Many more than there is room for, some known, some twice, some that begin alike.
        asked = np.r_[
            rng.integers(0, 2**63, BLOCK * 2 + 7).astype(np.uint64),
            rng.integers(0, 500, 2000).astype(np.uint64),
            begin[:100],
        ]
        rng.shuffle(asked)
        for mark, row in zip(asked.tolist(), table.rows(asked).tolist(), strict=True):
            assert known.setdefault(mark, row) == row

    assert len(table) == len(known)
    assert sorted(known.values()) == list(range(len(known)))


def test_marks_that_all_begin_in_the_last_place_go_on_at_the_first():
    last = np.uint64(2**64 - 1) - np.arange(1 << (FEWEST_BITS - 2), dtype=np.uint64)
    table = MarkTable(last[:3], np.array([30, 31, 32]))

    rows = table.rows(last)

    assert rows[:3].tolist() == [0, 1, 2]
    assert sorted(rows) == list(range(len(last)))
    assert table.rows(last).tolist() == rows.tolist()
    assert table.values(rows[:3]).tolist() == [30, 31, 32]

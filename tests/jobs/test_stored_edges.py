from pathlib import Path

import polars as pl
import pytest

from graphguard.errors import ArtefactInvalid
from graphguard.jobs.stored_edges import EdgeRoom

FIRST, SECOND, THIRD = Path("a"), Path("b"), Path("c")


def day(*rows):
    names = ("source", "target", "first_us", "count")
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.Int64), orient="row")


def test_days_close_up_where_fewer_edges_came_than_there_was_room_for():
    room = EdgeRoom({FIRST: 3, SECOND: 2, THIRD: 5})
    room.put(THIRD, day((5, 6, 30, 1), (7, 8, 31, 4)))
    room.put(FIRST, day((1, 2, 10, 2)))
    assert room.left() == [SECOND]
    room.put(SECOND, day((3, 4, 20, 1), (3, 5, 21, 1)))

    edges = room.arrays()

    assert edges.source.tolist() == [1, 3, 3, 5, 7]
    assert edges.target.tolist() == [2, 4, 5, 6, 8]
    assert edges.time_us.tolist() == [10, 20, 21, 30, 31]
    assert edges.count.tolist() == [2, 1, 1, 1, 4]


def test_a_pair_may_meet_more_often_in_a_day_than_a_byte_holds():
    room = EdgeRoom({FIRST: 3, SECOND: 2, THIRD: 1})
    room.put(FIRST, day((1, 2, 10, 255)))
    room.put(SECOND, day((3, 4, 20, 256), (3, 5, 21, 70_000)))
    room.put(THIRD, day((5, 6, 30, 2)))

    assert room.arrays().count.tolist() == [255, 256, 70_000, 2]


def test_an_index_beyond_32_bits_is_an_error_and_not_another_index():
    with pytest.raises(ArtefactInvalid, match="'source' holds a number that is not within 31 bits"):
        EdgeRoom({FIRST: 1}).put(FIRST, day((2**31, 0, 0, 1)))

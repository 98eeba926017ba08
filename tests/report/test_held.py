import polars as pl

from graphguard.report.held import held_together
from graphguard.ring_schema import RING_SETS


def sets(*rows):
    shared = {"ring_id": "r", "window_us": 1, "object_type": "post", "users": 1, "terms": "{}"}
    table = [shared | dict(zip(("test", "channel", "number", "keys", "objects", "log10_q"), row,
             strict=True)) for row in rows]  # fmt: skip
    return pl.DataFrame(table, schema=RING_SETS.empty().schema)


def said(table):
    none = pl.DataFrame(schema={"channel": pl.String, "number": pl.Int64, "key": pl.String,
                                "text": pl.String})  # fmt: skip
    return held_together(table, none)


def test_those_who_join_are_told_together_with_all_they_came_to():
    table = sets(
        ("once", "once.likes.post", 0, list("abcd"), ["x"], -9.0),
        ("beside", "beside.likes.post", 0, ["e"], ["x"], -6.0),
        ("beside", "beside.likes.post", 1, ["f"], ["x"], -6.0),
        ("beside", "beside.likes.post", 2, ["f"], ["y"], -3.0),
        ("known", "known.likes.post", 0, ["g"], ["z"], -4.0),
    )

    lines = said(table).split("</p>")

    assert "4 met at once on x (false discoveries 10<sup>-9</sup>)" in lines[0]
    assert "1 known to be bad came to what is the ring's own, z" in lines[1]
    told = "2 came beside the ring, where so many strangers do not come, to x, y"
    assert f"{told} (false discoveries 10<sup>-3</sup>)" in lines[2]


def test_a_ring_without_sets_says_nothing():
    assert said(RING_SETS.empty()) == ""

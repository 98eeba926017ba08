from datetime import date

import pytest

from graphguard.rings.lineage import carry_names

NIGHT = date(2026, 1, 2)
RINGS = {"r1": list("abcdef"), "r2": list("uvwxyz")}


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (["abcdef", "uvwxyz"], [("r1", "steady", ""), ("r2", "steady", "")]),
        (["abcdefg", "uvwx"], [("r1", "growth", ""), ("r2", "shrink", "")]),
        (["abcdefuvwxyz"], [("r1", "growth", ""), ("r1", "merge", "r2")]),
        (["abcdef"], [("r1", "steady", ""), ("r2", "death", "")]),
    ],
)
def test_names_are_carried_on(now, told):
    _, changes = carry_names(RINGS, now, NIGHT)

    assert [(one.ring_id, one.change, one.other) for one in changes] == told


def test_the_larger_part_of_a_split_keeps_the_name():
    names, changes = carry_names({"r1": "abcdefgh"}, ["ab", "cdefgh"], NIGHT)

    assert names[1] == "r1"
    assert [(one.change, one.other) for one in changes if one.ring_id == names[0]] == [
        ("split", "r1")
    ]


def test_a_new_ring_is_named_by_night_and_members_whatever_the_order():
    first, _ = carry_names({}, ["bca", "xyz"], NIGHT)
    other, _ = carry_names({}, ["zyx", "abc"], NIGHT)

    assert first == other[::-1]
    assert first[0].startswith("r-2026-01-02-")

from datetime import date

import pytest

from graphguard.rings.lineage import Remembered, carry_names, carry_on

NIGHT = date(2026, 1, 2)
RINGS = {"r1": list("abcdef"), "r2": list("uvwxyz")}


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (["abcdef", "uvwxyz"], [("r1", "steady", ""), ("r2", "steady", "")]),
        (["abcdefg", "uvwx"], [("r1", "growth", ""), ("r2", "shrink", "")]),
        (["abcdefuvwxyz"], [("r1", "growth", ""), ("r1", "merge", "r2")]),
        (["abcdef"], [("r1", "steady", ""), ("r2", "dormant", "")]),
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


def night(day):
    return date(2026, 1, day)


def after(*nights, remember=10):
    """Names and changes of the last of nights, each a day and its rings."""
    memory, before = {}, None
    for day, rings in nights:
        names, changes, memory = carry_on(memory, rings, (before, night(day)), remember)
        before = night(day)
    return names, [(one.ring_id, one.change) for one in changes], memory


def test_a_ring_that_sleeps_for_some_nights_wakes_under_its_own_name():
    (name,), _, _ = after((1, ["abcdef"]))

    asleep = after((1, ["abcdef"]), (2, []))
    still = after((1, ["abcdef"]), (2, []), (3, ["uvw"]))
    back = after((1, ["abcdef"]), (2, []), (3, []), (4, ["abcdeg"]))

    assert asleep[1] == [(name, "dormant")]
    assert (name, "dormant") not in still[1]
    assert back[:2] == ([name], [(name, "return")])
    assert back[2][name] == Remembered(frozenset("abcdeg"), night(1), night(4))


def test_a_ring_that_is_back_is_steady_the_night_after():
    (name,), _, _ = after((1, ["abc"]))

    assert after((1, ["abc"]), (2, []), (3, ["abc"]), (4, ["abc"]))[1] == [(name, "steady")]


def test_a_ring_is_forgotten_once_and_its_members_then_make_a_new_one():
    nights = [(1, ["abc"]), (2, []), (4, [])]
    (name,), _, _ = after(nights[0])

    forgotten = after(*nights, remember=2)
    again = after(*nights, (5, ["abc"]), remember=2)

    assert forgotten[1] == [(name, "death")]
    assert forgotten[2] == {}
    assert again[0] != [name]
    assert [change for _, change in again[1]] == ["birth"]


def test_a_ring_asleep_that_joins_one_awake_is_merged_and_no_more():
    (left, right), _, _ = after((1, ["abcdef", "uvw"]))

    names, changes, memory = after((1, ["abcdef", "uvw"]), (2, ["abcdef"]), (3, ["abcdefuvw"]))

    assert names == [left]
    assert changes == [(left, "growth"), (left, "merge")]
    assert set(memory) == {left}
    assert right != left

"""What a user is told of its group: sizes, ties and evidence, exactly."""

import polars as pl
import pytest

from graphguard.rings.around import groups_around
from graphguard.rings.grouping import GroupRules


def links(pairs, log10_q=-6.0):
    """Links of one channel with ten bits each."""
    return pl.DataFrame(
        {
            "user_a": [a for a, _ in pairs],
            "user_b": [b for _, b in pairs],
            "channel": ["likes.post"] * len(pairs),
            "log10_p": [-10.0] * len(pairs),
            "log10_q": [log10_q] * len(pairs),
            "bits": [10.0] * len(pairs),
        }
    )


def test_each_member_is_told_its_own_ties_and_those_of_its_group():
    # a square with one diagonal (1-3), and a pair apart that is no group
    square = [(0, 1), (0, 3), (1, 2), (1, 3), (2, 3), (7, 9)]

    found = groups_around(links(square), 100, 0.01, GroupRules(min_members=3))

    assert found.to_dict(as_series=False) == {
        "user": [0, 1, 2, 3],
        "group": [0] * 4,
        "size": [4.0] * 4,
        "ties": [2.0, 3.0, 2.0, 3.0],
        "tie_bits": [20.0, 30.0, 20.0, 30.0],
        "density": [pytest.approx(5 / 6)] * 4,
        "bits_each": [12.5] * 4,
    }


def test_links_that_are_no_discovery_make_no_group():
    triangle = [(0, 1), (0, 2), (1, 2)]

    found = groups_around(links(triangle, log10_q=-1.0), 100, 0.01, GroupRules(min_members=3))

    assert found.height == 0
    assert found.columns == ["user", "group", "size", "ties", "tie_bits", "density", "bits_each"]

"""Pairs of one true ring count as found where a link, or one told ring, holds them."""

import numpy as np
import pytest


@pytest.fixture
def told(bench):
    """Ring 0 of five sleepers, one of whom did not act, ring 1 of three farmers, and strangers."""
    module = bench("world_rings")
    sleeper, farm = module.KINDS.index("sleeper"), module.KINDS.index("device_farm")
    truth = module.Truth(
        ring=np.array([0, 0, 0, 0, 0, 1, 1, 1, -1, -1]),
        kind=np.array([sleeper] * 5 + [farm] * 3 + [-1, -1]),
        acts=np.array([2, 2, 1, 1, 0, 3, 3, 3, 0, 0]),
    )
    rings = [np.array([0, 1, 2, 4, 8]), np.array([3, 5, 6])]
    found = module.Found(np.array([[0, 0, 5, 2], [1, 2, 6, 8]]), rings)
    tally = module.new_tally()
    module.count_pairs(found, truth, "ours", tally)
    module.count_rings(found, truth, "ours", tally)
    module.count_held(found, truth, "ours", tally)
    return tally


@pytest.mark.parametrize(
    ("kind", "linked", "held"),
    [
        # Told, right, and right of those who both acted, of six true pairs.
        ("sleeper", (3, 2, 2, 6), (12, 6, 3)),
        ("device_farm", (1, 1, 1, 3), (3, 1, 1)),
        ("all", (4, 3, 3, 9), (13, 7, 4)),
    ],
)
def test_pairs_by_links_and_by_rings(told, kind, linked, held):
    one = told["ours", kind]
    assert tuple(one[name] for name in ("told", "right", "found", "true")) == linked
    assert tuple(one[name] for name in ("held", "held_right", "held_found")) == held


def test_a_ring_is_found_by_half_of_those_who_acted(told):
    one = told["ours", "all"]
    assert (one["rings"], one["true_rings"], one["found_rings"]) == (2, 2, 2)

"""Intervals over worlds: a world is drawn as a whole, and few worlds give none."""

import numpy as np
import pytest


def share(worlds):
    rows = np.concatenate(worlds)
    return {"share": float(rows.mean()), "both": [float(rows.mean()), 1.0]}


def test_worlds_that_differ_are_wider_than_their_rows_would_be(bench):
    lumps = [np.full(1_000, value) for value in (0.0, 1.0) * 8]
    mixed = [np.tile([0.0, 1.0], 500)] * 16

    found = bench("by_world").by_world(lumps, share)

    # Sixteen coins: a deviation of .125, whatever the rows of each.
    assert found["share"] == pytest.approx([0.25, 0.75], abs=0.07)
    assert found["both"] == [found["share"], [1.0, 1.0]]
    assert bench("by_world").by_world(mixed, share)["share"] == [0.5, 0.5]


def test_a_draw_counts_only_for_what_it_shows(bench):
    def figures(worlds):
        seen = [world for world in worlds if world is not None]
        return {"mean": float(np.mean(seen))} if seen else {}

    found = bench("by_world").by_world([None, None, None, 3.0], figures)

    assert found == {"mean": [3.0, 3.0]}


def test_few_worlds_have_no_interval(bench):
    module = bench("by_world")

    assert module.by_world([np.ones(3)] * (module.FEWEST - 1), share) == {}
    assert module.by_world([np.ones(3)] * 9, share, draws=0) == {}
    assert module.told(None) == ""
    assert module.told([0.1, 0.25]) == " (0.100 to 0.250)"

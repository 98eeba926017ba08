"""The ring benchmark counts as it says, and its logs hold what their recipe promises."""

import numpy as np
import pytest

# Users 0-3 are ring 0, 4-6 ring 1, 7-9 in none.
TRUTH = np.array([0, 0, 0, 0, 1, 1, 1, -1, -1, -1])


def members(*groups):
    return [np.array(group) for group in groups]


def test_a_ring_is_found_when_half_of_it_is_half_of_a_told_one(bench):
    figures = bench("ring_truth").ring_figures

    assert figures(members([0, 1, 7, 8], [4, 7, 8]), TRUTH) == (2, 1, 2)
    assert figures(members([0, 1, 7, 8, 9]), TRUTH) == (1, 0, 2)
    assert figures([], TRUTH) == (0, 0, 2)


def test_b_cubed_is_that_of_the_definition(bench):
    told = members([0, 1, 4], [5, 6])

    precision, recall, f1 = bench("ring_truth").b_cubed(told, TRUTH, TRUTH >= 0)

    # Of users 0 to 6: shares of the told ring, and of the true one, that are common to both.
    assert precision == pytest.approx(np.mean([2 / 3, 2 / 3, 1, 1, 1 / 3, 1, 1]))
    assert recall == pytest.approx(np.mean([2 / 4, 2 / 4, 1 / 4, 1 / 4, 1 / 3, 2 / 3, 2 / 3]))
    assert f1 == pytest.approx(2 * precision * recall / (precision + recall))


def test_pairs_are_right_inside_a_true_ring_only(bench):
    pairs = np.array([[0, 0, 4, 7], [1, 4, 5, 8]])

    assert bench("ring_truth").pair_figures(pairs, TRUTH) == (4, 2, 6 + 3)


def test_a_planted_ring_joins_its_objects_within_45_seconds(bench):
    world = bench("planted").world_a(20_000, 3, rings=4)

    assert len(world.user) == pytest.approx(20_000 + 4 * 20 * 30 * 0.8, rel=0.02)
    mine = np.flatnonzero(world.ring == 2)
    assert len(mine) == 20
    acts = np.isin(world.user, mine)
    things, count = np.unique(world.object[acts], return_counts=True)
    called = things[np.argsort(count)[-25:]]
    for thing in called:
        times = np.sort(world.time_us[acts & (world.object == thing)])
        # A member may have come on its own as well; nearly all came together.
        assert (times[5:] - times[:-5]).min() <= 45_000_000
    again = bench("planted").world_a(20_000, 3, rings=4)
    assert (again.user == world.user).all()
    assert (again.time_us == world.time_us).all()


def test_ours_finds_a_planted_ring_and_tells_none_where_there_is_none(bench):
    rings, planted = bench("rings"), bench("planted")
    window = (60,)
    with_rings = planted.world_a(20_000, 5, rings=4)
    without = planted.world_a(20_000, 5, rings=0)

    found = rings.significant(with_rings, window, rings.first_seen(with_rings))
    none = rings.significant(without, window, without.born_us)

    assert bench("ring_truth").ring_figures(found.rings, with_rings.ring) == (4, 4, 4)
    assert none.rings == []


def test_the_curves_read_audiences_as_a_night_does(bench):
    curves, planted, truth = bench("ring_curves"), bench("planted"), bench("ring_truth")
    world = planted.world_hiding(10_000, 1, within_s=86_400.0, normal=0)

    methods = curves.methods(world, 1)
    figures = {
        name: truth.pair_figures(found.pairs, world.ring)
        for name, found in (next(methods), next(methods))
    }

    told, right, true = figures["ours"]
    assert right >= 0.95 * true
    assert right >= 0.95 * told
    assert figures["ours, authors unknown"][1] == 0

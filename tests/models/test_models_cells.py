"""Rows are counted by score, class and fold; positives are drawn anew by rings."""

from dataclasses import replace

import numpy as np
import pytest

from graphguard.models.cells import DRAWS, FOLDS, count_cells
from graphguard.models.curves import fit_curve
from graphguard.models.transfer import design_effect, distinct_positives


@pytest.fixture
def rows():
    """Log-odds, labels, folds, groups of 3,000 rows; sixty positives, half of them one ring's."""
    rng = np.random.default_rng(1)
    label = (np.arange(3_000) < 60).astype(np.int64)
    log_odds = rng.normal(-3, 1, 3_000) + 2 * label
    group = np.where(np.arange(3_000) < 30, 0, np.arange(3_000))
    return log_odds, label, group % FOLDS, group


def test_every_row_is_counted_once(rows):
    cells = count_cells(*rows)

    assert (np.diff(cells.log_odds) > 0).all()
    assert cells.positives.sum(axis=1).tolist() == np.bincount(rows[2][:60]).tolist()
    assert (cells.positives + cells.negatives).sum() == len(rows[0])


def test_draws_take_whole_rings_and_leave_the_number_of_positives(rows):
    cells = count_cells(*rows)
    counted = cells.counted()

    assert counted.drawn.shape == (DRAWS, len(cells.log_odds))
    assert counted.drawn.sum(axis=1) == pytest.approx(np.full(DRAWS, 60.0))
    own = np.isin(cells.log_odds, np.round(rows[0][:30] / 1e-3) * 1e-3)
    # The ring comes in none of the draws, in one, or in several times over, each member as often.
    times = [np.unique(one[own]) for one in counted.drawn]
    assert all(len(one) == 1 for one in times)
    assert {one[0] == 0 for one in times} == {True, False}
    assert not np.array_equal(counted.drawn[0], counted.drawn[1])


def test_of_folds_only_those_kept_are_told(rows):
    cells = count_cells(*rows)
    kept = np.arange(FOLDS) != 0

    counted = cells.counted(kept)

    # The ring is in the first fold.
    assert counted.positives.sum() == 60 - np.bincount(rows[2][:60])[0]
    assert counted.negatives.sum() == cells.negatives[kept].sum()
    assert counted.drawn.sum(axis=1) == pytest.approx(counted.positives.sum())
    assert (counted.drawn[:, counted.positives == 0] == 0).all()


def test_the_order_of_rows_changes_nothing(rows):
    turned = np.random.default_rng(3).permutation(len(rows[0]))
    one = count_cells(*rows).counted()
    other = count_cells(*(part[turned] for part in rows)).counted()

    assert np.array_equal(one.drawn, other.drawn)
    lone = [count_cells(*(part[order] for part in rows[:3])).counted().drawn
            for order in (np.arange(3_000), turned)]  # fmt: skip
    assert np.array_equal(*lone)


def test_stairs_of_all_draws_are_finer_than_those_of_one(rows):
    counted = count_cells(*rows).counted()

    curve = fit_curve("isotonic", counted)

    single = fit_curve("isotonic", replace(counted, drawn=counted.positives[np.newaxis]))
    assert len(set(curve.values)) > 3 * len(set(single.values))
    assert (np.diff(curve.knots) > 0).all()
    assert (np.diff(curve.values) >= 0).all()
    assert 0 < curve.values[0] < curve.values[-1] < 1


def test_a_large_ring_hides_fewer_of_the_others_than_in_kishs_number():
    # A hundred of one ring among three hundred on their own.
    group = np.concatenate([np.zeros(100, dtype=np.int64), np.arange(1, 301)])
    label = np.ones(400, dtype=np.int64)

    assert distinct_positives(label, None) == 400
    assert distinct_positives(label, group) == pytest.approx(126.5, rel=0.01)
    assert 400 / design_effect(label, group) == pytest.approx(15.5, rel=0.01)

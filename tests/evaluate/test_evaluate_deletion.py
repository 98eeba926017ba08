"""The deletion test tells evidence that matters from evidence that does not."""

import numpy as np
import pytest

from graphguard.evaluate.bootstrap import Bootstrap
from graphguard.evaluate.deletion import deletion_test


def test_what_moves_scores_passes_and_its_falls_are_exact():
    before = np.array([2.0, 1.0, 0.0, 3.0])
    found = deletion_test(before, before - 1.5, np.stack([before - 0.5, before], axis=1))

    assert (found.rows, found.named, found.random) == (4, 1.5, 0.25)
    assert found.gain.value == found.gain.low == found.gain.high == 1.25
    assert found.passed


def test_evidence_named_by_lot_seldom_passes():
    # Much moves, but none of it because it was named: 2.5 in a hundred pass by chance.
    draw = np.random.default_rng(0)
    passed = 0
    for _ in range(200):
        fell = draw.exponential(1.0, (2, 100))
        found = deletion_test(np.zeros(100), -fell[0], -fell[1], Bootstrap(replicates=300))
        passed += found.passed

    assert 0 < passed <= 12


@pytest.mark.parametrize(
    ("before", "named", "match"),
    [([], [], "no same rows"), ([1.0], [1.0, 2.0], "no same rows"), ([np.nan], [1.0], "finite")],
)
def test_rows_that_cannot_be_compared_are_refused(before, named, match):
    with pytest.raises(ValueError, match=match):
        deletion_test(np.array(before), np.array(named), np.array(before))

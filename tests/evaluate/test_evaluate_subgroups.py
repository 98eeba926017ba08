import numpy as np
import pytest

from graphguard.evaluate.bootstrap import Bootstrap, intervals
from graphguard.evaluate.ranking import rank_metrics
from graphguard.evaluate.subgroups import by_subgroup


def test_each_kind_is_measured_alone_and_small_ones_are_counted_only():
    rng = np.random.default_rng(0)
    score, label = rng.random(400), (rng.random(400) < 0.2).astype(int)
    kinds = {"even": np.arange(400) % 2 == 0, "few": np.arange(400) < 12}
    settings = Bootstrap(replicates=50)

    even, few = by_subgroup(score, label, kinds, rank_metrics(10), settings)

    alone = intervals(score[::2], label[::2], rank_metrics(10), settings)
    assert (even.name, even.rows, even.metrics) == ("even", 200, alone)
    assert (few.rows, few.positives, few.metrics) == (12, int(label[:12].sum()), {})
    assert few.positives < 5


def test_recall_at_positives_is_that_of_as_many_rows_as_there_are_positives():
    # 3 positives; 2 of them among the first 3
    score, label = np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([1, 0, 1, 1, 0])

    found = intervals(score, label, rank_metrics(1), Bootstrap(replicates=20))

    assert found["recall_at_positives"].value == pytest.approx(2 / 3)

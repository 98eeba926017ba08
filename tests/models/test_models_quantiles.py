"""Quantile inputs: ranks and bins of training rows, gaps marked, applied to any row."""

import numpy as np
import pytest
from scipy.stats import norm

from graphguard.errors import ColumnMissing
from graphguard.models.base import Rows
from graphguard.models.quantiles import QuantileInputs


def rows_of(**columns):
    x = np.stack([np.array(one, dtype=np.float32) for one in columns.values()], axis=1)
    return Rows(np.arange(len(x)), np.zeros(len(x), np.int64), x, tuple(columns), None)


def test_a_column_becomes_its_rank_a_mark_and_bins():
    # Values 0 0 1 3, one gap: ranks 1/4, 1/4, 5/8, 7/8; bins [0, 1] and [1, 3] are left of eight
    train = rows_of(v=[0, 0, 1, 3, np.nan])
    made = QuantileInputs.fit(train)

    assert made.widths.tolist() == [4]
    found = made.apply(rows_of(v=[0, 1, 2, 9, np.nan]))
    scores = [norm.ppf(0.25), norm.ppf(0.625), (norm.ppf(0.625) + norm.ppf(0.875)) / 2,
              norm.ppf(0.875), 0.0]  # fmt: skip
    assert found[:, 0] == pytest.approx(np.array(scores), abs=1e-6)
    assert found[:, 1].tolist() == [0, 0, 0, 0, 1]
    assert found[:, 2:].tolist() == [[0, 0], [1, 0], [1, 0.5], [1, 1], [0, 0]]


def test_columns_without_values_and_with_a_single_one_are_no_hindrance():
    train = rows_of(empty=[np.nan, np.nan], same=[5, 5])
    made = QuantileInputs.fit(train)

    assert made.widths.tolist() == [2, 1]
    assert made.apply(rows_of(empty=[1, np.nan], same=[7, 5])).tolist() == [[0, 0, 0], [0, 1, 0]]
    assert QuantileInputs.fit(train.select(())).apply(train).shape == (2, 0)


def test_ranks_follow_the_values_whatever_their_scale():
    draw = np.random.default_rng(0)
    value = draw.lognormal(3, 2, 5000)
    made = QuantileInputs.fit(rows_of(v=value))

    found = made.apply(rows_of(v=value))

    order = np.argsort(value)
    assert (np.diff(found[order, 0]) >= 0).all()
    assert found[:, 0].std() == pytest.approx(1.0, abs=0.03)
    assert found.min() > -3.2
    assert made.widths.tolist() == [9]
    assert found[:, 1:].mean(axis=0) == pytest.approx((np.arange(8)[::-1] + 0.5) / 8, abs=0.06)


def test_columns_are_found_by_name():
    made = QuantileInputs.fit(rows_of(a=[1, 2], b=[3, 4]))

    assert (made.apply(rows_of(b=[3], a=[2])) == made.apply(rows_of(a=[2], b=[3]))).all()
    with pytest.raises(ColumnMissing, match="has no column 'b'"):
        made.apply(rows_of(a=[1]))

import numpy as np
import pytest

from graphguard.graph import order
from graphguard.graph.order import ascending, order_by, order_of, repeated


@pytest.mark.parametrize("most", [3, 10**6, 2**62])
def test_equal_keys_keep_their_order(most):
    keys = np.random.default_rng(most % 97).integers(0, most, 5000)

    assert order_of(keys).tolist() == np.argsort(keys, kind="stable").tolist()


def test_keys_below_nought_are_ordered_too():
    keys = np.random.default_rng(1).integers(-50, 50, 1000)

    assert order_of(keys).tolist() == np.argsort(keys, kind="stable").tolist()


def test_several_keys_order_as_a_sort_by_the_last_first():
    keys = np.random.default_rng(2).integers(0, 9, (3, 2000))

    assert order_by(*keys).tolist() == np.lexsort(keys[::-1]).tolist()


def test_nothing_has_an_order():
    nothing = np.zeros(0, dtype=np.int64)

    assert not len(ascending(nothing))
    assert not len(order_of(nothing))
    assert not len(repeated(nothing))


@pytest.mark.parametrize("odd", [order.ODD, np.int64(0), np.int64(2**40 + 1)])
def test_keys_are_repeated_or_not_whatever_their_hashes(monkeypatch, odd):
    # With some of these numbers unlike keys share a hash, or all do.
    monkeypatch.setattr(order, "ODD", odd)
    keys = np.random.default_rng(3).integers(-(2**62), 2**62, 3000) // 2**50
    _, place, count = np.unique(keys, return_inverse=True, return_counts=True)

    assert repeated(keys).tolist() == (count[place] > 1).tolist()

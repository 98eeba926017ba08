import numpy as np
import pytest

from graphguard.rings import twice
from graphguard.rings.meetings import Acts, meet
from graphguard.rings.twice import met_twice


def drawn(seed: int, events: int) -> Acts:
    draw = np.random.default_rng(seed)
    return Acts(
        draw.integers(0, 60, events), draw.integers(0, 40, events), draw.integers(0, 5000, events)
    ).ordered()


@pytest.mark.parametrize("held", [1 << 27, 0])
@pytest.mark.parametrize("bits", [32, 6])
def test_pairs_that_met_twice_are_told_however_many_are_held(monkeypatch, held, bits):
    # Few marks are shared by strangers, many by most.
    for name, value in {
        "HELD_AT_MOST": held,
        "MOST_BITS": bits,
        "SORTED_AT_ONCE": 50,
        "MARKED_AT_ONCE": 100,
    }.items():
        monkeypatch.setattr(twice, name, value)
    mine, theirs = meet(drawn(1, 1500), 60), meet(drawn(2, 500), 60)
    keys = np.concatenate([mine.keys(), theirs.keys()])
    pairs, times = np.unique(keys, return_counts=True)
    asked = 0

    def others():
        nonlocal asked
        asked += 1
        yield theirs[:7]
        yield theirs[7:]

    places, found = met_twice(mine, others, len(theirs))

    assert 0 < (times > 1).sum() < len(pairs)
    assert found.tolist() == pairs[times > 1].tolist()
    assert places.tolist() == np.flatnonzero(np.isin(mine.keys(), found)).tolist()
    assert asked == (2 if not held else 1)


def test_nobody_met_twice_where_nobody_met():
    none = meet(drawn(1, 0), 60)

    places, found = met_twice(none, lambda: [], 0)

    assert not len(places)
    assert not len(found)

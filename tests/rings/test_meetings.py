import numpy as np
import polars as pl
import pytest

from graphguard.graph.keyed import key_hash
from graphguard.rings import act_order, meetings, twice, verified
from graphguard.rings.coaction import find_coactions
from graphguard.rings.meetings import Acts, Meetings, meet


def drawn(seed: int, events: int = 600) -> Acts:
    """Acts with repeats and equal times, on objects some of which are crowded."""
    draw = np.random.default_rng(seed)
    return Acts(
        draw.integers(0, 25, events), draw.zipf(1.6, events) % 40, draw.integers(-500, 500, events)
    )


def brute(acts: Acts, window: int) -> set[tuple[int, ...]]:
    """user_a, user_b, object, gap, first time of the meeting that counts."""
    rows = list(zip(acts.user.tolist(), acts.object.tolist(), acts.time_us.tolist(), strict=True))
    best: dict[tuple[int, int, int], tuple[int, int]] = {}
    for a, thing, at in rows:
        for b, other, then in rows:
            if a < b and thing == other and abs(at - then) <= window:
                found = (abs(at - then), min(at, then))
                best[a, b, thing] = min(best.get((a, b, thing), found), found)
    return {(*key, *value) for key, value in best.items()}


def told(met: Meetings) -> list[tuple[int, ...]]:
    return met.touches().select("user_a", "user_b", "object", "gap_us", "first_us").rows()


@pytest.mark.parametrize("window", [0, 7, 60])
def test_meetings_are_the_nearest_acts_of_each_pair_on_each_object(window):
    acts = drawn(1)

    found = told(meet(acts.ordered(), window))

    assert len(found) == len(set(found))
    assert set(found) == brute(acts, window)


def test_work_in_small_parts_gives_the_same(monkeypatch):
    acts, hashes = drawn(2), key_hash(str(user) for user in range(25))
    whole = find_coactions(acts, [3, 30], hashes, 3)
    for module, name in (
        (meetings, "PAIRS_AT_ONCE"),
        (meetings, "ACTS_AT_ONCE"),
        (meetings, "SEVERAL_AT_ONCE"),
        (act_order, "ORDERED_AT_ONCE"),
        (twice, "HELD_AT_MOST"),
        (twice, "SORTED_AT_ONCE"),
        (twice, "MARKED_AT_ONCE"),
        (verified, "LOOKED_UP_AT_ONCE"),
    ):
        monkeypatch.setattr(module, name, 11)
    # Two objects at most fit one number.
    monkeypatch.setattr(meetings, "FAR", 2 * (1000 + 30 + 2))

    parts = find_coactions(acts, [3, 30], hashes, 3)

    order = ["user_a", "user_b", "object"]
    assert len(whole.burst_objects) > 1
    assert parts.pairs.equals(whole.pairs)
    assert parts.touches.sort(order).equals(whole.touches.sort(order))
    assert sorted(told(parts.meetings)) == sorted(told(whole.meetings))
    assert parts.visits.tolist() == whole.visits.tolist()


def test_objects_and_times_that_overflow_one_number_are_still_put_in_order():
    draw = np.random.default_rng(3)
    acts = Acts(
        draw.integers(0, 9, 400),
        draw.choice([0, 2**30, 2**31 - 1], 400),
        draw.choice([-(2**60), 0, 5, 2**60 - 1, 2**60], 400),
    )

    made = acts.ordered()

    rows = sorted(zip(acts.object, acts.time_us, acts.user, strict=True))
    assert list(zip(made.object, made.time_us, made.user, strict=True)) == rows
    assert set(told(meet(made, 5))) == brute(acts, 5)


def test_first_touches_are_each_user_and_object_once():
    acts = drawn(4)
    frame = pl.DataFrame({"user": acts.user, "object": acts.object, "time": acts.time_us})

    first = acts.first_touches

    expected = frame.group_by("user", "object").agg(pl.col("time").min()).sort("user", "object")
    assert list(zip(first.user, first.object, first.time_us, strict=True)) == expected.rows()


def test_no_acts_meet_nobody():
    none = np.zeros(0, dtype=np.int64)

    found = find_coactions(Acts(none, none, none), [5], key_hash([]), 200)

    assert len(found.meetings) == 0
    assert found.pairs.height == 0
    assert found.visit_pairs.tolist() == [0]


def test_acts_in_order_are_not_put_in_order_again():
    acts = drawn(3)
    ordered = acts.ordered()

    assert ordered.ordered() is ordered
    # Two at one time the wrong way round, of one object, are no order.
    wrong = Acts(np.array([5, 3]), np.array([1, 1]), np.array([7, 7]))
    assert wrong.ordered().user.tolist() == [3, 5]


def test_smaller_integers_mean_the_same():
    acts = drawn(4)
    small = Acts(acts.user.astype(np.int32), acts.object.astype(np.int32), acts.time_us)

    assert told(meet(small.ordered(), 20)) == told(meet(acts.ordered(), 20))
    first, same = small.first_touches, acts.first_touches
    assert first.user.dtype == np.int32
    for name in ("user", "object", "time_us"):
        assert getattr(first, name).tolist() == getattr(same, name).tolist()

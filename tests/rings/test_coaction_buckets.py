import numpy as np
import polars as pl
import pytest

from graphguard.rings.coaction import find_coactions
from graphguard.rings.coaction_buckets import coaction_tables
from graphguard.rings.meetings import Acts
from graphguard.tables.engine import PolarsEngine

WINDOWS = [5, 60]
USERS = 40


def drawn_acts(seed: int, events: int = 900) -> tuple[Acts, np.ndarray]:
    """Acts on few objects, one of them in a burst, with equal times; and the users' hashes."""
    draw = np.random.default_rng(seed)
    item = draw.zipf(1.5, events) % 12
    time = draw.integers(0, 3000, events)
    # Everybody acts on object 3 within a minute, and on object 4 too.
    item[:120], time[:120] = 3, draw.integers(1000, 1060, 120)
    item[120:200], time[120:200] = 4, draw.integers(2000, 2060, 80)
    acts = Acts(draw.integers(0, USERS, events), item.astype(np.int64), time)
    return acts, draw.integers(0, 2**64, USERS, dtype=np.uint64)


def as_table(acts: Acts, hashes: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "user": acts.user,
            "object": acts.object,
            "time_us": acts.time_us,
            "user_hash": hashes[acts.user].view(np.int64),
        }
    )


@pytest.mark.parametrize("buckets", [1, 5])
@pytest.mark.parametrize("seed", range(3))
def test_buckets_of_objects_give_what_the_whole_gives(seed, buckets):
    acts, hashes = drawn_acts(seed)
    expected = find_coactions(acts, WINDOWS, hashes, max_burst=20)
    engine = PolarsEngine()

    made = coaction_tables(engine, engine.table(as_table(acts, hashes)), WINDOWS, 20, buckets)

    assert len(expected.burst_objects) > 0
    assert expected.pairs.height > 50
    pairs = engine.collect(made.pairs).sort("user_a", "user_b")
    assert pairs.equals(expected.pairs.select(pairs.columns))
    order = ["user_a", "user_b", "object"]
    touches = engine.collect(made.touches).sort(order)
    assert touches.equals(expected.touches.select(touches.columns).sort(order))
    met = engine.collect(made.meetings).sort("object", "gap_us", "first_us")
    every = expected.meetings.touches().select(met.columns)
    assert met.equals(every.sort("object", "gap_us", "first_us"))
    visits = np.zeros_like(expected.visits)
    for user, count in engine.collect(made.visits).iter_rows():
        visits[user] = count
    assert visits.tolist() == expected.visits.tolist()
    totals = dict(engine.collect(made.visit_pairs).iter_rows())
    assert totals == dict(enumerate(expected.visit_pairs.tolist()))


def test_no_acts_make_no_pairs():
    engine = PolarsEngine()
    schema = dict.fromkeys(("user", "object", "time_us", "user_hash"), pl.Int64)

    made = coaction_tables(engine, engine.table(pl.DataFrame(schema=schema)), WINDOWS)

    assert engine.collect(made.pairs).height == 0

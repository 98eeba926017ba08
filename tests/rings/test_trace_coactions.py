"""The pairs of a trace through an engine: the same links as from the acts of one process."""

from dataclasses import replace

import numpy as np
import polars as pl

from graphguard.rings.coaction import find_coactions
from graphguard.rings.link import LinkRules, coaction_links, linked
from graphguard.rings.meetings import Acts
from graphguard.rings.trace_coactions import trace_coactions
from graphguard.tables.engine import PolarsEngine

USERS, OBJECTS = 200, 400
# Indices of objects in a store are far apart and not dense.
STORED = np.arange(OBJECTS) * 7 + 3
BORN_US = np.arange(OBJECTS) * 4_000_000_000


def drawn_acts() -> tuple[Acts, LinkRules]:
    """Chance crowds, a burst, acts at random; and six users who meet on twenty old objects."""
    draw = np.random.default_rng(5)
    day, parts = 86_400_000_000, []
    parts.append((draw.integers(0, USERS, 3000), draw.permutation(3000) % OBJECTS, 20 * day))
    crowd = np.repeat(np.arange(50, 350), 6)
    parts.append((draw.integers(0, USERS, 1800), crowd, 60_000_000))
    parts.append((draw.integers(0, USERS, 90), np.full(90, 3), 40_000_000))
    parts.append((np.tile(np.arange(6), 20), np.repeat(np.arange(20, 40), 6), 5_000_000))
    user, item = (np.concatenate([part[n] for part in parts]) for n in (0, 1))
    met_late = np.repeat([0, 0, 0, 2 * day], [len(one) for one, _, _ in parts])
    spread = np.concatenate([draw.integers(0, within, len(one)) for one, _, within in parts])
    acts = Acts(user, item, BORN_US[item] + met_late + spread)
    hashes = draw.integers(0, 2**64, USERS, dtype=np.uint64)
    return acts, LinkRules([1_000_000, 10_000_000, 60_000_000], 30, 20, hashes)


def as_stored(acts: Acts, hashes: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "user": acts.user,
            "object": STORED[acts.object],
            "time_us": acts.time_us,
            "user_hash": hashes[acts.user].view(np.int64),
        }
    )


def test_links_are_those_of_the_acts_themselves():
    acts, rules = drawn_acts()
    # Unlikely or not, every pair is kept, so that every p is compared.
    rules = replace(rules, kept=1.0)
    expected = coaction_links(acts, BORN_US, rules)
    engine = PolarsEngine()
    table = engine.table(as_stored(acts, rules.user_hash).sample(fraction=1, shuffle=True, seed=1))

    made = trace_coactions(engine, table, rules, buckets=4)

    assert expected.get_column("log10_p").n_unique() > 40
    assert made.objects.tolist() == STORED.tolist()
    assert linked(made.touched, made.found, BORN_US, rules).equals(expected)


def test_what_comes_of_a_trace_is_what_one_process_finds():
    acts, rules = drawn_acts()
    expected = find_coactions(acts, rules.windows_us, rules.user_hash, rules.max_burst)
    engine = PolarsEngine()

    made = trace_coactions(engine, engine.table(as_stored(acts, rules.user_hash)), rules, 4).found

    order = ["user_a", "user_b", "object"]
    assert expected.burst_objects.tolist() == [3]
    assert made.burst_objects.tolist() == [3]
    assert made.pairs.equals(expected.pairs)
    assert made.touches.sort(order).equals(expected.touches.sort(order))
    assert made.visits.tolist() == expected.visits.tolist()
    assert made.visit_pairs.tolist() == expected.visit_pairs.tolist()

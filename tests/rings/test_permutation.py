"""Other names and another order of rows change nothing but names: links, discoveries, rings."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest

from graphguard.graph.keyed import key_hash
from graphguard.rings.confirm import confirmed_links
from graphguard.rings.fusion import channel_bits, pair_bits, pair_table
from graphguard.rings.grouping import GroupRules, Links, find_groups
from graphguard.rings.link import LinkRules, coaction_links
from graphguard.rings.meetings import Acts
from graphguard.rings.significance import all_pairs

USERS, OBJECTS, ACTS, SECOND = 1_000, 300, 30_000, 10**6
WINDOWS = [10 * SECOND, 60 * SECOND]


@dataclass(frozen=True)
class Log:
    """Acts, births of objects, and each user's name."""

    acts: Acts
    born_us: np.ndarray
    name: np.ndarray


def drawn(seed) -> Log:
    """Chance acts with busy users and crowded objects, and three rings of six."""
    rng = np.random.default_rng(seed)
    born = np.sort(rng.integers(0, 6 * 86_400 * SECOND, OBJECTS))
    user = (rng.zipf(1.7, ACTS) * 7919 + rng.integers(0, USERS, ACTS)) % USERS
    thing = rng.exponential(OBJECTS / 3, ACTS).astype(np.int64) % OBJECTS
    late = np.exp(rng.normal(8.5, 1.6, ACTS)) * SECOND
    ring_user, ring_thing, ring_time = [], [], []
    for ring in range(3):
        for at in rng.choice(OBJECTS, 25, replace=False):
            ring_user.append(np.arange(6) + 6 * ring)
            ring_thing.append(np.full(6, at))
            start = born[at] + rng.integers(0, 86_400 * SECOND)
            ring_time.append(start + rng.integers(0, 45 * SECOND, 6))
    acts = Acts(
        np.concatenate([user, *ring_user]),
        np.concatenate([thing, *ring_thing]),
        np.concatenate([born[thing] + late.astype(np.int64), *ring_time]),
    )
    return Log(acts, born, np.arange(USERS))


def permuted(log, seed, *, users=True, objects=True, rows=True) -> Log:
    rng = np.random.default_rng(seed)
    user, thing = (
        rng.permutation(size) if moved else np.arange(size)
        for size, moved in ((USERS, users), (OBJECTS, objects))
    )
    order = rng.permutation(len(log.acts)) if rows else np.arange(len(log.acts))
    acts = log.acts[order]
    return Log(
        Acts(user[acts.user], thing[acts.object], acts.time_us),
        log.born_us[np.argsort(thing)],
        log.name[np.argsort(user)],
    )


def told(log, max_burst):
    """Links by the users' names, and rings as sets of names."""
    # The hash is that of the name: what is sampled follows names, not numbers.
    hashes = key_hash(str(name) for name in log.name)
    links = coaction_links(log.acts, log.born_us, LinkRules(WINDOWS, max_burst, 1000, hashes))
    pairs = pair_table({"likes": links}, all_pairs(USERS))
    pairs = pairs.with_columns(channel_bits(pl.col("log10_p")).alias("bits"))
    bits = pair_bits(confirmed_links(pairs, 0.01))
    sides = (bits.get_column(name).to_numpy() for name in ("user_a", "user_b", "bits"))
    rings = find_groups(Links(*sides), GroupRules())
    names = [log.name[links.get_column(one).to_numpy()] for one in ("user_a", "user_b")]
    swapped = names[0] > names[1]
    weight, first = (links.get_column(one).to_numpy() for one in ("weight", "a_first"))
    by_name = {
        (min(a, b), max(a, b)): row
        for a, b, row in zip(*names, links.rows(named=True), strict=True)
    }
    leads = dict(zip(by_name, np.where(swapped, weight - first, first).tolist(), strict=True))
    return by_name, leads, {frozenset(log.name[ring].tolist()) for ring in rings}


@pytest.mark.parametrize("moved", ["users", "objects", "rows"])
@pytest.mark.parametrize("seed", [1, 2])
def test_names_and_order_change_nothing(seed, moved):
    log = drawn(seed)
    only = {one: one == moved for one in ("users", "objects", "rows")}

    before, leads, rings = told(log, 10**6)
    after, other_leads, other_rings = told(permuted(log, seed, **only), 10**6)

    assert len(rings) == 3
    assert other_rings == rings
    assert before.keys() == after.keys()
    assert other_leads == leads
    for pair, row in before.items():
        same = after[pair]
        assert [row[one] for one in ("window_us", "weight", "gap_us", "together")] == [
            same[one] for one in ("window_us", "weight", "gap_us", "together")
        ]
        assert same["log10_p"] == pytest.approx(row["log10_p"], rel=1e-9)
        assert same["expected"] == pytest.approx(row["expected"], rel=1e-9)


@pytest.mark.parametrize("seed", [1, 2])
def test_above_the_sampling_cap_rings_stay(seed):
    log = drawn(seed)
    # a crowd on one object, of which only a sample nominates pairs
    rng = np.random.default_rng(seed)
    crowd = Acts(
        np.concatenate([log.acts.user, rng.permutation(USERS)[:300]]),
        np.concatenate([log.acts.object, np.zeros(300, dtype=np.int64)]),
        np.concatenate([log.acts.time_us, log.born_us[0] + rng.integers(0, 60 * SECOND, 300)]),
    )
    loud = Log(crowd, log.born_us, log.name)

    before, _, rings = told(loud, 50)
    after, _, other_rings = told(permuted(loud, seed), 50)

    # Names do not move what is sampled, so not even here does anything change.
    assert other_rings == rings
    assert len(rings) == 3
    assert before.keys() == after.keys()

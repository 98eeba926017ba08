"""Traces of nearly equal pictures through the jobs."""

import numpy as np
import polars as pl
import pytest

from graphguard.checks.evidence import check_evidence
from graphguard.errors import BadSetting, HashesUnreadable
from graphguard.jobs.nightly import Night, run_night
from graphguard.tables.events import read_pairs
from graphguard.tables.files import read_parquet


def digits(bits):
    return np.packbits(bits).tobytes().hex()


@pytest.fixture
def platform(posts_config, crowd, together):
    """Users who pass pictures on for a day and a half, a ring with pictures of its own."""
    rng = np.random.default_rng(0)

    def drawn():
        return rng.integers(0, 2, 256, dtype=np.uint8)

    def make(write=digits, **trace):
        base = {}

        def copy(day, _):
            bits = base.setdefault(day, drawn()).copy()
            bits[rng.choice(256, 12, replace=False)] ^= 1
            return write(bits)

        posts = [*crowd(rng, lambda: write(drawn())), *together(rng, copy)]
        return posts_config(posts, ["picture"], [{"log": "posts", "object": "picture"} | trace])

    return make


def linked(config):
    """The linked pairs by their users' keys."""
    run = run_night(Night(config, last="link"))
    pairs = read_pairs(run, "anchor=2026-01-11").filter(pl.col("log10_q") <= -2)
    ids = run.workspace.ids("user")
    for column, key in (("user_a", "a"), ("user_b", "b")):
        pairs = ids.decode(pairs, column, key)
    return pairs


def test_users_who_post_pictures_that_differ_in_a_few_bits_at_once_are_linked(platform, ring):
    pairs = linked(platform(near="image", bits=31))

    found = {frozenset(pair) for pair in pairs.select("a", "b").iter_rows()}
    assert found == {frozenset((a, b)) for a in ring for b in ring if a < b}
    assert pairs.get_column("weight").to_list() == [4] * 15


def test_without_it_or_with_fewer_bits_they_are_not(platform):
    assert linked(platform()).height == 0
    assert linked(platform(near="image", bits=8)).height == 0


def test_the_evidence_of_near_pictures_is_shown_and_holds(platform, ring):
    config = platform(near="image", bits=31)

    run = run_night(Night(config, last="find_rings"))

    acts = read_parquet(run.file("find_rings", "ring_acts.parquet"))
    assert sorted(set(acts.get_column("key"))) == ring
    assert set(acts.get_column("object_type")) == {"near.image"}
    assert acts.get_column("object").n_unique() == 4
    assert check_evidence(config, run).acts == acts.height == 24


def test_a_column_of_no_hashes_is_named(platform):
    names = platform(lambda bits: f"sunset{bits.sum()}.jpg", near="image")
    with pytest.raises(HashesUnreadable, match=r"rings\.traces: posts\.picture: no value is a"):
        run_night(Night(names, last="link"))


def test_too_many_bits_for_the_hashes_are_refused(platform):
    with pytest.raises(BadSetting, match="a quarter of the hashes' 256 bits, got 64"):
        run_night(Night(platform(near="image", bits=64), last="link"))

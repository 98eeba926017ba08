"""Traces of nearly equal pictures through the jobs."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
import yaml

from graphguard.config.load import load_config
from graphguard.errors import BadSetting, HashesUnreadable
from graphguard.jobs.nightly import Night, run_night
from graphguard.tables.events import read_pairs

START = datetime(2026, 1, 1, tzinfo=UTC)
RING = [f"r{number}" for number in range(6)]


def digits(bits):
    return np.packbits(bits).tobytes().hex()


@pytest.fixture
def platform(tmp_path):
    """Users who pass pictures on for a day and a half, a ring with pictures of its own."""
    rng = np.random.default_rng(0)

    def post(user, day, second, picture):
        at = START + timedelta(days=int(day), seconds=float(second))
        return {"user": user, "picture": picture, "app": "web", "at": at}

    def make(write=digits, **trace):
        rows = []
        for number in range(320):
            # Twenty pictures are passed on all the time, the others by a few users.
            often, span = (150, 10.0) if number < 20 else (6, 1.5)
            picture = write(rng.integers(0, 2, 256, dtype=np.uint8))
            for second in 86_400 * (rng.uniform(0, 10 - span) + rng.uniform(0, span, often)):
                rows.append(post(f"u{rng.integers(0, 600)}", 0, second, picture))
        for day in (1, 3, 5, 8):
            base = rng.integers(0, 2, 256, dtype=np.uint8)
            for user in RING:
                copy = base.copy()
                copy[rng.choice(256, 12, replace=False)] ^= 1
                rows.append(post(user, day, 40_000 + rng.uniform(0, 30), write(copy)))
        pl.DataFrame(rows).write_parquet(tmp_path / "posts.parquet")
        labels = {"user_id": ["u0"], "is_abusive": [1], "decided_at": [START]}
        pl.DataFrame(labels).write_parquet(tmp_path / "labels.parquet")
        edge = {"name": ["user", "uses", "app"], "log": "posts", "source": "user"}
        raw = {
            "workspace": str(tmp_path / "workspace"),
            "as_of": "2026-01-11",
            "logs": {"posts": {"path": "posts.parquet", "time": "at"}},
            "graph": {"window": "10d", "edges": [edge | {"target": "app"}]},
            "labels": {"path": "labels.parquet"},
            "training": {"anchor": "static"},
            "rings": {"traces": [{"log": "posts", "object": "picture"} | trace]},
        }
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(raw), encoding="utf-8")
        return load_config(path)

    return make


def linked(config):
    """The linked pairs by their users' keys."""
    run = run_night(Night(config, last="link"))
    pairs = read_pairs(run, "anchor=2026-01-11").filter(pl.col("log10_q") <= -2)
    ids = run.workspace.ids("user")
    for column, key in (("user_a", "a"), ("user_b", "b")):
        pairs = ids.decode(pairs, column, key)
    return pairs


def test_users_who_post_pictures_that_differ_in_a_few_bits_at_once_are_linked(platform):
    pairs = linked(platform(near="image", bits=31))

    found = {frozenset(pair) for pair in pairs.select("a", "b").iter_rows()}
    assert found == {frozenset((a, b)) for a in RING for b in RING if a < b}
    assert pairs.get_column("weight").to_list() == [4] * 15


def test_without_it_or_with_fewer_bits_they_are_not(platform):
    assert linked(platform()).height == 0
    assert linked(platform(near="image", bits=8)).height == 0


def test_a_column_of_no_hashes_is_named(platform):
    names = platform(lambda bits: f"sunset{bits.sum()}.jpg", near="image")
    with pytest.raises(HashesUnreadable, match=r"rings\.traces: posts\.picture: no value is a"):
        run_night(Night(names, last="link"))


def test_too_many_bits_for_the_hashes_are_refused(platform):
    with pytest.raises(BadSetting, match="a quarter of the hashes' 256 bits, got 64"):
        run_night(Night(platform(near="image", bits=64), last="link"))

"""A small platform of posts on which a ring posts nearly the same on four days."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import yaml

from graphguard.config.load import load_config

START = datetime(2026, 1, 1, tzinfo=UTC)
TRAINING = {
    "anchor": {"event": 3},
    "anchors": 3,
    "anchor_every": "3d",
    "horizon": "1d",
    "min_positives": 1,
    "models": ["trees"],
    "trees": {"rounds": 3},
}
NUM_USERS, RING_DAYS = 600, (1, 3, 5, 8)


@pytest.fixture
def ring():
    """Who posts nearly the same within half a minute, four times."""
    return [f"r{number}" for number in range(6)]


@pytest.fixture
def crowd():
    """Twenty things passed on all the time, and 300 by a few users for a day and a half."""

    def draw(rng, thing):
        rows = []
        for number in range(320):
            often, span = (150, 10.0) if number < 20 else (6, 1.5)
            value = thing()
            for second in 86_400 * (rng.uniform(0, 10 - span) + rng.uniform(0, span, often)):
                rows.append((f"u{rng.integers(0, NUM_USERS)}", 0, second, value))
        return rows

    return draw


@pytest.fixture
def together(ring):
    """Posts of the ring: each user's own version of what `thing(day, number)` gives."""

    def draw(rng, thing):
        return [
            (user, day, 40_000 + rng.uniform(0, 30), thing(day, number))
            for day in RING_DAYS
            for number, user in enumerate(ring)
        ]

    return draw


@pytest.fixture
def posts_config(tmp_path):
    """Write posts (user, day, second, then `columns`), labels and the config of their traces."""

    def make(posts, columns, traces, **log):
        rows = [
            {"user": user, "at": START + timedelta(days=int(day), seconds=float(second))}
            | dict(zip(columns, values, strict=True))
            | {"app": "web"}
            for user, day, second, *values in posts
        ]
        pl.DataFrame(rows).write_parquet(tmp_path / "posts.parquet")
        # Every fourth user is told to be bad half a day after his third post.
        third = (
            pl.DataFrame(rows)
            .sort("at")
            .group_by("user")
            .agg(pl.col("at").get(2, null_on_oob=True))
        )
        labels = (
            third.drop_nulls()
            .sort("user")[::4]
            .select(
                pl.col("user").alias("user_id"),
                pl.lit(1).alias("is_abusive"),
                (pl.col("at") + pl.duration(hours=12)).alias("decided_at"),
            )
        )
        labels.write_parquet(tmp_path / "labels.parquet")
        edge = {"name": ["user", "uses", "app"], "log": "posts", "source": "user", "target": "app"}
        raw = {
            "workspace": str(tmp_path / "workspace"),
            "as_of": "2026-01-11",
            "logs": {"posts": {"path": "posts.parquet", "time": "at"} | log},
            "graph": {"window": "10d", "edges": [edge]},
            "labels": {"path": "labels.parquet"},
            "training": TRAINING,
            "rings": {"traces": traces},
        }
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(raw), encoding="utf-8")
        return load_config(path)

    return make

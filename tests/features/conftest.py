"""Small platforms for the feature tests: a config, and tables from drawn events."""

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from graphguard.config.sections import Config
from graphguard.features.table import FeatureInputs, feature_table

DAY = 86_400_000_000
SECOND = 1_000_000
ANCHOR = 20_000 * DAY
"""2024-10-04, a Friday."""


def small_config(**changes: Any) -> Config:
    """One log of likes, window 8 days; `changes` replace whole sections."""
    settings: dict[str, Any] = {
        "logs": {"likes": {"path": "likes.parquet", "time": "ts"}},
        "graph": {
            "window": "8d",
            "edges": [
                {
                    "name": ["user", "likes", "content"],
                    "log": "likes",
                    "source": "user_id",
                    "target": "content_id",
                }
            ],
        },
        "labels": {"path": "labels.parquet"},
    }
    return Config.model_validate(settings | changes)


def rows_at(entities: list[int], anchors: int | list[int] = ANCHOR) -> pl.DataFrame:
    """Rows to make: all at one anchor, or each at its own."""
    each = [anchors] * len(entities) if isinstance(anchors, int) else anchors
    schema = {"entity": pl.Int64, "anchor_us": pl.Int64}
    return pl.DataFrame({"entity": entities, "anchor_us": each}, schema=schema)


@pytest.fixture
def config() -> Callable[..., Config]:
    return small_config


@pytest.fixture
def likes_table() -> Callable[..., pl.DataFrame]:
    """Features of likes drawn as (user, content, seconds before the anchor)."""

    def make(likes: list[tuple[int, int, float]], users: list[int], **changes: Any) -> pl.DataFrame:
        events = pl.DataFrame(
            {
                "time_us": [ANCHOR - round(before * SECOND) for _, _, before in likes],
                "user_id": [user for user, _, _ in likes],
                "content_id": [content for _, content, _ in likes],
            },
            schema=dict.fromkeys(["time_us", "user_id", "content_id"], pl.Int64),
        )
        inputs = FeatureInputs(rows_at(users), {"likes": events.lazy()})
        return feature_table(inputs, small_config(**changes))

    return make

"""Each relational step on both engines, compared row by row: keys and integers exactly."""

from datetime import date

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from graphguard.config.sections import EdgeConfig, LogConfig
from graphguard.graph.contraction import component_labels
from graphguard.schema import FIXED_POINT
from graphguard.tables.edges import daily_edges

DAY = 86_400_000_000
EDGE = EdgeConfig(name=("user", "pays", "shop"), log="payments", source="user_id", target="shop_id")
LOG = LogConfig(path="x", time="ts", numeric=("amount", "day"))
USERS, SHOPS = 40, 15


def payments(seed: int, rows: int) -> pl.DataFrame:
    """Payments of a month, some at the first and last microsecond of a day, some without amount."""
    draw = np.random.default_rng(seed)
    time = draw.integers(20_000 * DAY, 20_030 * DAY, rows)
    time[: rows // 10] = time[: rows // 10] // DAY * DAY
    time[rows // 10 : rows // 5] = time[rows // 10 : rows // 5] // DAY * DAY - 1
    amount = pl.Series(draw.integers(-5 * FIXED_POINT, 900 * FIXED_POINT, rows))
    return pl.DataFrame(
        {
            "time_us": time,
            "user_id": draw.integers(0, USERS, rows),
            "shop_id": draw.integers(0, SHOPS, rows),
            "amount": pl.select(pl.when(pl.Series(draw.random(rows) < 0.9)).then(amount))[:, 0],
            "day": draw.integers(0, 9, rows),
        }
    )


@pytest.mark.parametrize("day", [None, date(2024, 10, 5)])
@pytest.mark.parametrize("rows", [0, 5000])
def test_daily_edges_are_the_same_row_by_row(spark, day, rows):
    events = payments(3, rows)
    if day is not None:
        events = events.filter(pl.col("time_us") // DAY == (day - date(1970, 1, 1)).days)
    expected = daily_edges(events.lazy(), EDGE, LOG)

    found = daily_edges(spark.table(events), EDGE, LOG, day, spark)

    assert found.height == expected.height
    assert_frame_equal(found, expected, check_exact=True)


LINKS = {
    "none": ([], []),
    "a path of 60": (np.arange(59), np.arange(1, 60)),
    "a star of 200": (np.full(200, 100), np.arange(200)),
    "at random": tuple(np.random.default_rng(2).integers(0, 400, (2, 300))),
}


@pytest.mark.parametrize("shape", LINKS)
def test_components_are_the_same_node_by_node(spark, polars, shape):
    first, second = LINKS[shape]
    links = pl.DataFrame(
        {"first": first, "second": second}, schema={"first": pl.Int64, "second": pl.Int64}
    )
    expected = polars.collect(component_labels(polars, polars.table(links)))

    found = spark.collect(component_labels(spark, spark.table(links)))

    assert_frame_equal(found.sort("node"), expected.sort("node"), check_exact=True)

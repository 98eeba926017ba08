"""Co-action on both engines: the kernel runs in Spark's Python workers, bucket by bucket."""

import dataclasses

import numpy as np
import polars as pl

from graphguard.rings.coaction_buckets import coaction_tables

USERS, EVENTS, WINDOWS = 60, 3000, [5, 60, 600]


def test_pairs_touches_and_totals_are_the_same_row_by_row(spark, polars):
    draw = np.random.default_rng(8)
    item = draw.zipf(1.4, EVENTS) % 50
    time = draw.integers(0, 40_000, EVENTS)
    item[:300], time[:300] = 3, draw.integers(1000, 1060, 300)
    item[300:500], time[300:500] = 4, draw.integers(2000, 2060, 200)
    user = draw.integers(0, USERS, EVENTS)
    hashes = draw.integers(-(2**63), 2**63 - 1, USERS)
    acts = pl.DataFrame({"user": user, "object": item, "time_us": time, "user_hash": hashes[user]})
    made = {
        name: coaction_tables(engine, engine.table(acts), WINDOWS, max_burst=25, buckets=4)
        for name, engine in (("spark", spark), ("polars", polars))
    }

    for field in dataclasses.fields(made["polars"]):
        expected = polars.collect(getattr(made["polars"], field.name))
        found = spark.collect(getattr(made["spark"], field.name)).select(expected.columns)
        assert expected.height > 0, field.name
        assert found.sort(pl.all()).equals(expected.sort(pl.all())), field.name

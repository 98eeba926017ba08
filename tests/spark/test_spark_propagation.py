"""Relational propagation over two hops on both engines: whole numbers exactly, reals to 1e-9."""

import narwhals as nw
import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from graphguard.graph.neighbour_joins import neighbour_table
from graphguard.schema import FIXED_POINT

USERS, OBJECTS, EDGES = 80, 40, 900
COUNTS = ("user", "bad_touches", "other_touches", "fewest_others")


def test_two_hops_over_two_relations_are_the_same_row_by_row(spark, polars):
    draw = np.random.default_rng(11)
    rows = pl.DataFrame(
        {
            "user": np.arange(USERS),
            "bad": (draw.random(USERS) < 0.2).astype(np.int64),
            "age": pl.Series(draw.integers(-(2**40), 2**40, USERS)),
            "pace": pl.Series(draw.integers(0, 9 * FIXED_POINT, USERS)),
        }
    ).with_columns(pl.when(pl.col("user") % 5 > 0).then("age"))
    relations = [
        pl.DataFrame(
            {
                "user": draw.integers(0, USERS, EDGES),
                "object": draw.zipf(1.6, EDGES) % OBJECTS,
                "time_us": draw.integers(0, 100, EDGES),
            }
        )
        for _ in range(2)
    ]
    found = {}
    for name, engine in (("spark", spark), ("polars", polars)):
        found[name] = []
        for edges in relations:
            links = engine.table(edges)
            values = ["age", "pace"]
            one = engine.hold(neighbour_table(engine, links, engine.table(rows), values, (10, 90)))
            around = one.select(
                "user",
                (nw.col("mean_age") * FIXED_POINT).round().cast(nw.Int64).alias("age"),
                bad=(nw.col("bad_touches") > 0).cast(nw.Int64),
            )
            two = neighbour_table(engine, links, around, ["age"], (10, 90))
            found[name] += [engine.collect(hop).sort("user") for hop in (one, two)]

    for ours, expected in zip(found["spark"], found["polars"], strict=True):
        assert expected.height > USERS // 2
        assert ours.select(COUNTS).equals(expected.select(COUNTS))
        assert_frame_equal(ours, expected, rel_tol=1e-9, abs_tol=0.0)

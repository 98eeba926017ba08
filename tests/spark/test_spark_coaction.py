"""Co-action on both engines: the kernel runs in Spark's Python workers, bucket by bucket."""

import dataclasses

import numpy as np
import polars as pl

from graphguard.graph.keyed import key_hash
from graphguard.rings.coaction_buckets import coaction_tables
from graphguard.rings.link import LinkRules, linked
from graphguard.rings.trace_coactions import trace_coactions

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


def test_links_and_the_chances_of_their_meetings_are_the_same(spark, polars):
    # Users come back to objects often, each time with another chance to meet somebody.
    draw = np.random.default_rng(8)
    item, user = draw.zipf(1.4, EVENTS) % 50, draw.integers(0, USERS, EVENTS)
    time = draw.integers(0, 40_000, EVENTS) * 1_000_000
    hashes = key_hash(map(str, range(USERS)))
    columns = {"user": user, "object": item, "time_us": time}
    acts = pl.DataFrame(columns | {"user_hash": hashes.view(np.int64)[user]})
    rules = LinkRules([60_000_000, 600_000_000], 200, 1000, hashes, kept=0.0)

    made = [trace_coactions(one, one.table(acts), rules, buckets=4) for one in (spark, polars)]
    links = [
        linked(one.touched, one.found, np.zeros(len(one.objects), dtype=np.int64), rules)
        for one in made
    ]

    assert links[1].get_column("chances").list.len().max() > 10
    assert links[0].equals(links[1])

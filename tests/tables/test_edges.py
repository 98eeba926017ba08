from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphguard.config.sections import EdgeConfig, LogConfig
from graphguard.tables import repeats
from graphguard.tables.edges import daily_edges, edges_of_day
from graphguard.tables.repeats import repeated_places

EDGE = EdgeConfig(name=("user", "likes", "post"), log="likes", source="u", target="p")
LOG = LogConfig(path="x", time="ts", numeric=("stars", "count"))
SCHEMA = dict.fromkeys(("u", "p", "time_us", "stars", "count"), pl.Int64)
EVENT = st.tuples(
    *(st.integers(0, 3) for _ in range(2)),
    st.integers(0, 6),
    st.one_of(st.none(), st.integers(-2, 2)),
    st.one_of(st.none(), st.integers(0, 2)),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(EVENT, max_size=25), st.booleans())
def test_one_days_events_in_memory_give_the_same_edges_as_a_group_by(rows, ordered):
    events = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    if ordered:
        events = events.sort("time_us", maintain_order=True)

    found = edges_of_day(events, EDGE, LOG, date(1970, 1, 1))

    expected = daily_edges(events.lazy(), EDGE, LOG, date(1970, 1, 1))
    assert found.schema == expected.schema
    assert found.rows() == expected.rows()


@pytest.mark.parametrize("spread", [repeats.ODD, np.int64(0)])
def test_repeats_are_found_whatever_the_hash_makes_of_the_keys(monkeypatch, spread):
    monkeypatch.setattr(repeats, "ODD", spread)
    keys = np.random.default_rng(2).integers(0, 2**40, 3000)
    keys[[5, 17, 2999]] = keys[4]
    keys[[0, 30]] = 7

    places = repeated_places(keys)

    groups = [
        group.tolist() for group in np.split(places, np.flatnonzero(np.diff(keys[places])) + 1)
    ]
    assert sorted(groups) == [[0, 30], [4, 5, 17, 2999]]

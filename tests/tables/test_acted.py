"""Who acted in a stored unit."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphguard.errors import ArtefactInvalid
from graphguard.schema import EVENTS
from graphguard.tables.acted import Acted, acted_file, write_acted
from graphguard.tables.files import write_parquet


def events(users, targets):
    kinds = {"time_us": pl.Int64, "user": pl.Int64, "target": pl.Int64}
    times = list(range(len(users)))
    return pl.DataFrame({"time_us": times, "user": users, "target": targets}, schema=kinds)


@given(st.lists(st.integers(0, 200), max_size=40), st.sampled_from(["bits", "events"]))
def test_whoever_has_an_event_is_marked_from_bits_as_from_events(tmp_path_factory, users, way):
    unit, before = tmp_path_factory.mktemp("unit"), tmp_path_factory.mktemp("before")
    write_acted(acted_file(before, "user"), events([7], [199]), ["user", "target"])
    rows = events(users, [None, *users][: len(users)])
    if way == "bits":
        write_acted(acted_file(unit, "user"), rows, ["user", "target"])
    else:
        write_parquet(unit / "events.parquet", rows, EVENTS)
    acted = Acted("user")
    for one in (before, unit, before):
        acted.add(one, ["user", "target"])

    assert set(np.flatnonzero(acted.seen(201))) == {*users, 7, 199}
    assert set(np.flatnonzero(acted.seen(8))) == {one for one in {*users, 7} if one < 8}
    assert set(np.flatnonzero(acted.seen(999))) == {*users, 7, 199}


def test_damaged_bits_are_an_error(tmp_path):
    path = acted_file(tmp_path, "user")
    write_acted(path, events(list(range(0, 4000, 3)), [None] * 1334), ["user"])
    raw = bytearray(path.read_bytes())
    raw[200] ^= 1
    path.write_bytes(raw)

    with pytest.raises(ArtefactInvalid, match="user.parquet"):
        Acted("user").add(tmp_path, ["user"])

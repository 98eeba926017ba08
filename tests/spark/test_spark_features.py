"""Feature aggregates on both engines: integers exactly, reals to 1e-9."""

from dataclasses import replace

import narwhals as nw
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from graphguard.config.sections import Config
from graphguard.features.catalogue import blocks
from graphguard.features.engine_rows import EngineEvents
from graphguard.features.rows import acts_of_rows, event_rows
from graphguard.features.table import FeatureInputs, block_columns, feature_table, source_frames
from graphguard.schema import ENTITIES, EVENT_TEXT, FIXED_POINT, PAIRS

DAY = 86_400_000_000
ANCHOR, WINDOW = 20_000 * DAY, 8 * DAY
USERS, OBJECTS, EVENTS = 12, 9, 600


def platform() -> Config:
    """Two logs with every kind of column, an entity table and a trace: every kind of block."""
    edge = {"source": "user_id", "target": "object_id"}
    log = {"path": "x", "time": "ts", "numeric": ["amount"], "categorical": ["channel"]}
    return Config.model_validate(
        {
            "logs": {
                "likes": log | {"text": "caption"},
                "ratings": {"path": "x", "time": "none", "numeric": ["amount"]},
            },
            "entities": {
                "user": {"path": "x", "key": "k", "born": "b"}
                | {"numeric": ["karma"], "categorical": ["country"]}
            },
            "graph": {
                "window": "8d",
                "edges": [
                    {"name": ["user", "likes", "content"], "log": "likes"} | edge,
                    {"name": ["user", "rates", "item"], "log": "ratings"} | edge,
                ],
            },
            "rings": {"traces": [{"log": "likes", "object": "object_id"}], "shared": ["content"]},
            "labels": {"path": "x"},
        }
    )


def a_log(seed: int, *, timeless: bool = False) -> pl.DataFrame:
    """Events around the anchor, half of them on full hours so that times collide."""
    draw = np.random.default_rng(seed)
    time = draw.integers(ANCHOR - 12 * DAY, ANCHOR + 4 * DAY, EVENTS)
    time = np.where(draw.random(EVENTS) < 0.5, time // 3_600_000_000 * 3_600_000_000, time)
    words = np.array(["Buy", "cheap", "Talk:x", "http://a.b", "7", "(ok)", "!!"])
    return pl.DataFrame(
        {
            "time_us": np.zeros(EVENTS, dtype=np.int64) if timeless else time,
            "user_id": draw.integers(0, USERS, EVENTS),
            "object_id": draw.integers(0, OBJECTS, EVENTS),
            "amount": draw.integers(-3, 30, EVENTS) * (FIXED_POINT // 3),
            "channel": draw.choice(["card", "cash", "wire"], EVENTS),
            EVENT_TEXT: [" ".join(draw.choice(words, 3)) for _ in range(EVENTS)],
        }
    )


def a_platforms_inputs() -> FeatureInputs:
    draw = np.random.default_rng(4)
    versions = 20
    entities = pl.DataFrame(
        {
            "entity": draw.integers(0, USERS, versions),
            "time_us": ANCHOR - draw.integers(-2 * DAY, 9 * DAY, versions),
            "born_us": ANCHOR - draw.integers(0, 90 * DAY, versions),
            "karma": draw.integers(0, 99, versions) * FIXED_POINT,
            "country": draw.choice(["ch", "pe", "us"], versions),
        }
    ).cast(dict(ENTITIES.empty().schema))
    a = np.arange(USERS - 1)
    pairs = pl.DataFrame(
        {
            "user_a": a,
            "user_b": a + 1,
            "channel": ["likes.object_id", "shared.content", "likes.object_id"] * 3 + ["x", "y"],
            "window_us": 1_000_000,
            "weight": a + 2,
            "a_first": a % 3,
            "gap_us": 5,
            "expected": 0.5,
            "together": a + 3,
            "by_chance": 0.25,
            "chances": None,
            "most_users": None,
            "tests": 1,
            "log10_p": -a / 3.0,
            "log10_q": -a / 4.0,
        }
    ).cast(dict(PAIRS.empty().schema))
    return FeatureInputs(
        rows=pl.DataFrame({"entity": np.arange(USERS), "anchor_us": np.full(USERS, ANCHOR)}),
        events={"likes": a_log(1).lazy(), "ratings": a_log(2, timeless=True).lazy()},
        entities=entities,
        pairs=pairs,
    )


def on_an_engine(inputs: FeatureInputs, engine) -> FeatureInputs:
    logs = {log: engine.table(events.collect()) for log, events in inputs.events.items()}
    return replace(inputs, there=EngineEvents(engine, logs))


def assert_agree(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Row by row: integers exactly; reals to 1e-9, or 1e-12 where they are a small difference."""
    assert found.columns == expected.columns
    found, expected = found.sort("row"), expected.sort("row")
    for name, kind in expected.schema.items():
        one, other = found.get_column(name), expected.get_column(name)
        if kind.is_integer():
            assert one.cast(pl.Int64).to_list() == other.cast(pl.Int64).to_list(), name
        else:
            # A feature without a meaning is null or no number, as engines divide by nothing.
            one, other = (x.cast(pl.Float64).fill_null(np.nan).to_numpy() for x in (one, other))
            np.testing.assert_allclose(
                np.where(np.isfinite(one), one, np.nan),
                np.where(np.isfinite(other), other, np.nan),
                rtol=1e-9,
                atol=1e-12,
                err_msg=name,
            )


CONFIG = platform()
SOURCES = [block.source for block in blocks(CONFIG)]


@pytest.mark.parametrize("source", list(dict.fromkeys(SOURCES)), ids=str)
def test_every_blocks_group_by_gives_the_same_columns(spark, source):
    wanted = [block for block in blocks(CONFIG) if block.source == source]
    (native,) = [
        frame.collect().to_native()
        for made, frame in source_frames(a_platforms_inputs(), CONFIG)
        if made == source
    ]
    assert native.height > 0
    there = spark.table(native)
    for block in wanted:
        expected = block_columns(nw.from_native(native.lazy()), block).collect().to_native()

        found = spark.collect(block_columns(there, block))

        assert expected.height > 3
        assert_agree(found, expected)


def test_event_features_from_raw_events_are_the_same(spark, polars):
    events = a_log(7)
    rows = pl.DataFrame(
        {
            "entity": np.arange(USERS),
            "anchor_us": ANCHOR - np.arange(USERS) * 3_600_000_000,
            "row": np.arange(USERS),
        }
    )
    (block, timing) = [block for block in blocks(CONFIG) if block.source == SOURCES[0]]
    tables = {}
    for name, engine in (("polars", polars), ("spark", spark)):
        acts = acts_of_rows(engine.table(events), "user_id", engine.table(rows), WINDOW)
        made = engine.hold(event_rows(acts, WINDOW))
        tables[name] = [engine.collect(block_columns(made, one)) for one in (block, timing)]

    for found, expected in zip(tables["spark"], tables["polars"], strict=True):
        assert expected.height == USERS
        assert_agree(found, expected)


def test_the_feature_table_of_a_night_is_the_same(spark):
    inputs = a_platforms_inputs()
    expected = feature_table(inputs, CONFIG)

    found = feature_table(on_an_engine(inputs, spark), CONFIG)

    assert found.columns == expected.columns
    assert (expected.null_count().row(0).count(USERS)) < expected.width // 10
    # Reals to 1e-9 may round to neighbouring numbers of 32 bits.
    assert_frame_equal(found, expected, rel_tol=1.2e-7, abs_tol=0.0)

"""Features through an engine: what is relational comes out as from the events in this process."""

from dataclasses import replace

import numpy as np
import polars as pl

from graphguard.config.sections import Config
from graphguard.features import table
from graphguard.features.engine_rows import EngineEvents
from graphguard.features.table import FeatureInputs, feature_table
from graphguard.schema import FIXED_POINT
from graphguard.tables.engine import PolarsEngine

DAY = 86_400_000_000
ANCHOR = 20_000 * DAY
USERS, EVENTS = 10, 300


def platform() -> Config:
    """A log of payments with amounts, one of logins, and one of ratings without times."""
    ends = {"source": "user_id", "target": "object_id"}
    return Config.model_validate(
        {
            "logs": {
                "logins": {"path": "x", "time": "ts"},
                "pays": {"path": "x", "time": "ts", "numeric": ["amount"]},
                "ratings": {"path": "x", "time": "none", "numeric": ["stars"]},
            },
            "graph": {
                "window": "8d",
                "edges": [
                    {"name": ["user", "uses", "device"], "log": "logins"} | ends,
                    {"name": ["user", "pays", "shop"], "log": "pays"} | ends,
                    {"name": ["user", "rates", "shop"], "log": "ratings"} | ends,
                ],
            },
            "labels": {"path": "x"},
        }
    )


def drawn_events(seed: int, *, timeless: bool = False) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    time = draw.integers(ANCHOR - 11 * DAY, ANCHOR + 2 * DAY, EVENTS)
    value = pl.Series(draw.integers(-2, 9, EVENTS) * (FIXED_POINT // 3))
    known = pl.Series(draw.random(EVENTS) < 0.9)
    return pl.DataFrame(
        {
            "time_us": np.zeros(EVENTS, dtype=np.int64) if timeless else time,
            "user_id": draw.integers(0, USERS + 3, EVENTS),
            "object_id": draw.integers(0, 7, EVENTS),
        }
    ).with_columns(pl.when(known).then(value).alias(name) for name in ("amount", "stars"))


def inputs_of_a_night() -> FeatureInputs:
    logs = {
        "logins": drawn_events(1).lazy(),
        "pays": drawn_events(2).lazy(),
        "ratings": drawn_events(3, timeless=True).lazy(),
    }
    rows = pl.DataFrame({"entity": np.arange(USERS), "anchor_us": np.full(USERS, ANCHOR)})
    return FeatureInputs(rows=rows, events=logs)


def test_every_column_is_that_of_one_process(monkeypatch):
    config, inputs, engine = platform(), inputs_of_a_night(), PolarsEngine()
    expected = feature_table(inputs, config)
    logs = {log: engine.table(events.collect()) for log, events in inputs.events.items()}
    here, made_here = [], table._log_frame

    def noted(acts, source):
        here.append(source.kind)
        return made_here(acts, source)

    monkeypatch.setattr(table, "_log_frame", noted)

    found = feature_table(replace(inputs, there=EngineEvents(engine, logs)), config)

    assert expected.get_column("all.num_events").min() > 10
    assert expected.get_column("ratings:stars.mean_value").null_count() == 0
    assert found.equals(expected)
    assert set(here) == {"objects", "deviations"}


def test_a_log_without_events_counts_zero():
    config, inputs, engine = platform(), inputs_of_a_night(), PolarsEngine()
    logs = {"pays": engine.table(inputs.events["pays"].collect())}
    inputs = replace(inputs, events={"pays": inputs.events["pays"]})

    found = feature_table(replace(inputs, there=EngineEvents(engine, logs)), config)

    assert found.get_column("logins.num_events").to_list() == [0.0] * USERS
    assert found.equals(feature_table(inputs, config))

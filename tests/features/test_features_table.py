from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from graphguard.config.sections import Config
from graphguard.errors import BadSetting, ColumnMissing
from graphguard.features.catalogue import THEMES
from graphguard.features.table import FeatureInputs, column_catalogue, feature_table
from graphguard.schema import ENTITIES, EVENT_TEXT, FIXED_POINT, PAIRS

DAY = 86_400_000_000
ANCHOR = 20_000 * DAY
USERS, OBJECTS, EVENTS = 12, 9, 400
EDGES = {
    "likes": ("likes", "content"),
    "follows": ("follows", "user"),
    "ratings": ("rates", "item"),
}


def platform(anchor="calendar", **changes) -> Config:
    """Every kind of block: two logs with times, one without, texts, values, traces, entities."""
    settings = {
        "logs": {
            "likes": {
                "path": "x",
                "time": "ts",
                "text": "caption",
                "numeric": ["amount"],
                "categorical": ["channel"],
            },
            "follows": {"path": "x", "time": "ts"},
            "ratings": {"path": "x", "time": "none", "numeric": ["amount"]},
        },
        "entities": {
            "user": {
                "path": "x",
                "key": "k",
                "born": "b",
                "numeric": ["karma"],
                "categorical": ["country"],
            }
        },
        "graph": {
            "window": "8d",
            "edges": [
                {
                    "name": ["user", relation, target],
                    "log": log,
                    "source": "user_id",
                    "target": "object_id",
                }
                for log, (relation, target) in EDGES.items()
            ],
        },
        "rings": {
            "traces": [
                {"log": "likes", "object": "object_id"},
                {"log": "likes", "object": "link"},
            ],
            "shared": ["content"],
        },
        "labels": {"path": "x"},
        "training": {"anchor": anchor},
    }
    return Config.model_validate(settings | changes)


def a_log(seed: int, days: float = 20.0) -> pl.DataFrame:
    """Events around the anchor, half of them on full minutes so that times collide."""
    draw = np.random.default_rng(seed)
    time = ANCHOR + (draw.random(EVENTS) * days * DAY).astype(np.int64) - round(days * 0.7 * DAY)
    time = np.where(draw.random(EVENTS) < 0.5, time // 3_600_000_000 * 3_600_000_000, time)
    words = np.array(["Buy", "cheap", "Talk:x", "http://a.b", "7", "(ok)", "!!"])
    amount = pl.Series(draw.integers(-3, 30, EVENTS) * (FIXED_POINT // 3))
    return pl.DataFrame(
        {
            "time_us": time,
            "user_id": draw.integers(0, USERS, EVENTS),
            "object_id": draw.integers(0, OBJECTS, EVENTS),
            "link": pl.Series(draw.integers(-3, 5, EVENTS)).replace([-3, -2, -1], None),
            "amount": amount.set(pl.Series(draw.random(EVENTS) < 0.1), None),
            "channel": pl.Series([("a", "b", None)[i] for i in draw.integers(0, 3, EVENTS)]),
            EVENT_TEXT: [" ".join(words[i]) for i in draw.integers(0, 7, (EVENTS, 2))],
        },
        schema_overrides={"channel": pl.String, "link": pl.Int64},
    )


def a_world() -> dict[str, pl.DataFrame]:
    timeless = a_log(3).with_columns(pl.lit(0, dtype=pl.Int64).alias("time_us"))
    return {"likes": a_log(1), "follows": a_log(2), "ratings": timeless}


def some_entities() -> pl.DataFrame:
    draw = np.random.default_rng(4)
    size = 2 * USERS
    schema = ENTITIES.empty().schema | {"karma": pl.Int64, "country": pl.String}
    return pl.DataFrame(
        {
            "entity": np.repeat(np.arange(USERS), 2),
            "time_us": np.tile([0, ANCHOR - DAY], USERS),
            "born_us": ANCHOR - draw.integers(1, 3 * DAY, size),
            "karma": draw.integers(0, 9, size) * FIXED_POINT,
            "country": np.array(["a", "b", "c"])[draw.integers(0, 3, size)],
        },
        schema=schema,
    )


def some_pairs() -> pl.DataFrame:
    drawn = [
        (
            a,
            b,
            channel,
            window,
            1 + a % 3,
            a % 2,
            5 + b,
            0.25,
            4,
            0.5,
            [0.1, 0.1, 0.1, 0.2],
            None,
            1,
            -1.0 - a - b,
            -0.5 * a,
        )  # fmt: skip
        for a, b in [(0, 1), (1, 2), (3, 7), (4, 5), (2, 9)]
        for channel, window in (("likes.object_id", 10), ("likes.link", 10), ("shared.content", 0))
    ]
    return pl.DataFrame(drawn, schema=PAIRS.empty().schema, orient="row")


def rows(anchors=ANCHOR) -> pl.DataFrame:
    each = np.broadcast_to(np.asarray(anchors, dtype=np.int64), (USERS,))
    return pl.DataFrame({"entity": np.arange(USERS), "anchor_us": each})


def table_of(world, wanted=None, config=None, *, entities=None, pairs=None) -> pl.DataFrame:
    inputs = FeatureInputs(
        rows() if wanted is None else wanted,
        {log: events.lazy() for log, events in world.items()},
        some_entities() if entities is None else entities,
        some_pairs() if pairs is None else pairs,
    )
    return feature_table(inputs, config or platform())


OWN_ANCHORS = ANCHOR + np.arange(USERS) * (DAY // 5) - DAY


def test_the_table_holds_what_the_catalogue_says():
    table = table_of(a_world())

    names = [column.name for column in column_catalogue(platform())]
    assert table.columns == ["entity", "anchor_us", *names]
    assert len(set(names)) == len(names)
    assert set(table.dtypes[2:]) == {pl.Float32}
    assert table.height == USERS
    for column in table.iter_columns():
        if column.dtype == pl.Float32:
            assert column.drop_nulls().is_finite().all(), column.name
            assert column.null_count() < USERS, column.name


@pytest.mark.parametrize("anchors", [ANCHOR, OWN_ANCHORS], ids=["calendar", "event"])
def test_nothing_from_the_anchor_on_changes_a_feature(anchors):
    world = a_world()
    latest = int(np.max(anchors))
    # Rows at or after the newest anchor are rewritten, as are those after the own anchor of others.
    changed = {
        log: pl.concat(
            [
                events.filter(pl.col("time_us") < latest),
                a_log(8).with_columns(pl.col("time_us").mod(3 * DAY) + latest),
            ]
        )
        if log != "ratings"
        else events
        for log, events in world.items()
    }
    assert sum(frame.height for frame in changed.values()) > 900
    late = some_entities().with_columns(
        pl.lit(latest).alias("time_us"), (pl.col("karma") + 5), pl.lit("z").alias("country")
    )

    before = table_of(world, rows(anchors))
    after = table_of(changed, rows(anchors), entities=pl.concat([late, some_entities()]))

    assert_frame_equal(before, after, check_exact=True)


def test_a_row_sees_nothing_after_its_own_anchor():
    # Only user 0's row is compared; everything from its anchor on is thrown away.
    world = a_world()
    own = int(OWN_ANCHORS[0])
    cut = {
        log: events.filter((pl.col("time_us") < own) | (log == "ratings"))
        for log, events in world.items()
    }
    config = platform(anchor={"event": 3})
    entities = some_entities().filter(pl.col("time_us") < own)
    born = pl.when(pl.col("born_us") < own).then("born_us")
    entities = entities.with_columns(born.alias("born_us"))

    full = table_of(world, rows(OWN_ANCHORS), config)
    less = table_of(cut, rows(OWN_ANCHORS), config, entities=entities)

    assert full.row(0) == less.row(0)


@pytest.mark.parametrize("anchors", [ANCHOR, OWN_ANCHORS], ids=["calendar", "event"])
def test_events_before_the_window_change_nothing(anchors):
    world = a_world()
    since = int(np.min(anchors)) - 8 * DAY
    cut = {
        log: events.filter((pl.col("time_us") >= since) | (log == "ratings"))
        for log, events in world.items()
    }

    assert cut["likes"].height < world["likes"].height
    assert_frame_equal(
        table_of(world, rows(anchors)), table_of(cut, rows(anchors)), check_exact=True
    )


def test_a_row_is_the_same_alone_and_among_others():
    world, wanted = a_world(), rows(OWN_ANCHORS)
    config = platform(anchor={"event": 3})

    alone = [table_of(world, wanted[[place]], config) for place in range(USERS)]

    assert_frame_equal(pl.concat(alone), table_of(world, wanted, config), check_exact=True)


def test_event_anchors_at_one_time_equal_the_calendar():
    event = table_of(a_world(), config=platform(anchor={"event": 3}))
    calendar = table_of(a_world())

    assert set(event.columns) < set(calendar.columns)
    assert_frame_equal(calendar.select(event.columns), event, check_exact=True)


@pytest.mark.parametrize("anchors", [ANCHOR, OWN_ANCHORS], ids=["calendar", "event"])
def test_order_of_storage_changes_nothing(anchors):
    world = a_world()
    shuffled = {
        log: events.sample(fraction=1, shuffle=True, seed=6) for log, events in world.items()
    }
    entities = some_entities().reverse()

    before = table_of(world, rows(anchors))
    after = table_of(
        shuffled, rows(anchors).reverse(), entities=entities, pairs=some_pairs().reverse()
    )

    assert_frame_equal(before, after.reverse(), check_exact=True)


@pytest.mark.parametrize("anchors", [ANCHOR, OWN_ANCHORS], ids=["calendar", "event"])
def test_renumbering_entities_renumbers_the_rows_and_changes_nothing_else(anchors):
    new = np.random.default_rng(5).permutation(50)

    def moved(frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
        return frame.with_columns(pl.col(columns).replace_strict(range(50), new.tolist()))

    ends = ("user_id", "object_id", "link")
    world = {log: moved(events, *ends) for log, events in a_world().items()}

    before = table_of(a_world(), rows(anchors))
    after = table_of(
        world,
        moved(rows(anchors), "entity"),
        entities=moved(some_entities(), "entity"),
        pairs=moved(some_pairs(), "user_a", "user_b"),
    )

    assert_frame_equal(moved(before, "entity"), after, check_exact=True)


def test_every_feature_says_why_it_tells_and_is_named_once():
    features = [feature for theme in THEMES.values() for feature in theme.COLUMNS]
    names = [feature.__name__ for feature in features]

    assert len(set(names)) == len(names)
    for feature in features:
        first, _, why = feature.__doc__.partition("\n\n")
        assert first.endswith("."), feature.__name__
        assert len(why.strip()) > 5, feature.__name__


def test_phrases_stand_in_a_sentence():
    column = {column.name: column for column in column_catalogue(platform())}

    assert column["likes.median_gap_s"].phrase == (
        "median seconds between one user's events (in likes)"
    )
    assert column["likes.median_gap_s"].theme == "timing"
    assert column["rates:item.num_objects"].phrase == (
        "number of distinct objects touched (item by rates)"
    )


def test_themes_can_be_left_out():
    config = platform(features=["timing"])

    assert {column.theme for column in column_catalogue(config)} == {"timing"}
    assert table_of(a_world(), config=config).width == 2 + 3 * len(THEMES["timing"].COLUMNS)


def test_an_unknown_theme_is_refused_with_the_nearest_name():
    with pytest.raises(BadSetting, match=r"unknown theme 'timimg' .* Did you mean 'timing'\?"):
        column_catalogue(platform(features=["timimg"]))


def test_a_missing_column_is_named():
    world = a_world() | {"likes": a_log(1).drop("amount")}

    with pytest.raises(ColumnMissing, match="table 'events/likes' has no column 'amount'"):
        table_of(world)


def test_an_entity_with_two_rows_is_refused():
    with pytest.raises(ValueError, match="entity 0 has more than one row"):
        table_of(a_world(), pl.concat([rows(), rows()[[0]]]))


def test_no_rows_make_an_empty_table():
    table = table_of(a_world(), rows().clear())

    assert table.height == 0
    assert table.width == 2 + len(column_catalogue(platform()))


def test_every_feature_is_in_the_docs():
    page = (Path(__file__).parents[2] / "docs" / "features.md").read_text(encoding="utf-8")

    missing = [
        feature.__name__
        for theme in THEMES.values()
        for feature in theme.COLUMNS
        if f"| `{feature.__name__}` | {feature.__doc__.splitlines()[0]}" not in page
    ]
    assert missing == []

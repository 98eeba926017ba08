"""Texts of rows: the newest ones, in order of time, of the row's own window."""

import polars as pl

from graphguard.config.sections import Config
from graphguard.features.table import FeatureInputs, column_catalogue, text_column
from graphguard.schema import EVENT_TEXT

HOUR = 3_600_000_000
ANCHOR = 480_000 * HOUR


def posts(config, **settings) -> Config:
    edge = {"name": ["user", "posts", "page"], "log": "posts", "source": "user", "target": "page"}
    log = {"path": "x", "time": "ts", "text": "body"}
    graph = {"window": "8d", "edges": [edge]}
    return config(logs={"posts": log}, graph=graph, **settings)


def texts_of(platform: Config, drawn: list[tuple], anchors: dict[int, int]) -> list[str]:
    """Texts of rows by posts (user, hours before the anchor, text)."""
    events = pl.DataFrame(
        {
            "time_us": [ANCHOR - before * HOUR for _, before, _ in drawn],
            "user": [user for user, _, _ in drawn],
            "page": [0] * len(drawn),
            EVENT_TEXT: [text for *_, text in drawn],
        },
        schema_overrides={EVENT_TEXT: pl.String},
    )
    rows = pl.DataFrame({"entity": list(anchors), "anchor_us": list(anchors.values())})
    return text_column(FeatureInputs(rows, {"posts": events.lazy()}), platform).to_list()


def test_a_row_has_the_texts_of_its_window_oldest_first(config):
    drawn = [(1, 2, "second"), (1, 5, "first"), (1, 1, None), (1, 0, "at the anchor: too late")]
    drawn += [(1, 24 * 9, "before the window"), (2, 3, "of another")]

    found = texts_of(posts(config), drawn, {1: ANCHOR, 2: ANCHOR, 3: ANCHOR})

    assert found == ["first\nsecond", "of another", ""]


def test_texts_of_one_time_come_in_an_order_of_their_own(config):
    drawn = [(1, 2, "b"), (1, 2, "a"), (1, 2, "c")]

    assert texts_of(posts(config), drawn, {1: ANCHOR}) == ["a\nb\nc"]
    assert texts_of(posts(config), drawn[::-1], {1: ANCHOR}) == ["a\nb\nc"]


def test_only_the_newest_twenty_texts_are_kept_and_not_all_of_a_long_one(config):
    many = [(1, 100 - number, f"t{number}") for number in range(30)]
    long = [(2, 1, "x" * 5000)]

    first, second = texts_of(posts(config), many + long, {1: ANCHOR, 2: ANCHOR})

    assert first == "\n".join(f"t{number}" for number in range(10, 30))
    assert len(second) == 2000


def test_the_theme_makes_no_column(config):
    with_words = posts(config, features=["content", "words"])

    assert column_catalogue(with_words) == column_catalogue(posts(config, features=["content"]))

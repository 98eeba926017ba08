import polars as pl
import pytest

from graphguard.features.table import FeatureInputs, feature_table
from graphguard.schema import EVENT_TEXT

DAY = 86_400_000_000
ANCHOR = 20_000 * DAY


@pytest.fixture
def texts_table(config):
    """Features of texts drawn as (user, seconds before the anchor, text)."""

    def make(drawn: list[tuple[int, int, str | None]], users: list[int]) -> pl.DataFrame:
        events = pl.DataFrame(
            {
                "time_us": [ANCHOR - before * 1_000_000 for _, before, _ in drawn],
                "user_id": [user for user, _, _ in drawn],
                "content_id": range(len(drawn)),
                EVENT_TEXT: [text for *_, text in drawn],
            },
            schema_overrides={EVENT_TEXT: pl.String},
        )
        rows = pl.DataFrame({"entity": users, "anchor_us": [ANCHOR] * len(users)})
        platform = config(logs={"likes": {"path": "x", "time": "ts", "text": "caption"}})
        return feature_table(FeatureInputs(rows, {"likes": events.lazy()}), platform)

    return make


def test_forms_of_a_text_are_measured(texts_table):
    text = "BUY buy buy NOW: https://a.b/c 50% \N{FIRE}"

    row = texts_table([(1, 10, text), (1, 5, "plain words")], users=[1]).row(0, named=True)

    characters = len(text) + 11
    assert row["likes.mean_length"] == characters / 2
    assert row["likes.mean_words"] == 4.5
    assert row["likes.distinct_word_share"] == pytest.approx((6 / 7 + 1) / 2, rel=1e-5)
    assert row["likes.digit_share"] == pytest.approx(2 / characters)
    assert row["likes.uppercase_share"] == pytest.approx(6 / characters)
    assert row["likes.foreign_script_share"] == pytest.approx(1 / characters)
    assert row["likes.link_share"] == 0.5
    assert row["likes.links_per_text"] == 0.5
    assert row["likes.emoji_share"] == 0.5
    assert row["likes.prefix_share"] == 0


def test_titles_tell_their_prefix_and_brackets(texts_table):
    titles = ["Talk:Rome", "User:Ann", "Mercury (planet)", "Rome", None]

    row = texts_table([(1, 10, title) for title in titles], users=[1]).row(0, named=True)

    assert row["likes.prefix_share"] == 0.5
    assert row["likes.num_prefixes"] == 3
    assert row["likes.bracket_share"] == 0.25


def test_copies_count_only_if_another_user_wrote_them_before(texts_table):
    # `Cheap pills 10!` and `cheap pills, 99` are one text; the first author copies nobody
    drawn = [
        (1, 30, "Cheap pills 10!"),
        (2, 20, "cheap pills, 99"),
        (2, 10, "CHEAP PILLS"),
        (2, 5, "good morning"),
    ]

    table = texts_table(drawn, users=[1, 2])

    assert table.get_column("likes.foreign_copy_share").to_list() == pytest.approx([0, 2 / 3])
    assert table.get_column("likes.own_copy_share").to_list() == pytest.approx([0, 1 / 3])


def test_signs_alone_are_no_copy_of_other_signs(texts_table):
    table = texts_table([(1, 30, "!!!"), (2, 20, "123"), (3, 10, "!!!")], users=[2, 3])

    assert table.get_column("likes.foreign_copy_share").to_list() == [0, 1]


def test_empty_texts_have_no_shares(texts_table):
    row = texts_table([(1, 30, "")], users=[1]).row(0, named=True)

    assert row["likes.mean_length"] == 0
    assert row["likes.digit_share"] is None

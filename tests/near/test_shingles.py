import numpy as np
import polars as pl
import pytest

from graphguard.near.shingles import MOST_CHARACTERS, plain_texts, shingles


def plain(*texts):
    return plain_texts(pl.Series(list(texts), dtype=pl.String)).to_list()


def test_case_width_marks_numbers_and_links_are_no_difference():
    assert set(plain("Earn 500 €!", "ＥＡＲＮ 1200", "earn, 7 https://a.example/x", "earn ²³")) == {
        "earn 0"
    }


def test_characters_that_nobody_sees_hide_no_word():
    assert plain("e\u200barn", "ea\u00adrn", "earn\ufeff") == ["earn"] * 3


def test_composed_and_decomposed_letters_are_one():
    assert plain("cafe\u0301") == plain("caf\u00e9")


def test_a_text_of_marks_alone_stands_for_itself():
    assert plain("\U0001f602\U0001f602", "", "...", "www.deal.example") == [
        "\U0001f602\U0001f602",
        "",
        "...",
        "www.deal.example",
    ]


def test_of_a_long_text_the_beginning_counts():
    (seen,) = plain("a" * (MOST_CHARACTERS + 7))
    assert seen == "a" * MOST_CHARACTERS


@pytest.mark.parametrize("width", [1, 3, 4])
def test_shingles_are_the_distinct_runs_of_each_text(width, monkeypatch):
    # Two texts at a time, so that texts of several blocks are put together.
    monkeypatch.setattr("graphguard.near.shingles.TEXTS_AT_ONCE", 2)
    texts = ["banana bandana", "an", "", "谢谢大家谢谢", "banana", "\U0001f602 an"]
    expected = [
        {text[at : at + width] for at in range(max(len(text) - width + 1, 1))} for text in texts
    ]

    found = shingles(pl.Series(texts), width)

    parts = [
        found.mark[one:other] for one, other in zip(found.start, found.start[1:], strict=False)
    ]
    assert found.sizes.tolist() == [len(one) for one in expected]
    for one, mine in zip(expected, parts, strict=True):
        assert (np.diff(mine.astype(object)) > 0).all()
        for other, theirs in zip(expected, parts, strict=True):
            assert len(np.intersect1d(mine, theirs)) == len(one & other)


def test_a_short_text_is_no_part_of_a_longer_one():
    found = shingles(pl.Series(["an", "a", "\0\0an"]), 4)
    assert found.sizes.tolist() == [1, 1, 1]
    assert len(set(found.mark.tolist())) == 3


def test_no_texts_have_no_shingles():
    found = shingles(pl.Series([], dtype=pl.String), 4)
    assert len(found) == 0
    assert not len(found.mark)

"""Measures of texts: lengths, kinds of characters, prefixes, and a code that finds copies.

Reads strings, writes nothing. Each distinct text is measured once.
"""

import polars as pl

LINK = r"(?i)\b(?:https?://|www\.)\S+"
PICTOGRAPH = r"[\x{2600}-\x{27BF}\x{1F000}-\x{1FAFF}]"
PUNCTUATION = r"[[:punct:]]"
PREFIX = r"^([A-Za-z]+(?:[ _][A-Za-z]+)?):\S"
"""One or two words and a colon with no space after it, as in `User talk:Ann`."""
NOISE = r"[\d[:punct:]\s]+"
WORD = r"\S+"


def measure_texts(texts: pl.Series) -> pl.DataFrame:
    """Measure each text.

    Args:
        texts: Strings without nulls.

    Returns:
        One row per text, in order: integers `length`, `length_fixed` and `distinct_words` (fixed
        point), `words`, `digits`, `capitals`, `punctuation`, `foreign`, `links`; flags `emoji`,
        `has_prefix`, `bracket`; `prefix` (string, empty where there is none).
    """
    name = "text"
    frame = texts.alias(name).to_frame()
    distinct = frame.lazy().unique().with_columns(*_counts(pl.col(name)))
    distinct = distinct.with_columns(
        # A text without a word has nothing repeated.
        (pl.col("num_distinct_words") * (1 << 20) // pl.max_horizontal("words", 1)).alias(
            "distinct_words"
        ),
        (pl.col("length") * (1 << 20)).alias("length_fixed"),
        (pl.col("prefix") != "").alias("has_prefix"),
    ).drop("num_distinct_words")
    measured = frame.lazy().join(distinct, on=name, how="left", maintain_order="left")
    return measured.drop(name).collect()


def same_text(texts: pl.Series) -> pl.Series:
    """A code per text, equal for texts that differ in case, digits, punctuation or spaces only.

    A text of nothing but these stands for itself. Codes have a meaning within one call only.
    """
    column = pl.col("text")
    plain = column.str.to_lowercase().str.replace_all(NOISE, " ").str.strip_chars()
    bare = pl.when(plain == "").then(column).otherwise(plain).alias("plain")
    frame = texts.alias("text").to_frame().lazy()
    distinct = frame.unique().with_columns(bare)
    codes = distinct.select("plain").unique().with_row_index("code")
    coded = distinct.join(codes, on="plain").select("text", pl.col("code").cast(pl.Int64))
    return (
        frame.join(coded, on="text", how="left", maintain_order="left")
        .collect()
        .get_column("code")
        .alias("text_code")
    )


def _counts(text: pl.Expr) -> list[pl.Expr]:
    words = text.str.extract_all(WORD)

    def count(pattern: str) -> pl.Expr:
        return text.str.count_matches(pattern).cast(pl.Int64)

    return [
        text.str.len_chars().cast(pl.Int64).alias("length"),
        words.list.len().cast(pl.Int64).alias("words"),
        words.list.n_unique().cast(pl.Int64).alias("num_distinct_words"),
        count(r"\d").alias("digits"),
        count(r"\p{Lu}").alias("capitals"),
        count(PUNCTUATION).alias("punctuation"),
        count(r"[^\x00-\x7F]").alias("foreign"),
        count(LINK).alias("links"),
        text.str.contains(PICTOGRAPH).alias("emoji"),
        text.str.contains(r"\(.+\)|\[.+\]").alias("bracket"),
        text.str.extract(PREFIX).fill_null("").alias("prefix"),
    ]

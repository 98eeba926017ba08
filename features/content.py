"""Content: the form of what a user writes or names, and whether it was written before.

Reads the text measures of `features/texts.py`; writes nothing. The measures suit long texts and
titles alike: lengths, kinds of characters, prefixes and copies, no language.
"""

from collections.abc import Callable

import narwhals as nw

from graphguard.features.exact import log1p, mean, mean_fixed, real, share, spread_fixed


def mean_length() -> nw.Expr:
    """Mean number of characters.

    Spam comes from templates of one length, chatter is short.
    """
    return mean(nw.col("length"))


def sd_length() -> nw.Expr:
    """Standard deviation of the number of characters.

    Templates hardly vary, people do.
    """
    return spread_fixed(nw.col("length_fixed"))


def mean_words() -> nw.Expr:
    """Mean number of words.

    Distinguishes titles, calls and essays.
    """
    return mean(nw.col("words"))


def distinct_word_share() -> nw.Expr:
    """Mean share of a text's words that are distinct.

    Keyword stuffing repeats itself.
    """
    return mean_fixed(nw.col("distinct_words"))


def digit_share() -> nw.Expr:
    """Share of the characters that are digits.

    Phone numbers, prices and serial names carry digits.
    """
    return nw.col("digits").sum().cast(nw.Float64) / nw.col("length").sum()


def uppercase_share() -> nw.Expr:
    """Share of the characters that are capitals.

    Shouting sells.
    """
    return nw.col("capitals").sum().cast(nw.Float64) / nw.col("length").sum()


def punctuation_share() -> nw.Expr:
    """Share of the characters that are ASCII punctuation.

    Obfuscated words and rows of exclamation marks stand out.
    """
    return nw.col("punctuation").sum().cast(nw.Float64) / nw.col("length").sum()


def emoji_share() -> nw.Expr:
    """Share of the texts with an emoji or another pictograph.

    Promotion is decorated.
    """
    return share(nw.col("emoji"))


def foreign_script_share() -> nw.Expr:
    """Share of the characters outside ASCII.

    Look-alike letters hide words from filters; also tells communities apart.
    """
    return nw.col("foreign").sum().cast(nw.Float64) / nw.col("length").sum()


def link_share() -> nw.Expr:
    """Share of the texts with a link.

    Spam has to lead somewhere.
    """
    return share(nw.col("links") > 0)


def links_per_text() -> nw.Expr:
    """Links per text.

    Link farms put many into each text.
    """
    return mean(nw.col("links"))


def prefix_share() -> nw.Expr:
    """Share of the texts that begin with a prefix such as `Talk:` or `User:`.

    Names of pages outside the articles: there newcomers discuss, and vandals hardly go.
    """
    return share(nw.col("has_prefix"))


def num_prefixes() -> nw.Expr:
    """Number of distinct prefixes; a text without one has the empty prefix.

    Users at home on a platform move between its spaces.
    """
    return nw.col("prefix").n_unique()


def bracket_share() -> nw.Expr:
    """Share of the texts with a part in brackets.

    Titles such as `Mercury (planet)` are told apart by hand; also decorated offers.
    """
    return share(nw.col("bracket"))


def own_copy_share() -> nw.Expr:
    """Share of the texts that repeat an own text up to case, digits, punctuation and spaces.

    Flooding.
    """
    distinct = nw.col("text_code").n_unique().cast(nw.Float64)
    return 1.0 - distinct / nw.len()


def foreign_copy_share() -> nw.Expr:
    """Share of the texts that another user had written before.

    Copy and paste across accounts is how campaigns speak.
    """
    return share(nw.col("copied_users") > 0)


def mean_log_copies() -> nw.Expr:
    """Mean logarithm of 1 + other users that had written the same text.

    A stock phrase has hundreds of authors, a campaign's text a handful.
    """
    return real(log1p(nw.col("copied_users")).sum()) / nw.col("copied_users").count()


COLUMNS = (
    mean_length,
    sd_length,
    mean_words,
    distinct_word_share,
    digit_share,
    uppercase_share,
    punctuation_share,
    emoji_share,
    foreign_script_share,
    link_share,
    links_per_text,
    prefix_share,
    num_prefixes,
    bracket_share,
    own_copy_share,
    foreign_copy_share,
    mean_log_copies,
)
COUNTS: tuple[Callable[[], nw.Expr], ...] = ()

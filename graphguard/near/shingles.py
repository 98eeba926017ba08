"""Shingles: a text as the set of its short runs of characters, without case, marks and numbers.

Reads strings, writes nothing. Runs of characters, not of words: many scripts put no spaces between
words. Method: Broder 1997, "On the Resemblance and Containment of Documents".
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.graph.keyed import seeded

Ints = NDArray[np.int64]
Marks = NDArray[np.uint64]

LINK = r"\b(?:https?://|www\.)\S+"
HIDDEN = r"\p{Cf}+"
"""Characters that nobody sees, such as zero-width joiners: put inside words to defeat filters."""
NUMBER = r"\p{N}+"
BETWEEN = r"[^\p{L}\p{M}\p{N}]+"
MOST_CHARACTERS = 5_000
"""Of a longer text only the beginning counts, so that one book costs no more than a long post."""
TEXTS_AT_ONCE = 1 << 14
PLACE_BITS = np.uint64(14)
"""Bits of a hash that give way to the text's place in its block, so that one sort orders both."""
ROOM = np.uint64(64) - PLACE_BITS
_BASE = np.uint64(0x9E3779B97F4A7C15)


def plain_texts(texts: pl.Series) -> pl.Series:
    """Texts as they are compared: NFKC, lower case, a 0 for each number, no links, no marks.

    A text of nothing else (emoji, a bare link) stands for itself. Letters of other scripts that
    look alike stay different.

    Args:
        texts: Strings without nulls.

    >>> texts = pl.Series(["Earn 500 EUR -> www.deal.example/1", "ＥＡＲＮ 20 eur!!", "?!"])
    >>> plain_texts(texts).to_list()
    ['earn 0 eur', 'earn 0 eur', '?!']
    """
    text = pl.col("text").str.slice(0, MOST_CHARACTERS)
    plain = text.str.normalize("NFKC").str.to_lowercase().str.replace_all(HIDDEN, "")
    for pattern, instead in ((LINK, " "), (BETWEEN, " "), (NUMBER, "0")):
        plain = plain.str.replace_all(pattern, instead)
    plain = plain.str.strip_chars()
    shown = pl.when(plain == "").then(text).otherwise(plain).alias("plain")
    return texts.alias("text").to_frame().select(shown).to_series()


@dataclass(frozen=True)
class Shingles:
    """The distinct shingles of texts, one text after another.

    Attributes:
        start: Where each text begins in `mark`, and the end, shape [num_texts + 1].
        mark: Hashes of shingles, 50 bits, ascending within a text.
    """

    start: Ints
    mark: Marks

    def __len__(self) -> int:
        return len(self.start) - 1

    @property
    def sizes(self) -> Ints:
        """Distinct shingles of each text."""
        return np.diff(self.start)


def shingles(plain: pl.Series, width: int) -> Shingles:
    """The runs of `width` characters of each text; a shorter text is one shingle.

    Args:
        plain: Texts from `plain_texts`.
        width: Characters of a shingle, 1 or more.

    Cost: O(characters); eight bytes a shingle, and a block of texts.
    """
    starts, marks = [np.zeros(1, dtype=np.int64)], [np.zeros(0, dtype=np.uint64)]
    held = 0
    for block in _blocks(plain):
        text, mark = _runs(block, width)
        both = np.sort(text.astype(np.uint64) << ROOM | mark >> PLACE_BITS)
        both = both[np.r_[True, both[1:] != both[:-1]]]
        counts = np.bincount((both >> ROOM).astype(np.int64), minlength=len(block))
        starts.append(held + np.cumsum(counts))
        marks.append(both & ((np.uint64(1) << ROOM) - np.uint64(1)))
        held += len(both)
    return Shingles(np.concatenate(starts), np.concatenate(marks))


def _blocks(texts: pl.Series) -> Iterator[pl.Series]:
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        yield texts.slice(start, TEXTS_AT_ONCE)


def _runs(plain: pl.Series, width: int) -> tuple[Ints, Marks]:
    """Text and hash of every run of characters, repeats included."""
    # Padded to one run: what is shorter than a run is one, and is no other text's.
    padded = plain.str.pad_end(width, "\0")
    size = padded.str.len_chars().cast(pl.Int64).to_numpy()
    letters = np.frombuffer("".join(padded.to_list()).encode("utf-32-le"), dtype="<u4")
    rolled = np.zeros(max(len(letters) - width + 1, 0), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for place in range(width):
            rolled = rolled * _BASE + letters[place : place + len(rolled)]
    text = np.repeat(np.arange(len(size)), size)[: len(rolled)]
    end = np.repeat(np.cumsum(size), size)[: len(rolled)]
    inside = np.arange(len(rolled)) + width <= end
    return text[inside], seeded(rolled[inside], 0)

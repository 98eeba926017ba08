"""What holds a ring together beside pairs: sets that met, and what sets wrote."""

import re
from typing import Any

import polars as pl

from graphguard.report.markup import number, text

WORDS = {
    "again": "met again on",
    "once": "met at once on",
    "audience": "are the audience of",
    "earlier": "acted together before tonight's window, and again on",
    "alike": "wrote alike about",
    "known": "known to be bad came to what is the ring's own,",
    "beside": "came beside the ring, where so many strangers do not come, to",
}
"""What users of a set did, by its test; of others the links say it."""
JOINS = ("known", "beside")
"""Tests of one who joins."""
MOST_SETS, MOST_OBJECTS, LONGEST = 3, 3, 160
SCHEME = re.compile(r"\bhttp(s?)://", re.IGNORECASE)


def held_together(sets: pl.DataFrame, quotes: pl.DataFrame) -> str:
    """The least likely set of each kind, with two of the texts of those that say the same.

    Args:
        sets: RING_SETS of one ring.
        quotes: As `rings.quotes.quotes` makes them, of one ring.
    """
    told = _put_together(sets.filter(pl.col("test").is_in(list(WORDS))))
    best = told.sort("log10_q", "channel", "number").unique("test", keep="first")
    ranked = best.sort("log10_q", "channel").head(MOST_SETS)
    return "".join(_line(row, quotes) for row in ranked.iter_rows(named=True))


def _put_together(sets: pl.DataFrame) -> pl.DataFrame:
    """The sets, but those of one who joins as one of all who do, by the least sure of their q."""
    alone = pl.col("test").is_in(JOINS)
    joins = sets.filter(alone).group_by("test", "channel")
    keys, objects = (pl.col(name).explode().unique().sort() for name in ("keys", "objects"))
    every = joins.agg(keys, objects, pl.col("log10_q").max(), pl.col("number").min())
    return pl.concat([sets.filter(~alone), every], how="diagonal")


def _line(row: dict[str, Any], quotes: pl.DataFrame) -> str:
    names = [text(plain(one), 30) for one in row["objects"][:MOST_OBJECTS]]
    more = len(row["objects"]) - len(names)
    if more > 0:
        names.append(f"{number(more)} more")
    mine = quotes.filter(
        (pl.col("channel") == row["channel"]) & (pl.col("number") == row["number"])
    )
    said = "".join(
        f"<br>{text(key)}: “{text(plain(one), LONGEST)}”"
        for key, one in mine.select("key", "text").iter_rows()
    )
    return (
        f"<p class='quiet'>{number(len(row['keys']))} {WORDS[row['test']]} {', '.join(names)} "
        f"(false discoveries 10<sup>{row['log10_q']:.0f}</sup>){said}</p>"
    )


def plain(value: str) -> str:
    """A text whose links lead nowhere, as they are passed on among investigators.

    >>> plain("see https://deal.example")
    'see hxxps://deal.example'
    """
    return SCHEME.sub(r"hxxp\1://", value)

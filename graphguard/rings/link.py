"""One channel's links: pairs with their weight, what chance would give, and its p."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.graph.keyed import Hashes
from graphguard.graph.ranges import ranges
from graphguard.rings.coaction import Coactions, find_coactions
from graphguard.rings.interest import SLOW_US, find_interests, interest_test
from graphguard.rings.meetings import Acts
from graphguard.rings.significance import expected_weights, log10_poisson_tail, sharing_test
from graphguard.rings.timing import chances_of, common_touches, timing_test
from graphguard.rings.timing_null import timing_null

KEPT = -3.0
"""What nobody asks for: chance alone makes one pair in a thousand."""
LIKELY = -0.7
"""Two objects or more, where as many are expected or one less, are likelier than this."""

LINK_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "user_a": pl.Int64,
    "user_b": pl.Int64,
    "window_us": pl.Int64,
    "weight": pl.Int64,
    "a_first": pl.Int64,
    "gap_us": pl.Int64,
    "expected": pl.Float64,
    "together": pl.Int64,
    "by_chance": pl.Float64,
    "chances": pl.List(pl.Float64),
    "most_users": pl.Int64,
    "tests": pl.Int64,
    "log10_p": pl.Float64,
}
"""As in PAIRS."""


@dataclass(frozen=True)
class LinkRules:
    """How a channel is searched.

    Attributes:
        windows_us: Ascending windows.
        max_burst: Acts within the widest window above which pairs are nominated by a sample.
        max_sharers: Users of a shared object above which its pairs are not listed.
        user_hash: Hash of each user's key, shape [num_users].
        kept: Pairs with a log10 p above this are not kept.
    """

    windows_us: list[int]
    max_burst: int
    max_sharers: int
    user_hash: Hashes
    kept: float = KEPT


def coaction_links(
    acts: Acts,
    born_us: NDArray[np.int64],
    rules: LinkRules,
    author: NDArray[np.int64] | None = None,
) -> pl.DataFrame:
    """Pairs that act together in time more than their activity and the objects' ages explain.

    A pair must be unlikely under both nulls: who acts how much on what (Poisson on degrees), and,
    given what both touched, how soon after one another (pooled over ages); in windows of hours,
    where nobody's timing stands out, how much they like the same instead, if authors are known.

    Args:
        acts: Events of the trace; objects are 0 .. len(born_us) - 1.
        born_us: First sight of each object.
        rules: Windows and bounds.
        author: Number of who made each object, -1 where nobody knows; None if objects have none.

    Returns:
        LINK_SCHEMA, sorted by pair.
    """
    found = find_coactions(acts, rules.windows_us, rules.user_hash, rules.max_burst)
    return linked(acts, found, born_us, rules, author)


def linked(
    acts: Acts,
    found: Coactions,
    born_us: NDArray[np.int64],
    rules: LinkRules,
    author: NDArray[np.int64] | None = None,
) -> pl.DataFrame:
    """The part of `coaction_links` that follows the pairing.

    Args:
        acts: Events of the trace; of those equal in user, object and time one is enough.
        found: Pairs of these acts.
        born_us: First sight of each object.
        rules: Windows and bounds.
        author: As for `coaction_links`.
    """
    if not found.pairs.height:
        return pl.DataFrame(schema=LINK_SCHEMA)
    number = len(rules.windows_us)
    expected = np.stack([expected_weights(found, n) for n in range(number)])
    weight = _columns(found.pairs, "weight", number)
    high = np.flatnonzero((weight > expected + 1).any(axis=0) | (rules.kept > LIKELY))
    expected, weight = expected[:, high], weight[:, high]
    activity = log10_poisson_tail(weight, expected)
    # One object shared is no pattern, however small its chance.
    activity[weight < 2] = 0.0
    told = np.flatnonzero(activity.min(axis=0) + np.log10(number) <= rules.kept)
    chosen, weight = high[told], weight[:, told]
    expected, activity = expected[:, told], activity[:, told]
    pairs = found.pairs[chosen]
    null = timing_null(acts, found, born_us, rules.windows_us)
    likings = None
    if author is not None and rules.windows_us[-1] >= SLOW_US:
        likings = find_interests(acts, author, len(rules.user_hash))
    tests = []
    common = common_touches(acts, pairs, null)
    for n, window in enumerate(rules.windows_us):
        if likings is not None and window >= SLOW_US:
            tests.append(interest_test(found, chosen, weight[n], n, likings))
        else:
            tests.append(timing_test(common, weight[n], n, null))
    both = np.stack([np.maximum(activity[n], one.log10_p) for n, one in enumerate(tests)])
    best = both.argmin(axis=0)
    at = (best, np.arange(len(chosen)))
    p = np.minimum(both[at] + np.log10(number), 0.0)
    together = np.stack([one.together for one in tests])[at]
    kept = p <= rules.kept
    asked = np.where(kept & (together >= 0), best, -1)
    table = pl.DataFrame(
        {
            "user_a": pairs.get_column("user_a"),
            "user_b": pairs.get_column("user_b"),
            "window_us": np.array(rules.windows_us)[best],
            "weight": weight[at],
            "a_first": _columns(pairs, "a_first", number)[at],
            "expected": expected[at],
            "together": together,
            "by_chance": np.stack([one.expected for one in tests])[at],
            "chances": chances_of(common, asked, null),
            "most_users": pl.Series([None] * len(p), dtype=pl.Int64),
            "tests": np.full(len(p), number),
            "log10_p": p,
        }
    )
    # What two like is no number of objects.
    counted = pl.when(pl.col("together") >= 0).then("together")
    return _with_gaps(table.with_columns(counted).filter(kept), found).select(list(LINK_SCHEMA))


def sharing_links(
    user: NDArray[np.int64], objects: NDArray[np.int64], rules: LinkRules
) -> pl.DataFrame:
    """Pairs that share more rare objects than their numbers of objects explain.

    Args:
        user: User of each distinct (user, object), shape [m].
        objects: Object of it, shape [m].
        rules: Bounds.

    Returns:
        LINK_SCHEMA, sorted by pair.

    Cost: O(sum of squares of the sizes of objects up to `max_sharers`).
    """
    order = np.lexsort((user, objects))
    user, objects = user[order], objects[order]
    starts = np.flatnonzero(np.diff(objects, prepend=-1))
    sizes = np.diff(np.append(starts, len(objects)))
    size = np.repeat(sizes, sizes)
    end = np.repeat(starts + sizes, sizes)
    place = np.arange(len(objects))
    listed = np.where(size <= rules.max_sharers, end, place + 1)
    one = np.repeat(place, listed - place - 1)
    other = ranges(place + 1, listed)
    pairs = (
        pl.DataFrame({"user_a": user[one], "user_b": user[other], "sizes": size[one]})
        .group_by("user_a", "user_b")
        .agg(pl.col("sizes").sort())
        .sort("user_a", "user_b")
    )
    if not pairs.height:
        return pl.DataFrame(schema=LINK_SCHEMA)
    found = sharing_test(user, objects, pairs, len(rules.user_hash))
    return pairs.select(
        "user_a",
        "user_b",
        pl.lit(0, dtype=pl.Int64).alias("window_us"),
        pl.Series("weight", found.shared),
        pl.lit(0, dtype=pl.Int64).alias("a_first"),
        pl.lit(None, dtype=pl.Int64).alias("gap_us"),
        pl.Series("expected", found.expected),
        pl.lit(None, dtype=pl.Int64).alias("together"),
        pl.lit(None, dtype=pl.Float64).alias("by_chance"),
        pl.lit(None, dtype=pl.List(pl.Float64)).alias("chances"),
        pl.Series("most_users", found.most_users),
        pl.lit(found.tests, dtype=pl.Int64).alias("tests"),
        pl.Series("log10_p", found.log10_p),
    ).filter(pl.col("log10_p") <= rules.kept)


def _columns(pairs: pl.DataFrame, name: str, number: int) -> NDArray[np.int64]:
    return np.stack([pairs.get_column(f"{name}_{n}").to_numpy() for n in range(number)])


def _with_gaps(table: pl.DataFrame, found: Coactions) -> pl.DataFrame:
    """Add the median gap of each pair's acts within its window."""
    pair = ["user_a", "user_b"]
    gaps = (
        found.touches.select(*pair, "gap_us")
        .join(table.select(*pair, "window_us"), on=pair)
        .filter(pl.col("gap_us") <= pl.col("window_us"))
        .group_by(pair)
        .agg(pl.col("gap_us").median().round().cast(pl.Int64))
    )
    return table.join(gaps, on=pair, how="left", maintain_order="left")

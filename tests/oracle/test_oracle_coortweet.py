"""CooRTweet's own data: every cell of the tables that two other implementations agree on.

Each test tells how many cells it compares, which `benchmarks/coordination.py` adds up. In these
tables a weight counts pairs of rows; the library's counts distinct objects.
"""

import numpy as np
import polars as pl
import pytest

from graphguard.graph.keyed import key_hash
from graphguard.rings.coaction import find_coactions
from graphguard.rings.meetings import Acts

SECOND = 1_000_000
# window s: undirected edges, accounts, largest weight in row pairs
NO_FILTER = {
    10: (1092, 1525, 3),
    60: (6206, 3954, 4),
    600: (57421, 6958, 9),
    3600: (276982, 8080, 17),
}
# window s, least posts: pairs, accounts, objects, contents, edges, largest weight; then accounts
# and edges above each quantile of the weights.
FILTERED = {
    (10, 2): ((447, 525, 170, 829, 442, 3), {0.5: (8, 4), 0.9: (8, 4), 0.99: (8, 4)}),
    (10, 5): ((22, 23, 21, 44, 20, 3), {0.5: (2, 1), 0.9: (2, 1), 0.99: (2, 1)}),
    (60, 2): ((3791, 2110, 502, 5004, 3721, 4), {0.5: (94, 60), 0.9: (94, 60), 0.99: (14, 9)}),
    (60, 5): ((1235, 772, 343, 2015, 1193, 4), {0.5: (59, 36), 0.9: (59, 36), 0.99: (9, 5)}),
    (300, 2): (
        (19887, 3440, 939, 12769, 19239, 8),
        {0.5: (528, 505), 0.9: (528, 505), 0.99: (117, 91)},
    ),
    (300, 5): (
        (9414, 1427, 722, 8236, 8917, 8),
        {0.5: (379, 370), 0.9: (379, 370), 0.99: (101, 76)},
    ),
    (600, 2): ((38172, 3736, 1139, 16002, 36620, 9), {0.99: (233, 215)}),
    (3600, 2): (
        (183379, 4099, 1587, 21805, 169781, 17),
        {0.5: (2190, 10679), 0.9: (2190, 10679), 0.99: (300, 515)},
    ),
    (3600, 5): (
        (86812, 1627, 1333, 15809, 75534, 17),
        {0.5: (1300, 8556), 0.9: (659, 1766), 0.99: (292, 508)},
    ),
}
WITH_LOOPS = (60, 30)
"""Pairs and accounts at 10 s and five posts where shares of one's own content are kept."""
LOOPER = "9fa51ef17278c01d13d313741eddfc0b"
# object column, window s: rows, pairs, accounts, objects, edges; accounts, edges above the median
GERMAN = {
    ("phash_id", 30): (16934, 2131, 214, 261, 337, 68, 113),
    ("url_id", 30): (41100, 5658, 506, 1059, 1453, 238, 661),
    ("phash_id", 60): (16934, 2458, 287, 332, 455, 110, 164),
    ("url_id", 60): (41100, 6760, 616, 1232, 1772, 284, 792),
    ("hashtag_id", 30): (36005, 3703, 314, 267, 506, 154, 200),
    ("domain_id", 30): (63529, 5968, 692, 210, 1659, 251, 673),
}


@pytest.fixture(scope="module")
def tweets(real_data):
    frame = pl.read_parquet(real_data / "coortweet" / "russian_coord_tweets.parquet")
    return frame.with_columns(
        pl.col("account_id").rank("dense").cast(pl.Int64).alias("user") - 1,
        pl.col("object_id").rank("dense").cast(pl.Int64).alias("thing") - 1,
        pl.col("timestamp_share").cast(pl.Int64).alias("time"),
    )


@pytest.fixture(scope="module")
def posts(real_data):
    return pl.read_parquet(real_data / "coortweet" / "german_elections.parquet")


def row_pairs(frame, window):
    """All pairs of rows on one object within the window, from the library's own join.

    Rows stand for users there, so that no pair of rows is folded into a pair of users.
    """
    acts = Acts(
        np.arange(frame.height),
        frame.get_column("thing").to_numpy(),
        frame.get_column("time").to_numpy() * SECOND,
    )
    hashes = np.zeros(frame.height, dtype=np.uint64)
    touches = find_coactions(acts, [window * SECOND], hashes, 10**9).meetings.touches()
    sides = [
        frame[touches.get_column(f"user_{end}").to_numpy()].rename(
            lambda name, end=end: f"{name}_{end}"
        )
        for end in "ab"
    ]
    return pl.concat(sides, how="horizontal")


def edges_of(pairs):
    a, b = pl.col("user_a"), pl.col("user_b")
    low, high = pl.min_horizontal(a, b).alias("low"), pl.max_horizontal(a, b).alias("high")
    return pairs.with_columns(low, high).group_by("low", "high").len()


def accounts_of(edges):
    return pl.concat([edges["low"], edges["high"]]).n_unique()


def above(edges, quantile):
    """Accounts and edges of weights above a quantile, of R's type 7."""
    strong = edges.filter(pl.col("len") > np.quantile(edges["len"].to_numpy(), quantile))
    return accounts_of(strong), strong.height


def participating(frame, least):
    return frame.filter(pl.len().over("user") >= least)


def filtered_pairs(tweets, window, least, *, loops=False):
    """CooRTweet's pairs: both filters of participation, and nobody's share of the same content."""
    kept = participating(tweets, least)
    pairs = row_pairs(kept, window).filter(pl.col("content_id_a") != pl.col("content_id_b"))
    if not loops:
        pairs = pairs.filter(
            (pl.col("user_a") != pl.col("user_b"))
            & (pl.col("object_id_a") != pl.col("content_id_a"))
            & (pl.col("object_id_a") != pl.col("content_id_b"))
        )
    contents = pl.concat([pairs["content_id_a"], pairs["content_id_b"]]).unique()
    again = participating(kept.filter(pl.col("content_id").is_in(contents.implode())), least)
    inside = again["content_id"].unique().implode()
    return pairs.filter(pl.col("content_id_a").is_in(inside) | pl.col("content_id_b").is_in(inside))


@pytest.mark.parametrize("window", list(NO_FILTER))
def test_without_a_filter_edges_accounts_and_weights_agree(tweets, window, record_property):
    edges = edges_of(row_pairs(tweets, window).filter(pl.col("user_a") != pl.col("user_b")))

    record_property("cells", 3)
    assert (edges.height, accounts_of(edges), edges["len"].max()) == NO_FILTER[window]


@pytest.mark.parametrize("window", list(NO_FILTER))
def test_the_librarys_pairs_are_the_same_edges(tweets, window):
    users = tweets.get_column("user").n_unique()
    acts = Acts(
        tweets["user"].to_numpy(), tweets["thing"].to_numpy(), tweets["time"].to_numpy() * SECOND
    )

    found = find_coactions(acts, [window * SECOND], key_hash(map(str, range(users))), 10**9)

    assert len(np.unique(found.meetings.keys())) == NO_FILTER[window][0]


@pytest.mark.parametrize(("window", "least"), list(FILTERED))
def test_with_coortweets_filters_every_cell_agrees(tweets, window, least, record_property):
    figures, quantiles = FILTERED[window, least]

    pairs = filtered_pairs(tweets, window, least)

    edges = edges_of(pairs)
    record_property("cells", len(figures) + 2 * len(quantiles))
    assert (
        pairs.height,
        accounts_of(edges),
        pairs["thing_a"].n_unique(),
        pl.concat([pairs["content_id_a"], pairs["content_id_b"]]).n_unique(),
        edges.height,
        edges["len"].max(),
    ) == figures
    assert {quantile: above(edges, quantile) for quantile in quantiles} == quantiles


def test_the_account_that_shares_itself_is_there_only_where_loops_are_kept(tweets, record_property):
    kept, without = (filtered_pairs(tweets, 10, 5, loops=loops) for loops in (True, False))

    record_property("cells", 4)
    held = [
        pl.concat([pairs["account_id_a"], pairs["account_id_b"]]).unique()
        for pairs in (kept, without)
    ]
    assert (kept.height, len(held[0])) == WITH_LOOPS
    assert [LOOPER in accounts for accounts in held] == [True, False]


@pytest.mark.parametrize(("column", "window"), list(GERMAN))
def test_the_german_posts_agree(posts, column, window, record_property):
    rows = posts.drop_nulls(column).unique([column, "account_id", "post_id", "timestamp"])
    shares = rows.select(
        "account_id",
        pl.col(column).alias("object_id"),
        pl.col("post_id").alias("content_id"),
        pl.col("account_id").rank("dense").cast(pl.Int64).alias("user"),
        pl.col(column).cast(pl.Int64).alias("thing"),
        pl.col("timestamp").alias("time"),
    )

    pairs = filtered_pairs(shares, window, 2)

    edges = edges_of(pairs)
    record_property("cells", len(GERMAN[column, window]))
    assert (
        rows.height,
        pairs.height,
        accounts_of(edges),
        pairs["thing_a"].n_unique(),
        edges.height,
        *above(edges, 0.5),
    ) == GERMAN[column, window]

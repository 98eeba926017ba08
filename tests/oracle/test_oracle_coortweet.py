"""CooRTweet's own data: every cell of the tables that two other implementations agree on."""

import numpy as np
import polars as pl
import pytest

from graphguard.graph.keyed import key_hash
from graphguard.rings.coaction import Acts, find_coactions

SECOND = 1_000_000
# window s: undirected edges, accounts, largest weight in row pairs
NO_FILTER = {
    10: (1092, 1525, 3),
    60: (6206, 3954, 4),
    600: (57421, 6958, 9),
    3600: (276982, 8080, 17),
}
# window s, least posts: pairs, accounts, objects, contents, edges, largest weight
FILTERED = {
    (10, 2): (447, 525, 170, 829, 442, 3),
    (10, 5): (22, 23, 21, 44, 20, 3),
    (60, 2): (3791, 2110, 502, 5004, 3721, 4),
    (60, 5): (1235, 772, 343, 2015, 1193, 4),
    (300, 2): (19887, 3440, 939, 12769, 19239, 8),
    (300, 5): (9414, 1427, 722, 8236, 8917, 8),
    (600, 2): (38172, 3736, 1139, 16002, 36620, 9),
    (3600, 2): (183379, 4099, 1587, 21805, 169781, 17),
    (3600, 5): (86812, 1627, 1333, 15809, 75534, 17),
}


@pytest.fixture(scope="module")
def tweets(real_data):
    frame = pl.read_parquet(real_data / "coortweet" / "russian_coord_tweets.parquet")
    return frame.with_row_index("row").with_columns(
        pl.col("account_id").rank("dense").cast(pl.Int64).alias("user") - 1,
        pl.col("object_id").rank("dense").cast(pl.Int64).alias("thing") - 1,
        pl.col("timestamp_share").cast(pl.Int64).alias("time"),
    )


def row_pairs(frame, window):
    """All pairs of rows on one object within the window, from the library's own join.

    Rows stand for users there, so that no pair of rows is folded into a pair of users.
    """
    rows = frame.get_column("row").to_numpy().astype(np.int64)
    place = np.arange(len(rows))
    acts = Acts(
        place, frame.get_column("thing").to_numpy(), frame.get_column("time").to_numpy() * SECOND
    )
    hashes = np.zeros(len(rows), dtype=np.uint64)
    touches = find_coactions(acts, [window * SECOND], hashes, 10**9).touches
    one, other = (touches.get_column(name).to_numpy() for name in ("user_a", "user_b"))
    sides = [
        frame.select("user", "content_id", "thing", "object_id")[ends.tolist()]
        for ends in (one, other)
    ]
    pairs = pl.concat(
        [sides[0].rename(lambda name: f"{name}_a"), sides[1].rename(lambda name: f"{name}_b")],
        how="horizontal",
    )
    return pairs


def edges_of(pairs):
    a, b = pl.col("user_a"), pl.col("user_b")
    low, high = pl.min_horizontal(a, b).alias("low"), pl.max_horizontal(a, b).alias("high")
    return pairs.with_columns(low, high).group_by("low", "high").len()


@pytest.mark.parametrize("window", list(NO_FILTER))
def test_without_a_filter_edges_accounts_and_weights_agree(tweets, window):
    pairs = row_pairs(tweets, window).filter(pl.col("user_a") != pl.col("user_b"))
    edges = edges_of(pairs)
    accounts = pl.concat([edges["low"], edges["high"]]).n_unique()

    assert (edges.height, accounts, edges["len"].max()) == NO_FILTER[window]


@pytest.mark.parametrize("window", list(NO_FILTER))
def test_the_librarys_pairs_are_the_same_edges(tweets, window):
    users = tweets.get_column("user").n_unique()
    acts = Acts(
        tweets["user"].to_numpy(), tweets["thing"].to_numpy(), tweets["time"].to_numpy() * SECOND
    )

    found = find_coactions(acts, [window * SECOND], key_hash(map(str, range(users))), 10**9)

    assert found.touches.select("user_a", "user_b").unique().height == NO_FILTER[window][0]


@pytest.mark.parametrize(("window", "least"), list(FILTERED))
def test_with_coortweets_filters_every_cell_agrees(tweets, window, least):
    def active(frame):
        return frame.filter(pl.len().over("user") >= least)

    kept = active(tweets)
    pairs = row_pairs(kept, window).filter(
        (pl.col("user_a") != pl.col("user_b"))
        & (pl.col("content_id_a") != pl.col("content_id_b"))
        & (pl.col("object_id_a") != pl.col("content_id_a"))
        & (pl.col("object_id_a") != pl.col("content_id_b"))
    )
    contents = pl.concat([pairs["content_id_a"], pairs["content_id_b"]]).unique()
    again = active(kept.filter(pl.col("content_id").is_in(contents.implode())))
    inside = again["content_id"].unique().implode()
    pairs = pairs.filter(
        pl.col("content_id_a").is_in(inside) | pl.col("content_id_b").is_in(inside)
    )
    edges = edges_of(pairs)

    assert (
        pairs.height,
        pl.concat([edges["low"], edges["high"]]).n_unique(),
        pairs["thing_a"].n_unique(),
        pl.concat([pairs["content_id_a"], pairs["content_id_b"]]).n_unique(),
        edges.height,
        edges["len"].max(),
    ) == FILTERED[window, least]

import polars as pl

from graphguard.rings.confirm import confirmed_links

RATE = 0.01
STAR = [(0, leaf, "likes", -12.0, -5.0) for leaf in (1, 2, 3, 4)]


def links(*rows: tuple[int, int, str, float, float]) -> pl.DataFrame:
    schema = {
        "user_a": pl.Int64,
        "user_b": pl.Int64,
        "channel": pl.String,
        "log10_p": pl.Float64,
        "log10_q": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def confirmed(*rows: tuple[int, int, str, float, float]) -> set[tuple[int, int]]:
    table = confirmed_links(links(*rows), RATE)
    return set(table.select("user_a", "user_b").iter_rows())


def test_weak_links_between_connected_users_make_a_star_dense():
    # Five users have ten pairs: 10 ** -3 is enough, 10 ** -2.9 is not.
    weak = [(1, 2, "likes", -3.1, 0.0), (3, 4, "likes", -2.9, 0.0)]

    assert confirmed(*STAR, *weak) == {(0, 1), (0, 2), (0, 3), (0, 4), (1, 2)}


def test_links_that_leave_the_component_or_join_two_do_not_count():
    other = [(10, 11, "likes", -12.0, -5.0)]
    weak = [(1, 10, "likes", -5.0, 0.0), (2, 30, "likes", -5.0, 0.0), (40, 41, "likes", -5.0, 0.0)]

    assert confirmed(*STAR, *other, *weak) == {(0, 1), (0, 2), (0, 3), (0, 4), (10, 11)}


def test_every_channel_is_one_more_test():
    weak = [(1, 2, "likes", -3.1, 0.0)]
    seen_elsewhere = [(40, 41, "posts", -1.0, 0.0)]

    assert (1, 2) in confirmed(*STAR, *weak)
    assert (1, 2) not in confirmed(*STAR, *weak, *seen_elsewhere)


def test_all_channels_of_a_chosen_pair_are_kept_and_nothing_makes_nothing():
    table = confirmed_links(links(*STAR, (0, 1, "posts", -1.0, -5.0)), RATE)

    assert table.filter(pl.col("user_b") == 1).get_column("channel").to_list() == ["likes", "posts"]
    assert confirmed((1, 2, "likes", -5.0, 0.0)) == set()

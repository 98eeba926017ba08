import numpy as np
import polars as pl

from graphguard.rings.extend import extend_groups

GROUPS = [np.array([0, 1, 2]), np.array([10, 11])]
ENOUGH = -6.0
"""With two groups, a link stands out at 10 ** -6.3."""


def pairs(*rows: tuple[int, int, float]) -> pl.DataFrame:
    schema = {"user_a": pl.Int64, "user_b": pl.Int64, "log10_p": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def extended(links: pl.DataFrame, near: pl.DataFrame) -> list[list[int]]:
    return [group.tolist() for group in extend_groups(GROUPS, links, near, ENOUGH)]


def test_a_strong_link_joins_once_a_second_member_is_linked_too():
    links = pairs((0, 5, -7.0), (1, 5, -3.0), (0, 6, -9.0), (0, 7, -6.1), (1, 7, -6.1))

    assert extended(links, pairs()) == [[0, 1, 2, 5], [10, 11]]


def test_two_channels_to_one_member_are_not_two_members():
    assert extended(pairs((0, 5, -9.0), (0, 5, -8.0)), pairs()) == [[0, 1, 2], [10, 11]]


def test_weak_links_join_where_the_embedding_agrees():
    links = pairs((0, 5, -3.0), (1, 5, -3.0), (10, 6, -3.0), (6, 11, -3.0))
    near = pairs((0, 5, -2.5), (2, 5, -2.5), (6, 10, -2.5), (6, 11, -1.0))

    assert extended(links, near) == [[0, 1, 2, 5], [10, 11]]


def test_whom_two_groups_name_joins_the_one_with_more_ties():
    links = pairs(*((user, 5, -8.0) for user in (0, 1, 2, 10, 11)))

    assert extended(links, pairs()) == [[0, 1, 2, 5], [10, 11]]


def test_members_stay_and_no_group_stays_none():
    assert extended(pairs((0, 10, -9.0), (1, 10, -9.0)), pairs()) == [[0, 1, 2], [10, 11]]
    assert extend_groups([], pairs((0, 1, -9.0)), pairs(), ENOUGH) == []

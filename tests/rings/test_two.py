import numpy as np
import polars as pl
import pytest

from graphguard.rings.two import without_homes

PAIR, MORE = np.array([3, 7]), np.array([1, 2, 9])
NUM_PAIRS, ALPHA = 1e8, 0.05


def links(channel: str, log10_p: float, *more: tuple) -> pl.DataFrame:
    names = ["user_a", "user_b", "channel", "log10_p"]
    return pl.DataFrame([(3, 7, channel, log10_p), *more], schema=names, orient="row")


@pytest.mark.parametrize(
    ("channel", "log10_p", "kept"),
    [
        ("likes.post", -9.5, True),
        # Twenty times as unlikely as that is not enough among 1e8 pairs.
        ("likes.post", -9.0, False),
        ("shared.device", -30.0, False),
        ("audience.likes.post", -30.0, False),
        ("earlier.likes.post", -30.0, False),
    ],
)
def test_two_are_a_ring_by_what_they_did_together_alone(channel, log10_p, kept):
    left = without_homes([MORE, PAIR], links(channel, log10_p), NUM_PAIRS, ALPHA)

    assert [group.tolist() for group in left] == [[1, 2, 9], *([[3, 7]] if kept else [])]


def test_each_trace_of_acts_is_a_chance_more_and_what_is_shared_is_none():
    shared = (1, 2, "shared.device", -20.0)
    other = (1, 2, "posts.link", -1.0)

    assert len(without_homes([PAIR], links("likes.post", -9.4, shared), NUM_PAIRS, ALPHA)) == 1
    assert without_homes([PAIR], links("likes.post", -9.4, shared, other), NUM_PAIRS, ALPHA) == []


def test_without_any_act_no_two_are_a_ring():
    nothing = links("shared.device", -20.0)

    assert without_homes([PAIR], nothing, NUM_PAIRS, ALPHA) == []
    assert len(without_homes([MORE], nothing, NUM_PAIRS, ALPHA)) == 1

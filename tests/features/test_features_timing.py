import pytest

HOUR_S = 3600


def test_a_timer_is_steady(likes_table):
    # one event a minute, on the full minute
    likes = [(1, 5, 60 * n) for n in range(1, 11)]

    row = likes_table(likes, users=[1]).row(0, named=True)

    assert row["likes.median_gap_s"] == 60
    assert row["likes.min_gap_s"] == row["likes.max_gap_s"] == 60
    assert row["likes.gap_burstiness"] == -1
    assert row["likes.same_gap_share"] == 1
    assert row["likes.same_second_share"] == 1
    assert row["likes.round_minute_share"] == 1
    assert row["likes.same_minute_share"] == pytest.approx(0.1)
    assert row["likes.gaps_below_60s_share"] == 0


def test_burstiness_follows_its_formula(likes_table):
    # gaps 10 s and 30 s: mean 20, sd 10
    row = likes_table([(1, 5, 50), (1, 5, 40), (1, 5, 10)], users=[1]).row(0, named=True)

    assert row["likes.gap_burstiness"] == pytest.approx((10 - 20) / (10 + 20))
    assert row["likes.gaps_below_60s_share"] == 1
    assert row["likes.gaps_below_10s_share"] == 0
    assert row["likes.same_gap_share"] == 0.5


def test_hours_and_weekdays_are_utc(likes_table):
    # The anchor is Friday 0:00: 23 h, 22 h on Thursday; 23 h on Wednesday; 5 h on Thursday.
    hours = (1, 2, 25, 19)
    row = likes_table([(1, 5, h * HOUR_S) for h in hours], users=[1]).row(0, named=True)

    assert row["likes.hour_entropy"] == pytest.approx(1.5)
    assert row["likes.weekday_entropy"] == pytest.approx(0.8112781)
    assert row["likes.night_share"] == 0.25
    assert row["likes.weekend_share"] == 0


def test_one_event_has_no_gap(likes_table):
    row = likes_table([(1, 5, 50)], users=[1]).row(0, named=True)

    assert row["likes.median_gap_s"] is None
    assert row["likes.gap_burstiness"] is None
    assert row["likes.gaps_below_10s_share"] is None
    assert row["likes.same_gap_share"] is None
    assert row["likes.hour_entropy"] == 0


def test_events_of_one_moment_have_no_burstiness(likes_table):
    row = likes_table([(1, 5, 50)] * 3, users=[1]).row(0, named=True)

    assert row["likes.median_gap_s"] == 0
    assert row["likes.gap_burstiness"] is None
    assert row["likes.gaps_below_10s_share"] == 1

import math

import polars as pl
import pytest

DAY_S = 86_400


def one(table: pl.DataFrame, column: str, row: int = 0) -> float | None:
    return table.get_column(column)[row]


def test_activity_counts_events_inside_the_window_only(likes_table):
    # days before the anchor: 8.0 is the first inside, 1 us more and the anchor itself are out
    likes = [(1, 5, 8 * DAY_S), (1, 5, 8 * DAY_S + 1e-6), (1, 5, 0), (1, 6, 3600), (2, 5, 60)]

    table = likes_table(likes, users=[1])

    assert one(table, "likes.num_events") == 2
    assert one(table, "likes.active_days") == 2
    assert one(table, "likes.events_per_active_day") == 1
    assert one(table, "likes.first_event_age_d") == 8
    assert one(table, "likes.last_event_age_d") == pytest.approx(1 / 24)


def test_recent_change_is_in_doublings_of_the_daily_pace(likes_table):
    # last quarter (2 days): 1 event     before (6 days): 3 events, the same pace
    likes = [(1, 5, 1.5 * DAY_S), *[(1, 5, d * DAY_S) for d in (3, 4, 5)]]

    table = likes_table(likes, users=[1])

    assert one(table, "likes.recent_change") == 0
    assert one(table, "likes.last_day_share") == 0
    assert one(table, "likes.last_3_days_share") == 0.5
    assert one(table, "likes.busiest_day_share") == 0.25


def test_new_objects_of_the_last_quarter_are_told_from_old_ones(likes_table):
    # content 5: touched on day -5 and day -1 (old)     6: day -1, twice (new)
    likes = [(1, 5, 5 * DAY_S), (1, 5, DAY_S), (1, 6, DAY_S), (1, 6, DAY_S - 9)]

    table = likes_table(likes, users=[1])

    assert one(table, "likes:content.repeat_share") == 0.5
    assert one(table, "likes:content.recent_new_objects") == 1
    assert one(table, "likes:content.recent_new_share") == pytest.approx(2 / 3)
    assert one(table, "likes:content.newest_object_age_d") == 1


def test_steps_stay_on_an_object_or_move_to_another(likes_table):
    # seconds before the anchor:   5@100   5@90 (stay, 10 s)   6@70 (move, 20 s)   5@40 (move, 30 s)
    table = likes_table([(1, 5, 100), (1, 5, 90), (1, 6, 70), (1, 5, 40)], users=[1])

    assert one(table, "likes:content.stay_share") == pytest.approx(1 / 3)
    assert one(table, "likes:content.median_move_s") == 25
    assert one(table, "likes:content.median_return_s") == 30


def test_a_user_without_events_counts_zero_and_knows_nothing_else(likes_table):
    table = likes_table([(2, 5, 60)], users=[1, 2])

    assert one(table, "likes.num_events") == 0
    assert one(table, "likes:content.num_objects") == 0
    assert one(table, "likes.last_event_age_d") is None
    assert one(table, "likes.hour_entropy") is None
    assert one(table, "likes.num_events", row=1) == 1
    assert not any(math.isnan(v) for v in table.row(0)[2:] if v is not None)

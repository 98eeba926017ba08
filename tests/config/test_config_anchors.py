"""Anchors lie on an absolute grid and end their horizon before the cutoff."""

from datetime import date, timedelta

import pytest

from graphguard.config.anchors import EPOCH, calendar_anchors, check_history, event_periods
from graphguard.config.values import DAY_US, day_us
from graphguard.errors import TooLittleHistory


def test_anchors_lie_on_the_grid_and_end_before_the_cutoff(make_config):
    # anchor_every 14d, horizon 14d, 4 anchors, window 14d
    anchors = calendar_anchors(make_config(long=True), date(2026, 1, 29))

    days = [(day - EPOCH).days for day in anchors.all()[:-1]]
    assert [day % 14 for day in days] == [0] * 4
    assert anchors.all()[-1] == date(2026, 1, 29)
    assert anchors.calibrate + timedelta(days=14) <= date(2026, 1, 29)
    assert anchors.first_day == anchors.train[0] - timedelta(days=14)


def test_nights_of_one_fortnight_share_their_anchors(make_config):
    config = make_config(long=True)
    nights = [calendar_anchors(config, date(2026, 1, 15) + timedelta(days=n)) for n in range(14)]

    assert len({night.all()[:-1] for night in nights}) == 1


def test_too_short_a_log_is_told_in_days(make_config):
    anchors = calendar_anchors(make_config(long=True), date(2026, 1, 29))

    check_history(anchors, anchors.first_day, date(2026, 1, 29))
    with pytest.raises(TooLittleHistory, match="needs 70 days of log before as_of, found 69"):
        check_history(anchors, anchors.first_day + timedelta(days=1), date(2026, 1, 29))


def test_a_cutoff_before_the_logs_is_told_as_such(make_config):
    anchors = calendar_anchors(make_config(long=True), date(2026, 1, 29))

    with pytest.raises(TooLittleHistory, match=r"found 0; the logs begin on 2026-03-01, so give"):
        check_history(anchors, date(2026, 3, 1), date(2026, 1, 29))


def test_event_periods_follow_one_another_up_to_the_cutoff(make_config):
    config = make_config(long=True, training={"anchor": {"event": 3}, "anchors": 5})
    periods = event_periods(config, date(2026, 1, 29))

    cutoff = day_us(date(2026, 1, 29))
    assert periods.train[1] == periods.select[0]
    assert periods.select[1] == periods.calibrate[0]
    assert periods.calibrate[1] == periods.score[0] == cutoff - 14 * DAY_US + 1
    assert periods.score[1] == cutoff + 1
    assert periods.train[0] == periods.score[0] - 5 * 14 * DAY_US

"""A day's file is read once, and a night with an earlier cutoff never sees what came after it."""

from datetime import timedelta

import polars as pl
import pytest
from hostile_platform import FIRST, us

from graphguard.tables.events import scan_events

DAYS = 4


def fill(platform, late_s):
    """Likes of four days; the file of the third has a row `late_s` seconds after that day."""
    for number in range(DAYS):
        day = FIRST + timedelta(days=number)
        times = [us(day, 60), us(day, 120)]
        if number == 2 and late_s is not None:
            times.append(us(day + timedelta(days=1), late_s))
        users = [f"u{one}" for one in range(len(times))]
        frame = pl.DataFrame({"user_id": users, "content_id": "c", "ts": times})
        platform.put(platform.part(day), frame.to_arrow())
    platform.write("labels.parquet", user_id=["u0"], is_abusive=[True], decided_at=[us(FIRST)])


def marks(run):
    return run.manifest("ingest")["partitions"]["events/likes"]


def times_of(run):
    return scan_events(run, "likes", 0, 2**62).collect().get_column("time_us").sort().to_list()


def test_the_next_night_takes_yesterdays_rows_as_they_were_stored(platform):
    fill(platform, None)

    first = platform.night(as_of=FIRST + timedelta(days=3))
    second = platform.night(as_of=FIRST + timedelta(days=4))

    assert marks(first).items() < marks(second).items()


@pytest.mark.parametrize("order", [(3, 4), (4, 3)])
def test_a_row_after_the_cutoff_is_for_later_nights_alone_whichever_runs_first(platform, order):
    fill(platform, late_s=30)
    cutoff = FIRST + timedelta(days=3)

    runs = {days: platform.night(as_of=FIRST + timedelta(days=days)) for days in order}

    assert len(times_of(runs[3])) == 6
    assert max(times_of(runs[3])) < us(cutoff)
    assert len(times_of(runs[4])) == 9
    assert us(cutoff, 30) in times_of(runs[4])
    third = f"dt={FIRST + timedelta(days=2)}"
    assert marks(runs[3])[third] != marks(runs[4])[third]

from datetime import date, timedelta

import polars as pl
import pytest

from graphguard.errors import BadSetting
from graphguard.worlds import WorldSpec, write_world
from graphguard.worlds.drifts import DRIFTS, change_days, drift_world
from graphguard.worlds.spec import END

SINCE = END - timedelta(days=4)


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """A small world of ten days, and a function that reads one of its tables, or a twin's."""
    out = tmp_path_factory.mktemp("calm")
    write_world(WorldSpec(users=600, days=10, seed=3, ring_share=0.2, solo_share=0.1), out)
    return out


def rows(world, log, day=None):
    folder = world / "labels" if log == "labels" else world / "logs" / log / f"dt={day}"
    (path,) = folder.glob("*.parquet")
    return pl.read_parquet(path)


@pytest.fixture
def drifted(calm, tmp_path):
    def make(kind):
        drift_world(calm, tmp_path / kind, kind, (SINCE, END))
        return tmp_path / kind

    return make


@pytest.mark.parametrize("kind", DRIFTS)
def test_a_change_touches_its_own_logs_from_its_first_day_on(calm, drifted, kind):
    world = drifted(kind)

    for log in ("logins", "posts", "likes", "follows"):
        before, after = SINCE - timedelta(days=1), SINCE + timedelta(days=1)
        assert rows(world, log, before).equals(rows(calm, log, before))
        same = rows(world, log, after).equals(rows(calm, log, after))
        assert same == (log not in DRIFTS[kind][0])
        assert rows(world, log, after).schema == rows(calm, log, after).schema
    assert rows(world, "labels").equals(rows(calm, "labels")) == ("labels" not in DRIFTS[kind][0])


def test_lost_rows_are_two_in_three(calm, drifted):
    share = rows(drifted("lost rows"), "likes", SINCE).height / rows(calm, "likes", SINCE).height

    assert share == pytest.approx(1 / 3, abs=0.06)


def test_devices_are_renamed_day_by_day(drifted):
    world = drifted("new devices")

    shares = [
        rows(world, "logins", SINCE + timedelta(days=day))
        .get_column("device_id")
        .str.ends_with("-2")
        .mean()
        for day in range(4)
    ]
    assert shares == pytest.approx([0.25, 0.5, 0.75, 1.0], abs=0.12)


def test_a_shifted_clock_keeps_every_row_in_its_day(calm, drifted):
    before, after = rows(calm, "logins", SINCE), rows(drifted("shifted clock"), "logins", SINCE)

    assert after.height == before.height
    assert (after.get_column("ts").dt.date() == SINCE).all()
    assert after.get_column("ts").is_sorted()


def test_a_wave_has_crews_that_meet_within_a_minute(calm, drifted):
    made = rows(drifted("wave"), "likes", SINCE)
    extra = made.join(rows(calm, "likes", SINCE), on=made.columns, how="anti")
    spans = extra.group_by("content_id").agg(
        pl.len(), (pl.col("ts").max() - pl.col("ts").min()).dt.total_seconds().alias("span")
    )

    assert extra.get_column("user_id").n_unique() > 20
    assert spans.filter(pl.col("len").is_between(8, 20)).get_column("span").median() <= 60


def test_a_backlog_loses_new_labels_and_a_flood_adds_some(calm, drifted):
    new = pl.col("decided_at") >= pl.lit(SINCE).cast(pl.Datetime("us", "UTC"))
    before = rows(calm, "labels").filter(new).height

    assert rows(drifted("backlog"), "labels").filter(new).height < 0.4 * before
    assert rows(drifted("flood"), "labels").filter(new).height > before + 30


def test_an_unknown_change_is_refused_with_the_nearest(calm, tmp_path):
    with pytest.raises(BadSetting, match="Did you mean 'flood'"):
        drift_world(calm, tmp_path, "floods", change_days(date(2026, 1, 1)))

"""A night carries an earlier run's table of users on, where that gives what the files give."""

import shutil
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from graphguard.checks.compare import compare_runs
from graphguard.erase.erase import Request, erase
from graphguard.erase.scan import check_erasure
from graphguard.jobs.context import Silent
from graphguard.jobs.erase import ReportRedrawer
from graphguard.jobs.nightly import Night, run_night
from graphguard.tables.files import read_parquet
from graphguard.tables.tombstones import Tombstones

CARRIED = "new rows"


class Notes(Silent):
    """Keeps what a night says."""

    def __init__(self):
        self.texts = []

    def note(self, text, **facts):
        self.texts.append(text)

    def said(self, words):
        return [text for text in self.texts if words in text]


def night(config, **changes):
    notes = Notes()
    return run_night(Night(config, last="ingest", reporter=notes, **changes)), notes


def users_of(run):
    return read_parquet(run.file("ingest", "entities/user.parquet"))


def rows_of(run):
    """Every row of the table by key, what became of the rows, and the rejects."""
    named = run.workspace.ids("user").decode(users_of(run), "entity", "key").drop("entity")
    others = [read_parquet(run.file("ingest", f"{name}.parquet")) for name in ("intake", "rejects")]
    return [named.sort("time_us", "key").rows(), *(one.rows() for one in others)]


@pytest.fixture
def users(world, tmp_path):
    """A table of users of the test's own."""
    path = tmp_path / "users" / "users.parquet"
    path.parent.mkdir()
    shutil.copy(world / "tables" / "users.parquet", path)
    return path


@pytest.fixture
def on_day(users, make_config):
    """The config of a night on that table, with one log beside it."""
    edge = {
        "name": ["user", "uses", "device"],
        "log": "logins",
        "source": "user_id",
        "target": "device_id",
    }

    def make(as_of, **changes):
        config = make_config(
            as_of=as_of,
            graph={"edges": [edge], "hubs": {}},
            rings={"traces": [], "shared": ["device"]},
        )
        update = {"path": str(users), "manifest": None, **changes}
        user = config.entities["user"].model_copy(update=update)
        logs = {"logins": config.logs["logins"]}
        return config.model_copy(update={"entities": {"user": user}, "logs": logs})

    return make


@pytest.fixture
def from_nothing(tmp_path):
    """The same night in a workspace of its own, with the tombstones of the other."""

    def run(config):
        fresh = config.model_copy(update={"workspace": tmp_path / "fresh"})
        shutil.rmtree(tmp_path / "fresh", ignore_errors=True)
        Tombstones(config.workspace_folder).copy_to(tmp_path / "fresh")
        made, notes = night(fresh)
        assert not notes.said(CARRIED)
        return made

    return run


def test_a_night_reads_the_rows_that_came_since(on_day, from_nothing):
    first, notes = night(on_day("2026-01-20"))
    assert not notes.said(CARRIED)
    config = on_day("2026-01-24")

    second, notes = night(config)

    more = users_of(second).height - users_of(first).height
    [text] = notes.said(CARRIED)
    assert text == f"the table of 'user' of run {first.run_id}, and {more} new rows"
    assert more > 0
    again = from_nothing(config)
    assert compare_runs(second, again, config).differences == []
    assert rows_of(second) == rows_of(again)
    third, notes = night(on_day("2026-01-25"))
    assert notes.said(f"run {second.run_id}, and")
    assert rows_of(third) == rows_of(from_nothing(on_day("2026-01-25")))


def test_bad_rows_of_both_nights_are_rejected_and_counted_once(on_day, users, from_nothing):
    # Two rows without a key: one before the first cutoff, one between the two; one row twice.
    frame = pl.read_parquet(users)
    moments = [datetime(2026, 1, 10, tzinfo=UTC), datetime(2026, 1, 21, 7, tzinfo=UTC)]
    bad = frame.head(2).with_columns(
        pl.lit(None, dtype=pl.String).alias("user_id"),
        pl.Series("updated_at", moments).cast(frame.schema["updated_at"]),
    )
    late = frame.filter(pl.col("updated_at") >= moments[1]).head(1)
    pl.concat([bad, frame, late, late]).write_parquet(users)
    night(on_day("2026-01-20"))
    config = on_day("2026-01-25")

    second, notes = night(config)

    assert notes.said(CARRIED)
    assert rows_of(second) == rows_of(from_nothing(config))
    [counts] = read_parquet(second.file("ingest", "intake.parquet")).filter(source="user").rows()
    told = dict(zip(("read", "accepted", "rejected", "not_yet"), counts[2:], strict=False))
    assert told["read"] == frame.height + 4
    assert told["rejected"] == 2
    assert told["accepted"] + told["rejected"] + told["not_yet"] == told["read"]


@pytest.mark.parametrize("what", ["a user more", "a user less", "another country"])
def test_a_table_that_was_delivered_anew_is_read_whole(what, on_day, users, from_nothing):
    first, _ = night(on_day("2026-01-20"))
    frame = pl.read_parquet(users)
    if what == "a user more":
        frame = pl.concat([frame.head(1).with_columns(user_id=pl.lit("newcomer")), frame])
    elif what == "a user less":
        frame = frame.tail(-1)
    else:
        place = pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("xx")).otherwise("country")
        frame = frame.with_columns(place.alias("country"))
    frame.write_parquet(users)
    config = on_day("2026-01-21")

    second, notes = night(config)

    assert not notes.said(CARRIED)
    assert rows_of(second) == rows_of(from_nothing(config))
    old = set(users_of(first).drop("entity").rows())
    assert what == "a user less" or not set(users_of(second).drop("entity").rows()) <= old


def test_a_birth_that_is_told_before_it_comes_is_read_when_it_came(on_day, users, from_nothing):
    frame = pl.read_parquet(users)
    birth = pl.lit(datetime(2026, 1, 20, 12, tzinfo=UTC)).cast(frame.schema["signup_at"])
    first = pl.int_range(pl.len()) == 0
    frame.with_columns(pl.when(first).then(birth).otherwise("signup_at").alias("signup_at"))[
        frame.columns
    ].write_parquet(users)
    before, _ = night(on_day("2026-01-20"))
    config = on_day("2026-01-21")

    after, notes = night(config)

    assert not notes.said(CARRIED)
    assert users_of(before).get_column("born_us").null_count() == 1
    assert users_of(after).get_column("born_us").null_count() == 0
    assert rows_of(after) == rows_of(from_nothing(config))
    _, notes = night(on_day("2026-01-22"))
    assert notes.said(CARRIED)


def test_other_columns_are_read_from_the_files(on_day, from_nothing):
    night(on_day("2026-01-20"))
    config = on_day("2026-01-21", categorical=())

    second, notes = night(config)

    assert not notes.said(CARRIED)
    assert "country" not in users_of(second).columns
    assert rows_of(second) == rows_of(from_nothing(config))


def test_a_damaged_table_is_not_carried_on(on_day, from_nothing):
    first, _ = night(on_day("2026-01-20"))
    path = first.stage("ingest") / "entities" / "user.parquet"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    config = on_day("2026-01-21")

    second, notes = night(config)

    [text] = notes.said("is not carried on")
    assert "user.parquet" in text
    assert rows_of(second) == rows_of(from_nothing(config))
    (second.stage("ingest") / "manifest.json").write_text("")
    _, notes = night(on_day("2026-01-22"))
    assert notes.said(f"the tables of run {second.run_id} are passed over")


def test_a_table_of_a_run_from_another_workspace_is_not_carried_on(on_day, tmp_path):
    # There the same numbers stand for other users.
    first, _ = night(on_day("2026-01-20"))
    config = on_day("2026-01-21")
    away = {"workspace": tmp_path / "away"}
    own, _ = night(on_day("2026-01-18").model_copy(update=away))
    shutil.copytree(first.folder, tmp_path / "away" / "runs" / first.run_id)

    second, notes = night(config.model_copy(update=away))

    [text] = notes.said(CARRIED)
    assert own.run_id in text
    there, notes = night(config)
    assert notes.said(f"run {first.run_id}, and")
    assert rows_of(second) == rows_of(there)


def test_an_erased_user_comes_back_with_no_later_night(on_day, users, from_nothing):
    # `gone` stands in a row before the first cutoff, and in one after the second.
    frame = pl.read_parquet(users)
    known = frame.filter(pl.col("updated_at") < datetime(2026, 1, 10, tzinfo=UTC))
    gone = known.get_column("user_id")[0]
    again = frame.filter(user_id=gone).with_columns(
        (pl.lit(datetime(2026, 1, 21, tzinfo=UTC)) + timedelta(hours=5))
        .cast(frame.schema["updated_at"])
        .alias("updated_at")
    )
    pl.concat([frame, again]).write_parquet(users)
    config = on_day("2026-01-20")
    first, _ = night(config)
    erase(config, Request("user", frozenset({gone})), ReportRedrawer(config), lambda *_: None)
    assert first.manifest("ingest")["erasures"]

    second, notes = night(on_day("2026-01-21"))
    assert not notes.said(CARRIED)
    third, notes = night(on_day("2026-01-22"))
    assert notes.said(CARRIED)

    assert gone not in set(third.workspace.ids("user").frame.get_column("key"))
    erased = read_parquet(third.file("ingest", "rejects.parquet")).filter(reason="erased")
    assert erased.filter(pl.col("file").str.ends_with("users.parquet")).get_column(
        "row"
    ).sort().to_list() == [-2, -1]
    assert rows_of(third) == rows_of(from_nothing(on_day("2026-01-22")))
    assert "no trace" in str(check_erasure(config, "user", frozenset({gone})))
    assert users_of(second).height == users_of(first).height + _between(users, gone)


def _between(users, gone):
    inside = pl.col("updated_at").is_between(
        datetime(2026, 1, 20, tzinfo=UTC), datetime(2026, 1, 21, tzinfo=UTC), closed="left"
    )
    return pl.read_parquet(users).filter(inside, pl.col("user_id") != gone).height


def test_a_night_begun_again_says_the_same_of_labels(make_config):
    # Many labelled users are in the table of users and did nothing in the span.
    config = make_config()
    run, notes = night(config)
    told = read_parquet(run.file("ingest", "labels.parquet"))
    shutil.rmtree(run.folder)

    again, later = night(config)

    assert later.said("labels that name") == notes.said("labels that name")
    assert len(notes.said("labels that name")) == 1
    assert read_parquet(again.file("ingest", "labels.parquet")).equals(told)

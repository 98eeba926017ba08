"""What a delivery is held against, and what a bad file does to the night."""

import json
import shutil
from datetime import timedelta

import polars as pl
import pyarrow as pa
import pytest
from hostile_platform import FIRST, ingested, likes_table

from graphguard.errors import BadFiles, DeliveryWrong, FileUnreadable, GateError
from graphguard.jobs.nightly import Night, run_night
from graphguard.schema import DELIVERIES
from graphguard.tables.events import scan_events
from graphguard.tables.files import read_json, write_parquet

NEXT = FIRST + timedelta(days=1)


def states(run):
    table = ingested(run, "deliveries").filter(pl.col("source") == "likes")
    return dict(table.select(pl.col("file").str.split("/").list.last(), "state").iter_rows())


def reasons(run):
    return ingested(run, "deliveries").get_column("reason").drop_nulls().to_list()


def num_events(run):
    return scan_events(run, "likes", 0, 2**62).collect().height


def two_parts(platform):
    """Part 0 with 5 likes and part 1 with 7, signed."""
    paths = [platform.likes(FIRST, 5, 0), platform.likes(FIRST, 7, 1)]
    platform.sign(FIRST)
    return paths


def spoil(path):
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)


def test_a_delivery_as_listed_is_taken_and_the_manifest_vouches_for_it(platform):
    two_parts(platform)

    run = platform.night()

    assert states(run) == {"part-0.parquet": "taken", "part-1.parquet": "taken"}
    checked = ingested(run, "deliveries").filter(pl.col("source") == "likes")
    assert checked.get_column("checked").to_list() == ["manifest", "manifest"]
    assert num_events(run) == 12


def test_a_manifest_as_sha256sum_writes_it_is_read(platform):
    two_parts(platform)
    manifest = platform.root / platform.part(FIRST).replace("part-0.parquet", "_manifest.json")
    listed = json.loads(manifest.read_text())["files"]
    manifest.write_text("".join(f"{digest}  {name}\n" for name, digest in listed.items()))

    assert num_events(platform.night()) == 12


def other_bytes(paths):
    spoil(paths[1])


def listed_and_absent(paths):
    paths[1].unlink()


def not_listed(paths):
    shutil.copy(paths[1], paths[1].with_name("part-2.parquet"))


def no_manifest(paths):
    paths[0].with_name("_manifest.json").unlink()


def torn_manifest(paths):
    paths[0].with_name("_manifest.json").write_text('{"files": {"part-0')


MISMATCHES = {
    other_bytes: "part-1.parquet: has SHA-256",
    listed_and_absent: "part-1.parquet: is listed and not there",
    not_listed: "part-2.parquet: is not listed",
    no_manifest: "_manifest.json: is not there",
    torn_manifest: "_manifest.json: cannot be read",
}


@pytest.mark.parametrize("change", MISMATCHES, ids=lambda change: change.__name__)
def test_a_delivery_that_is_not_as_listed_stops_the_run(platform, change):
    change(two_parts(platform))

    with pytest.raises((DeliveryWrong, BadFiles)) as raised:
        platform.night()

    assert MISMATCHES[change] in str(raised.value)
    assert raised.value.exit_code == 65
    assert not list((platform.root / "workspace" / "runs").glob("*/ingest"))


@pytest.mark.parametrize(
    ("change", "left"), [(other_bytes, 5), (listed_and_absent, 5), (not_listed, 12)]
)
def test_a_bad_file_in_quarantine_leaves_the_good_ones_and_a_red_gate(platform, change, left):
    change(two_parts(platform))
    platform.raw["limits"] = {"bad_files": "quarantine"}

    run = platform.night()

    assert num_events(run) == left
    (reason,) = reasons(run)
    assert MISMATCHES[change] in reason
    assert list(states(run).values()).count("quarantined") == 1
    (gate,) = run.manifest("ingest")["gates"]
    total = len(states(run))
    assert gate.startswith(f"logs.likes: 1 of {total} files are quarantined, first ")


def test_a_day_without_a_manifest_is_left_out_whole_and_the_others_stay(platform):
    platform.likes(NEXT, 3)
    platform.sign(NEXT)
    two_parts(platform)
    platform.root.joinpath(f"logs/likes/dt={NEXT}/_manifest.json").unlink()
    platform.raw["limits"] = {"bad_files": "quarantine"}

    run = platform.night(as_of=NEXT + timedelta(days=1))

    assert num_events(run) == 12
    assert "_manifest.json: is not there" in reasons(run)[0]


def test_where_nothing_is_left_of_a_log_quarantine_stops_as_well(platform):
    platform.likes(FIRST, 5).write_bytes(b"PAR1 nonsense")
    platform.raw["limits"] = {"bad_files": "quarantine"}

    with pytest.raises(FileUnreadable, match="part-0"):
        platform.night()


def test_labels_are_never_taken_in_part(platform):
    platform.likes(FIRST, 5)
    platform.raw["labels"]["path"] = "labels*.parquet"
    (platform.root / "labels-more.parquet").write_bytes(b"PAR1 nonsense")
    platform.raw["limits"] = {"bad_files": "quarantine"}

    with pytest.raises(FileUnreadable, match="labels-more"):
        platform.night()


def test_all_bad_files_are_counted_in_the_error(platform):
    for day in (FIRST, NEXT):
        spoil(platform.likes(day, 5))

    with pytest.raises(BadFiles, match=r"and 1 more files are bad") as raised:
        platform.night(as_of=NEXT + timedelta(days=1))
    assert len(raised.value.faults) == 2


def test_a_file_that_is_delivered_again_clears_the_gate_and_is_read(platform):
    paths = two_parts(platform)
    whole = paths[1].read_bytes()
    spoil(paths[1])
    platform.raw["limits"] = {"bad_files": "quarantine"}
    before = platform.night()
    paths[1].write_bytes(whole)

    after = platform.night()

    assert after.run_id != before.run_id
    assert after.manifest("ingest")["gates"] == []
    assert num_events(after) == 12


def test_a_manifest_that_is_corrected_makes_another_run(platform):
    paths = two_parts(platform)
    platform.sign(FIRST, paths[:1])
    platform.raw["limits"] = {"bad_files": "quarantine"}
    before = platform.night()
    platform.sign(FIRST)

    after = platform.night()

    assert (num_events(before), num_events(after)) == (5, 12)
    assert after.manifest("ingest")["gates"] == []


def test_the_same_bytes_under_two_names_are_taken_once_and_counted(platform):
    first = platform.likes(FIRST, 5)
    shutil.copy(first, first.with_name("part-0-retry.parquet"))

    run = platform.night()

    assert num_events(run) == 5
    assert sorted(states(run).values()) == ["repeated", "taken"]
    assert any("have the bytes of another" in one for one in run.manifest("ingest")["warnings"])


def test_files_that_nothing_vouches_for_are_told_and_page_checksums_vouch(platform):
    platform.likes(FIRST, 5, write_page_checksum=False)
    platform.likes(NEXT, 5)

    run = platform.night(as_of=NEXT + timedelta(days=1))

    (warning,) = run.manifest("ingest")["warnings"]
    assert warning.startswith("logs.likes: 1 of 2 files have neither a manifest nor page checksums")
    likes = ingested(run, "deliveries").filter(pl.col("source") == "likes")
    assert likes.get_column("checked").to_list() == ["nothing", "pages"]


def test_a_text_that_is_no_unicode_is_refused(platform):
    plain = {"use_dictionary": False, "compression": "none", "write_page_checksum": False}
    path = platform.put(platform.part(FIRST), likes_table(FIRST, 3), **plain)
    data = path.read_bytes()
    assert data.count(b"\x02\x00\x00\x00u1") == 1
    path.write_bytes(data.replace(b"\x02\x00\x00\x00u1", b"\x02\x00\x00\x00u\xff"))

    with pytest.raises(FileUnreadable, match="UTF8"):
        platform.night()


def with_note(table, whole, note):
    if whole:
        return table.replace_schema_metadata({"note": note})
    field = table.schema.field("user_id").with_metadata({"note": note})
    return table.cast(table.schema.set(0, field))


@pytest.mark.parametrize("whole", [False, True], ids=["column", "file"])
@pytest.mark.parametrize("signed", [False, True])
def test_a_footer_whose_notes_are_no_unicode_is_refused(platform, whole, signed):
    platform.put(platform.part(FIRST), with_note(likes_table(FIRST, 3), whole, b"\xff"))
    if signed:
        platform.sign(FIRST)

    with pytest.raises(FileUnreadable, match="can't decode byte 0xff"):
        platform.night()


def test_a_file_that_makes_the_reader_panic_ends_the_reader_and_not_the_night(platform):
    # Polars panics at a time zone that it does not know.
    table = likes_table(FIRST, 3)
    odd = table.column("ts").cast(pa.timestamp("us", tz="Mars/Olympus"))
    platform.put(platform.part(FIRST), table.set_column(2, "ts", odd))

    with pytest.raises(FileUnreadable, match="its reader died, exit 1"):
        platform.night()


def test_a_whole_night_with_a_file_in_quarantine_exports_nothing(world, make_config, tmp_path):
    logs = tmp_path / "logs"
    shutil.copytree(world / "logs" / "likes", logs / "likes")
    config = make_config()
    likes = config.logs["likes"].model_copy(
        update={"path": str(logs / "likes" / "dt={date}" / "*.parquet")}
    )
    config = config.model_copy(
        update={
            "logs": {**config.logs, "likes": likes},
            "limits": config.limits.model_copy(update={"bad_files": "quarantine"}),
        }
    )
    bad = logs / "likes" / "dt=2026-01-20" / "part-1.parquet"
    bad.write_bytes(b"PAR1 nonsense")

    with pytest.raises(GateError, match="1 of .* files are quarantined") as raised:
        run_night(Night(config))

    assert raised.value.exit_code == 80
    assert not (tmp_path / "sink").exists()
    (facts,) = (tmp_path / "workspace" / "runs").glob("*/run.json")
    assert read_json(facts)["exit_code"] == 80
    (page,) = (tmp_path / "workspace" / "runs").glob("*/report/report.html")
    assert "part-1.parquet" in page.read_text(encoding="utf-8")


def test_the_table_of_deliveries_keeps_its_contract(platform, tmp_path):
    platform.likes(FIRST, 5)

    table = ingested(platform.night(), "deliveries")

    assert write_parquet(tmp_path / "again.parquet", table, DELIVERIES) == 2
    assert table.select(DELIVERIES.key).is_duplicated().sum() == 0

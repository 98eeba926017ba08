"""The Parquet sink: whole partitions, exactly once, and back again."""

import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import filelock
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from graphguard.config.sections import ExportConfig
from graphguard.errors import ArtefactInvalid, ColumnMissing, WorkspaceBusy
from graphguard.ring_schema import RINGS
from graphguard.sinks import open_sink
from graphguard.sinks import parquet as parquet_module
from graphguard.sinks.base import RollbackRefused
from graphguard.sinks.parquet import ParquetSink
from graphguard.tables import files as files_module

GOLDEN = Path(__file__).parents[1] / "golden"
DAY = date(2026, 1, 31)
CLOCK = datetime(2026, 2, 1, 3, tzinfo=UTC)


class Killed(BaseException):
    """Stands for a process that ends at a failpoint: no handler of ours may catch it."""


def decisions(risk: dict[str, float], run_id: str = "run1", as_of: date = DAY) -> pl.DataFrame:
    night = datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC)
    rows = len(risk)
    return pl.DataFrame(
        {
            "entity_type": ["user"] * rows,
            "entity_id": list(risk),
            "action": ["suspend"] * rows,
            "risk_score": list(risk.values()),
            "ring_risk": [None] * rows,
            "threshold": [0.5] * rows,
            "reasons": ["[]"] * rows,
            "ring_id": [None] * rows,
            "model_id": ["m1"] * rows,
            "policy_id": ["p1"] * rows,
            "run_id": [run_id] * rows,
            "as_of": [as_of] * rows,
            "decided_at": [night] * rows,
            "expires_at": [night + timedelta(days=30)] * rows,
            "holdout": [False] * rows,
            "decision_key": [f"key-{key}" for key in risk],
        },
        schema_overrides={
            "ring_risk": pl.Float64,
            "ring_id": pl.String,
            "decided_at": pl.Datetime("us", "UTC"),
            "expires_at": pl.Datetime("us", "UTC"),
        },
    )


def scores(risk: dict[str, float], run_id: str = "run1") -> pl.DataFrame:
    named = ["entity_type", "entity_id", "risk_score", "ring_risk", "ring_id", "reasons"]
    return decisions(risk, run_id).select(*named, "model_id", "run_id", "as_of")


def rings() -> pl.DataFrame:
    facts = {"ring_id": "r-1", "size": 3, "density": 1.0, "evidence_bits": 40.0, "log10_p": -9.0}
    facts |= {"log10_q": -9.0, "met_share": 0.9, "chance_share": 0.1}
    more = {"synchrony_s": 2.0, "channels": "likes.content_id", "known_bad": 1, "mean_risk": 0.5}
    row = {**facts, **more, "first_seen": DAY, "ties": "[]"}
    return pl.DataFrame([row]).select(list(RINGS.columns))


def members() -> pl.DataFrame:
    row = {"ring_id": "r-1", "key": "a", "role": "core", "degree": 2}
    return pl.DataFrame([{**row, "evidence_bits": 9.0, "first_share": 0.5}])


def night(run_id: str, risk: float) -> dict[str, pl.DataFrame]:
    return {
        "decisions": decisions({"a": risk}, run_id),
        "scores": scores({"a": risk, "b": 0.25}, run_id),
        "rings": rings(),
        "ring_members": members(),
    }


def sink(folder: Path) -> ParquetSink:
    return ParquetSink(folder / "sink", clock=lambda: CLOCK)


def scan(folder: Path, table: str) -> pl.DataFrame:
    pattern = f"{folder}/sink/{table}/*/*.parquet"
    return pl.scan_parquet(pattern, hive_partitioning=True).collect()


def runs_shown(folder: Path) -> list[str]:
    return [scan(folder, table)["run_id"].unique().item() for table in ("scores", "decisions")]


def holdings(folder: Path) -> dict[str, bytes | str]:
    """Everything under the sink: bytes of files, targets of links; the lock left out."""
    found: dict[str, bytes | str] = {}
    for path in sorted((folder / "sink").rglob("*")):
        name = str(path.relative_to(folder / "sink"))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file() and name != "LOCK":
            found[name] = path.read_bytes()
    return found


def die_at(monkeypatch: pytest.MonkeyPatch, number: int) -> list[str]:
    """Raise at the failpoint of that number, from 0; returns the growing list of those passed."""
    passed: list[str] = []

    def failpoint(name: str) -> None:
        passed.append(name)
        if len(passed) == number + 1:
            raise Killed(name)

    for module in (parquet_module, files_module):
        monkeypatch.setattr(module, "failpoint", failpoint)
    return passed


def points_of_an_export(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("points")
    sink(folder).export(night("run1", 0.5), DAY, "run1")
    with pytest.MonkeyPatch.context() as patch:
        passed = die_at(patch, -1)
        sink(folder).export(night("run2", 0.75), DAY, "run2")
    return passed


def test_an_exported_partition_is_read_by_plain_scans(tmp_path):
    sink(tmp_path).export({"decisions": decisions({"b": 0.5, "a": 0.75})}, DAY, "run1")
    day_before = decisions({"c": 0.5}, "run0", date(2026, 1, 30))
    sink(tmp_path).export({"decisions": day_before}, date(2026, 1, 30), "run0")

    expected = [("c", date(2026, 1, 30)), ("a", DAY), ("b", DAY)]
    table = tmp_path / "sink" / "decisions"
    kind = ds.partitioning(pa.schema([("as_of", pa.date32())]), flavor="hive")
    read = {
        "polars glob": scan(tmp_path, "decisions"),
        "polars folder": pl.scan_parquet(table, hive_partitioning=True).collect(),
        "pyarrow": pl.from_arrow(ds.dataset(table, partitioning=kind).to_table()),
        "duckdb": pl.from_arrow(
            duckdb.sql(
                f"select * from read_parquet('{table}/*/*.parquet', hive_partitioning = true)"
            ).to_arrow_table()
        ),
    }
    for reader, frame in read.items():
        rows = frame.sort("as_of", "entity_id").select("entity_id", "as_of").rows()
        assert rows == expected, reader


def test_the_receipt_names_run_version_and_rows(tmp_path):
    receipt = sink(tmp_path).export(night("run1", 0.5), DAY, "run1")

    assert receipt["version"].startswith("2026-01-31.run1.")
    assert receipt["replaces"] is None
    assert receipt["committed_at"] == "2026-02-01T03:00:00+00:00"
    rows = {name: facts["rows"] for name, facts in receipt["tables"].items()}
    assert rows == {"scores": 2, "rings": 1, "ring_members": 1, "decisions": 1}
    assert sink(tmp_path).receipt(DAY) == receipt


def test_a_second_export_replaces_the_partition_and_no_other(tmp_path):
    other = date(2026, 1, 30)
    sink(tmp_path).export({"decisions": decisions({"z": 0.5}, "run0", other)}, other, "run0")
    first = sink(tmp_path).export(night("run1", 0.5), DAY, "run1")
    second = sink(tmp_path).export(night("run2", 0.75), DAY, "run2")

    assert second["replaces"] == first["version"]
    shown = scan(tmp_path, "decisions").sort("entity_id")
    assert shown.select("entity_id", "run_id").rows() == [("a", "run2"), ("z", "run0")]


def test_the_same_export_again_changes_nothing(tmp_path):
    first = sink(tmp_path).export(night("run1", 0.5), DAY, "run1")
    before = holdings(tmp_path)
    shuffled = {name: frame.reverse() for name, frame in night("run1", 0.5).items()}
    late = ParquetSink(tmp_path / "sink", clock=lambda: CLOCK + timedelta(days=1))

    assert late.export(shuffled, DAY, "run1") == first
    assert holdings(tmp_path) == before


def test_an_export_mends_a_link_that_was_removed(tmp_path):
    sink(tmp_path).export(night("run1", 0.5), DAY, "run1")
    before = holdings(tmp_path)
    (tmp_path / "sink" / "scores" / "as_of=2026-01-31").unlink()
    sink(tmp_path).export(night("run1", 0.5), DAY, "run1")

    assert holdings(tmp_path) == before


def test_a_table_left_out_of_an_export_leaves_the_partition(tmp_path):
    sink(tmp_path).export(night("run1", 0.5), DAY, "run1")
    sink(tmp_path).export({"decisions": decisions({"a": 0.5}, "run2")}, DAY, "run2")

    assert list(sink(tmp_path).read(DAY)) == ["decisions"]
    assert not (tmp_path / "sink" / "scores" / "as_of=2026-01-31").exists()


def test_an_empty_table_is_a_partition_without_rows(tmp_path):
    sink(tmp_path).export({"decisions": decisions({"a": 0.5}).clear()}, DAY, "run1")

    assert scan(tmp_path, "decisions").height == 0


def test_read_gives_back_what_was_exported(tmp_path):
    tables = night("run1", 0.5)
    sink(tmp_path).export(tables, DAY, "run1")
    read = sink(tmp_path).read(DAY)

    assert read["decisions"].select(tables["decisions"].columns).equals(tables["decisions"])
    assert read["rings"].drop("as_of").equals(tables["rings"])
    assert sink(tmp_path).read(date(2026, 1, 1)) == {}


def test_a_read_under_way_gets_all_tables_from_the_last_commit(tmp_path, monkeypatch):
    # killed after `scores` was shown, before `decisions`: scans differ, `read` does not
    sink(tmp_path).export(night("run1", 0.5), DAY, "run1")
    points = [
        "write:scores",
        "write:rings",
        "write:ring_members",
        "write:decisions",
        "sink:written",
        "sink:version",
        "pointer:_pending.json",
        "sink:pending",
        "sink:rename:scores",
        "sink:shown:scores",
    ]
    passed = die_at(monkeypatch, len(points) - 1)
    with pytest.raises(Killed):
        sink(tmp_path).export(night("run2", 0.75), DAY, "run2")
    monkeypatch.undo()

    assert passed == points
    assert runs_shown(tmp_path) == ["run2", "run1"]
    read = sink(tmp_path).read(DAY)
    assert {read[name]["run_id"].item(0) for name in ("scores", "decisions")} == {"run1"}


def test_a_writer_killed_at_any_point_is_repaired_by_the_next_export(tmp_path_factory):
    # for every point: kill the export of run2 there, then export another day, then run2 again
    points = points_of_an_export(tmp_path_factory)
    assert len(points) > 15
    other = date(2026, 2, 1)
    for number, point in enumerate(points):
        folder = tmp_path_factory.mktemp("killed")
        sink(folder).export(night("run1", 0.5), DAY, "run1")
        with pytest.MonkeyPatch.context() as patch:
            die_at(patch, number)
            with pytest.raises(Killed):
                sink(folder).export(night("run2", 0.75), DAY, "run2")
        next_day = {"decisions": decisions({"q": 0.5}, "run3", other)}
        sink(folder).export(next_day, other, "run3")
        done = points.index("sink:committed") <= number
        stands = "run2" if done else "run1"
        (folder / "sink" / "decisions" / "as_of=2026-02-01").unlink()
        assert runs_shown(folder) == [stands, stands], point
        assert not (folder / "sink" / "_pending.json").exists(), point

        sink(folder).export(night("run2", 0.75), DAY, "run2")
        assert runs_shown(folder) == ["run2", "run2"], point
        assert sink(folder).read(DAY)["decisions"]["risk_score"].to_list() == [0.75], point
        versions = sorted(path.name for path in (folder / "sink" / "_history").iterdir())
        assert len(versions) == 3, point


@pytest.mark.parametrize(
    "point",
    ["pointer:_pending.json", "sink:rename:rings", "sink:shown:scores", "sink:committed"],
)
def test_a_killed_process_leaves_a_sink_that_the_next_export_repairs(tmp_path, point):
    sink(tmp_path).export(night("run1", 0.5), DAY, "run1")
    for name, frame in night("run2", 0.75).items():
        frame.write_parquet(tmp_path / f"{name}.parquet")
    script = (
        "import sys, polars as pl\n"
        "from datetime import date\n"
        "from pathlib import Path\n"
        "from graphguard.sinks.parquet import ParquetSink\n"
        "root = Path(sys.argv[1])\n"
        "tables = {p.stem: pl.read_parquet(p) for p in root.glob('*.parquet')}\n"
        "ParquetSink(root / 'sink').export(tables, date(2026, 1, 31), 'run2')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, "GRAPHGUARD_KILL_AT": point},
        check=False,
    )
    sink(tmp_path).recover()

    assert ended.returncode == -signal.SIGKILL
    stands = "run2" if point == "sink:committed" else "run1"
    assert runs_shown(tmp_path) == [stands, stands]
    assert list((tmp_path / "sink").rglob(".*")) == []
    sink(tmp_path).export(night("run2", 0.75), DAY, "run2")
    assert runs_shown(tmp_path) == ["run2", "run2"]


def test_a_full_disk_leaves_the_previous_export_and_says_so(tmp_path, monkeypatch):
    sink(tmp_path).export(night("run1", 0.5), DAY, "run1")
    before = holdings(tmp_path)

    def no_space(name: str) -> None:
        if name == "sink:rename:decisions":
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(parquet_module, "failpoint", no_space)
        with pytest.raises(OSError, match="No space left"):
            sink(tmp_path).export(night("run2", 0.75), DAY, "run2")

    assert holdings(tmp_path) == before


def test_a_scan_while_versions_change_never_mixes_them(tmp_path):
    # rows of one export carry one risk; each version has another number of rows
    where = sink(tmp_path)
    where.export({"decisions": decisions({"a": 0.0})}, DAY, "run1")
    done, mixed, whole = threading.Event(), [], []

    def read() -> None:
        while not done.is_set():
            try:
                frame = scan(tmp_path, "decisions")
            except FileNotFoundError:
                continue  # replaced between listing and opening: the reader scans again
            sizes = frame.group_by("run_id").len().rows()
            (whole if len(sizes) == 1 and frame.height == sizes[0][1] else mixed).append(sizes)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(40):
        risk = {f"u{i}": 0.5 for i in range(1 + 37 * (number % 5))}
        where.export({"decisions": decisions(risk, f"run{number}")}, DAY, f"run{number}")
    done.set()
    reader.join()

    assert mixed == []
    assert whole


def test_rollback_restores_what_stood_before_the_run(tmp_path):
    sink(tmp_path).export(night("run1", 0.5), DAY, "run1")
    before = {table: scan(tmp_path, table) for table in ("decisions", "scores", "rings")}
    sink(tmp_path).export({"decisions": decisions({"c": 0.9}, "run2")}, DAY, "run2")
    done = sink(tmp_path).rollback("run2")

    assert done == [{"as_of": "2026-01-31", "run_id": "run2", "restored": "run1"}]
    for table, frame in before.items():
        assert scan(tmp_path, table).equals(frame), table


def test_rollback_of_the_first_export_empties_the_partition(tmp_path):
    sink(tmp_path).export(night("run1", 0.5), DAY, "run1")

    assert sink(tmp_path).rollback("run1")[0]["restored"] is None
    assert sink(tmp_path).read(DAY) == {}
    assert not list((tmp_path / "sink" / "decisions").iterdir())


def test_rollback_takes_back_both_exports_of_one_run(tmp_path):
    sink(tmp_path).export(night("run1", 0.5), DAY, "run1")
    sink(tmp_path).export(night("run2", 0.6), DAY, "run2")
    sink(tmp_path).export(night("run2", 0.7), DAY, "run2")
    sink(tmp_path).rollback("run2")

    assert runs_shown(tmp_path) == ["run1", "run1"]


def test_five_exports_roll_back_one_by_one_and_can_be_exported_again(tmp_path):
    for number in range(1, 6):
        run = f"run{number}"
        sink(tmp_path).export(night(run, number / 8), DAY, run)
    for number in (5, 4, 3):
        sink(tmp_path).rollback(f"run{number}")

    assert scan(tmp_path, "decisions")["risk_score"].to_list() == [0.25]
    sink(tmp_path).export(night("run5", 0.625), DAY, "run5")
    assert runs_shown(tmp_path) == ["run5", "run5"]
    record = parquet_module.read_json(tmp_path / "sink" / "_commits" / "as_of=2026-01-31.json")
    assert [one["what"] for one in record["log"]] == ["export"] * 5 + ["rollback"] * 3 + ["export"]


def test_a_killed_rollback_is_undone_and_can_be_repeated(tmp_path, monkeypatch):
    sink(tmp_path).export(night("run1", 0.5), DAY, "run1")
    sink(tmp_path).export(night("run2", 0.75), DAY, "run2")
    with monkeypatch.context() as patch:
        passed = die_at(patch, 4)
        with pytest.raises(Killed):
            sink(tmp_path).rollback("run2")
    sink(tmp_path).recover()

    assert passed[-1] == "sink:rename:rings"
    assert runs_shown(tmp_path) == ["run2", "run2"]
    sink(tmp_path).rollback("run2")
    assert runs_shown(tmp_path) == ["run1", "run1"]


def test_rollback_is_refused_for_a_run_that_does_not_stand(tmp_path):
    sink(tmp_path).export(night("run1", 0.5), DAY, "run1")
    sink(tmp_path).export(night("run2", 0.75), DAY, "run2")
    messages = []
    for run in ("run1", "run3"):
        with pytest.raises(RollbackRefused) as caught:
            sink(tmp_path).rollback(run)
        messages.append(f"{caught.value}\n")

    assert "".join(messages) == (GOLDEN / "policy_rollback_refused.txt").read_text()
    assert runs_shown(tmp_path) == ["run2", "run2"]


def test_rollback_refuses_a_version_with_other_bytes(tmp_path):
    first = sink(tmp_path).export(night("run1", 0.5), DAY, "run1")
    sink(tmp_path).export(night("run2", 0.75), DAY, "run2")
    folder = tmp_path / "sink" / "_history" / first["version"] / "decisions"
    path = folder / first["tables"]["decisions"]["file"]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtefactInvalid, match="has other bytes"):
        sink(tmp_path).rollback("run2")

    sink(tmp_path).recover()
    assert runs_shown(tmp_path) == ["run2", "run2"]


def test_two_writers_at_once_are_kept_apart(tmp_path):
    (tmp_path / "sink").mkdir()
    with (
        filelock.FileLock(tmp_path / "sink" / "LOCK"),
        pytest.raises(WorkspaceBusy, match="locked by another export"),
    ):
        sink(tmp_path).export(night("run1", 0.5), DAY, "run1")


def test_a_dry_run_tells_what_an_export_would_change_and_writes_nothing(tmp_path):
    # holds a b c and a ring; new: a same, b higher under another bar, c gone, n0..n5 new, no ring
    held = {
        "decisions": decisions({"a": 0.5, "b": 0.6, "c": 0.7}),
        "scores": scores({"a": 0.5, "b": 0.6, "c": 0.7}),
        "rings": rings(),
    }
    sink(tmp_path).export(held, DAY, "run1")
    before = holdings(tmp_path)
    new = decisions({"a": 0.5, "b": 0.8} | {f"n{i}": 0.9 for i in range(6)}, "run2")
    raised = pl.when(pl.col("entity_id") == "b").then(0.75).otherwise(pl.col("threshold"))
    tables = {
        "decisions": new.with_columns(raised.alias("threshold")),
        "scores": scores({"a": 0.5, "b": 0.6, "c": 0.7}, "run2"),
    }
    difference = sink(tmp_path).difference(tables, DAY)

    assert difference.text() == (GOLDEN / "policy_dry_run.txt").read_text()
    assert not difference.empty
    assert holdings(tmp_path) == before


def test_a_dry_run_on_an_empty_sink_adds_every_row(tmp_path):
    difference = sink(tmp_path).difference({"decisions": decisions({"a": 0.5})}, DAY)

    assert difference.holds is None
    assert difference.tables["decisions"].added["entity_id"].to_list() == ["a"]
    assert "the sink holds nothing yet" in difference.text()
    assert not (tmp_path / "sink").exists()


def test_the_difference_to_itself_is_empty_even_for_nulls(tmp_path):
    sink(tmp_path).export(night("run1", 0.5), DAY, "run1")

    assert sink(tmp_path).difference(night("run2", 0.5), DAY).empty


def test_unknown_tables_other_days_and_repeats_are_refused(tmp_path):
    frame = decisions({"a": 0.5})
    with pytest.raises(ValueError, match=r"no table 'decision' .* Did you mean 'decisions'"):
        sink(tmp_path).export({"decision": frame}, DAY, "run1")
    with pytest.raises(ValueError, match="rows of as_of 2026-01-31 in the export of 2026-01-30"):
        sink(tmp_path).export({"decisions": frame}, date(2026, 1, 30), "run1")
    with pytest.raises(ValueError, match="holds the key 'user a suspend' more than once"):
        sink(tmp_path).export({"decisions": pl.concat([frame, frame])}, DAY, "run1")
    with pytest.raises(ColumnMissing, match="'decisions' has no column 'holdout'"):
        sink(tmp_path).export({"decisions": frame.drop("holdout")}, DAY, "run1")
    assert not (tmp_path / "sink").exists()


def test_a_sink_is_opened_from_its_setting_relative_to_the_config(tmp_path):
    opened = open_sink(ExportConfig(path="out/enforcement"), tmp_path)

    opened.export({"decisions": decisions({"a": 0.5})}, DAY, "run1")
    assert (tmp_path / "out" / "enforcement" / "decisions" / "as_of=2026-01-31").is_dir()

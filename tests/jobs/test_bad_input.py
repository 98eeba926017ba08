"""Bad input: each ends with a message that names file, column, value and remedy, and its code."""

import errno
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime

import polars as pl
import pytest
import yaml

CLI = [sys.executable, "-c", "from graphguard.jobs.start import main; main()"]
DAY = "2026-01-21"


@pytest.fixture
def platform(world, make_config, tmp_path):
    """A copy of the newest days that a test may spoil, and its config as a dictionary."""
    make_config()
    logs = tmp_path / "logs"
    shutil.copytree(world / "logs", logs)
    shutil.copytree(world / "labels", tmp_path / "labels")
    path = tmp_path / "config.yaml"
    raw = yaml.safe_load(
        path.read_text()
        .replace(str(world / "logs"), str(logs))
        .replace(str(world / "labels"), str(tmp_path / "labels"))
    )

    def run(to="ingest"):
        path.write_text(yaml.safe_dump(raw))
        command = [*CLI, "nightly", "--config", str(path), "--as-of", "2026-01-22", "--to", to]
        return subprocess.run(command, check=False, capture_output=True, text=True)

    return logs, raw, run


def spoil(path, change):
    frame = pl.read_parquet(path)
    change(frame).write_parquet(path)


def test_a_missing_column(platform):
    logs, _, run = platform
    spoil(
        logs / "likes" / f"dt={DAY}" / "part-0.parquet",
        lambda frame: frame.rename({"user_id": "usr_id"}),
    )

    ended = run()

    assert ended.returncode == 65
    assert "has no column 'user_id' (found: content_id, ts, usr_id). Did you mean 'usr_id'?" in (
        ended.stderr
    )


def test_a_column_of_a_wrong_type(platform):
    logs, _, run = platform
    spoil(
        logs / "likes" / f"dt={DAY}" / "part-0.parquet",
        lambda frame: frame.with_columns(pl.col("ts").cast(pl.String)),
    )

    ended = run()

    assert ended.returncode == 65
    assert "column 'ts' has type" in ended.stderr
    assert "but timestamp, date or integer is needed" in ended.stderr


def test_an_unknown_setting(platform):
    _, raw, run = platform
    raw["rings"]["min_member"] = 3

    ended = run()

    assert ended.returncode == 78
    assert "unknown setting 'rings.min_member'" in ended.stderr
    assert "Did you mean 'min_members'?" in ended.stderr


@pytest.mark.parametrize(("allowed", "code"), [(False, 65), (True, 99)])
def test_a_day_without_files(platform, allowed, code):
    logs, raw, run = platform
    shutil.rmtree(logs / "likes" / f"dt={DAY}")
    raw["logs"]["likes"]["allow_missing"] = allowed

    ended = run()

    assert ended.returncode == code
    assert DAY in ended.stderr
    assert "likes" in ended.stderr


def test_an_unreadable_file(platform):
    logs, _, run = platform
    path = logs / "posts" / f"dt={DAY}" / "part-0.parquet"
    path.write_bytes(path.read_bytes()[:-200])

    ended = run()

    assert ended.returncode == 65
    assert f"{path}: not a readable Parquet file" in ended.stderr
    assert "deliver it again or remove it" in ended.stderr


def test_repeated_events_future_times_and_null_keys_are_rejected_with_reasons(platform, tmp_path):
    logs, raw, run = platform
    raw["limits"] = {"max_reject_ratio": 0.5}
    late = datetime(2026, 1, 20, 1, tzinfo=UTC)
    spoil(
        logs / "posts" / "dt=2026-01-18" / "part-0.parquet",
        lambda frame: pl.concat([frame, frame.head(2)]),
    )
    spoil(
        logs / "likes" / "dt=2026-01-18" / "part-0.parquet",
        lambda frame: pl.concat(
            [
                frame,
                frame.head(3).with_columns(pl.lit(late).cast(frame.schema["ts"]).alias("ts")),
                frame.head(1).with_columns(pl.lit(None, pl.String).alias("user_id")),
            ]
        ),
    )

    ended = run()

    assert ended.returncode == 0, ended.stderr
    rejects = pl.read_parquet(tmp_path / "workspace" / "runs" / "*" / "ingest" / "rejects.parquet")
    counts = dict(rejects.group_by("reason").len().iter_rows())
    assert counts == {"repeated key": 2, "time in the future": 3, "null key": 1}


def test_too_many_bad_rows_stop_the_run_with_counts(platform):
    logs, _, run = platform
    spoil(
        logs / "likes" / "dt=2026-01-18" / "part-0.parquet",
        lambda frame: pl.concat(
            [frame] + [frame.with_columns(pl.lit(None, pl.String).alias("user_id"))] * 10
        ),
    )

    ended = run()

    assert ended.returncode == 65
    assert "log 'likes':" in ended.stderr
    assert "null key in 'user_id'" in ended.stderr
    assert "limits.max_reject_ratio" in ended.stderr


def test_a_label_for_an_unknown_user_is_told_and_trains_nothing(platform, tmp_path):
    _, _, run = platform
    spoil(
        tmp_path / "labels" / "decisions.parquet",
        lambda frame: pl.concat(
            [frame.head(1).with_columns(pl.lit("nobody").alias("user_id")), frame]
        ),
    )

    ended = run()

    assert ended.returncode == 0
    assert "user_id = 'nobody'" in ended.stderr
    assert "Check labels.key" in ended.stderr


def test_a_day_far_smaller_than_usual_is_a_red_gate(platform, tmp_path):
    logs, _, run = platform
    spoil(logs / "likes" / f"dt={DAY}" / "part-0.parquet", lambda frame: frame.head(5))

    ended = run("report")

    assert ended.returncode == 80
    assert "log 'likes' has 5 rows on its newest day" in ended.stderr
    assert not (tmp_path / "sink").exists()
    assert list((tmp_path / "workspace").glob("runs/*/score/scores.parquet"))


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "make room on the disk of the workspace"),
        (errno.EROFS, "see who may write there"),
        (errno.EIO, "try again"),
    ],
)
def test_an_error_of_the_system_says_what_to_do(number, remedy, tmp_path):
    program = f"""if True:
        import os
        from graphguard.jobs import cli, commands
        def fail(*_):
            raise OSError({number}, os.strerror({number}), "a folder")
        commands.make_world = fail
        cli.main()
    """
    command = [sys.executable, "-c", program, "world", "--out", str(tmp_path)]

    ended = subprocess.run(command, check=False, capture_output=True, text=True)

    assert ended.returncode == 75
    assert f"{os.strerror(number)}: 'a folder'" in ended.stderr
    assert remedy in ended.stderr

"""A back-fill leaves what nights one by one leave, in whatever order its processes ran."""

import json
import os
import signal
import subprocess
import sys
from datetime import date, timedelta

import pytest

from graphguard.errors import BackfillStopped, BadSetting, Exit
from graphguard.jobs.backfill import Backfill, run_backfill
from graphguard.jobs.context import Silent
from graphguard.jobs.nightly import Night, run_night
from graphguard.tables.commit import VOLATILE
from graphguard.tables.files import file_digest, read_json
from graphguard.tables.workspace import Workspace

CLI = [sys.executable, "-c", "from graphguard.jobs.cli import main; main()"]
FIRST, LAST = date(2026, 1, 20), date(2026, 1, 22)
VOLATILE_KEYS = (*VOLATILE, "stage_peak_memory_mb", "committed_at")


class Notes(Silent):
    def __init__(self):
        self.texts = []

    def note(self, text, **facts):
        self.texts.append(text)


def outcome(folder, *names):
    """Digest of every file; of JSON its content without time and memory."""
    found = {}
    for path in sorted(path for one in names or [""] for path in (folder / one).rglob("*")):
        name = str(path.relative_to(folder))
        # The report shows seconds and memory; the cache holds what was read when; the lease was
        # taken once a command.
        passing = ("LOCK", "LEASE", "report.html", "digests.json")
        if not path.is_file() or path.name in passing:
            continue
        if path.suffix != ".json":
            found[name] = file_digest(path)
        elif "report" not in path.parts:
            found[name] = json.dumps(steady(read_json(path)), sort_keys=True)
    return found


def steady(value):
    if isinstance(value, dict):
        kept = {key: one for key, one in value.items() if key not in VOLATILE_KEYS}
        if "stages" in kept or "stage" in kept or "rows" in kept:
            kept.pop("files", None)
        return {key: steady(one) for key, one in kept.items() if key != "at"}
    return [steady(one) for one in value] if isinstance(value, list) else value


@pytest.fixture
def one_by_one(make_config, tmp_path):
    """What nights one by one leave, moved aside: the place is free for the same config again."""
    for number in range((LAST - FIRST).days + 1):
        run_night(Night(make_config(as_of=str(FIRST + timedelta(days=number)))))
    aside = tmp_path / "nightly"
    aside.mkdir()
    for name in ("workspace", "sink"):
        (tmp_path / name).rename(aside / name)
    return outcome(aside)


@pytest.mark.slow
def test_a_back_fill_equals_nights_one_by_one_bit_for_bit(one_by_one, make_config, tmp_path):
    config, notes = make_config(), Notes()

    runs = run_backfill(Backfill(config, FIRST, LAST, jobs=2, reporter=notes))

    assert [run.facts()["as_of"] for run in runs] == ["2026-01-20", "2026-01-21", "2026-01-22"]
    found = outcome(tmp_path, "workspace", "sink")
    assert found.keys() == one_by_one.keys()
    assert [name for name in one_by_one if found[name] != one_by_one[name]] == []
    assert len(found) > 1000
    assert "3 of 3 nights prepared, about 0.0 min left" in notes.texts
    assert "3 of 3 nights done, about 0.0 min left" in notes.texts

    again = Notes()
    done = run_backfill(Backfill(config, FIRST, LAST, reporter=again))
    assert [run.run_id for run in done] == [run.run_id for run in runs]
    assert again.texts == [f"{run.facts()['as_of']}: done before" for run in runs]


@pytest.mark.slow
def test_a_killed_back_fill_goes_on_to_the_same_result(one_by_one, make_config, tmp_path):
    make_config()
    days = ["--since", str(FIRST), "--until", str(LAST), "--jobs", "2"]
    command = [*CLI, "backfill", "--config", str(tmp_path / "config.yaml"), *days]

    def killed_at(point):
        env = {**os.environ, "GRAPHGUARD_KILL_AT": point}
        return subprocess.run(command, env=env, check=False, capture_output=True, text=True)

    # Ingest and train run in the back-fill's own process, link and featurize in its children.
    assert killed_at("written:ingest").returncode == -signal.SIGKILL
    ended = killed_at("begin:link")
    assert ended.returncode == 75
    assert "its process was ended by SIGKILL" in ended.stderr
    assert killed_at("committed:user").returncode == 75
    assert killed_at("written:train").returncode == -signal.SIGKILL
    last = subprocess.run(command, check=True, capture_output=True, text=True)

    assert last.stdout.count("run.json") == 3
    found = outcome(tmp_path, "workspace", "sink")
    assert found.keys() == one_by_one.keys()
    assert [name for name in one_by_one if found[name] != one_by_one[name]] == []


def test_days_in_the_wrong_order_are_refused(make_config):
    with pytest.raises(BadSetting, match="2026-01-22 comes after --until 2026-01-20"):
        run_backfill(Backfill(make_config(), LAST, FIRST))


def test_a_night_that_fails_is_named_with_its_own_exit_code(make_config):
    config = make_config(graph={"window": "60d"})

    with pytest.raises(BackfillStopped, match="stopped at 2026-01-20: training needs") as stopped:
        run_backfill(Backfill(config, FIRST, LAST))

    assert stopped.value.exit_code == Exit.CONFIG
    assert Workspace(config.workspace_folder).committed_runs() == []

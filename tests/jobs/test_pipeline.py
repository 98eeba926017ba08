import importlib
import inspect
import threading

import pytest

from graphguard.jobs.pipeline import PIPELINE, STAGE_NAMES, Stage, loading


def test_each_table_has_one_writer_and_is_read_after_it():
    made = {"logs"}
    for stage in PIPELINE:
        assert {t for t in stage.reads if not t.startswith("previous:")} <= made, stage.name
        assert not made & set(stage.writes), stage.name
        made |= set(stage.writes)


def test_what_is_carried_over_from_the_night_before_is_made_every_night():
    written = {table for stage in PIPELINE for table in stage.writes}
    carried = {t.removeprefix("previous:") for s in PIPELINE for t in s.reads if ":" in t}

    assert carried <= written


@pytest.mark.parametrize("name", STAGE_NAMES)
def test_each_stage_is_a_module_in_jobs_that_runs(name):
    run = importlib.import_module(f"graphguard.jobs.{name}").run

    assert list(inspect.signature(run).parameters) == ["job", "out"]


def test_modules_load_on_the_side_and_one_that_cannot_fails_when_its_stage_runs(monkeypatch):
    began = threading.Event()
    monkeypatch.setattr(Stage, "load", lambda self: began.set() if self.name == "link" else None)
    with loading([Stage("link", (), ())]):
        assert began.wait(10)

    monkeypatch.undo()
    absent = Stage("absent", (), ())
    with loading([absent]):
        pass
    with pytest.raises(ModuleNotFoundError):
        absent.load()

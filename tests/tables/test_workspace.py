from datetime import date

import pytest

from graphguard.errors import NoRun, NotCommitted, WorkspaceBusy
from graphguard.tables.commit import committing
from graphguard.tables.files import write_json
from graphguard.tables.workspace import RUN_FILE, Run, Workspace, find_run


def finished(workspace: Workspace, run_id: str, sequence: int, state: str = "committed") -> Run:
    run = workspace.run(run_id)
    facts = {"state": state, "as_of": run_id[:10], "sequence": sequence}
    write_json(run.folder / RUN_FILE, facts)
    return run


def test_the_pointer_never_goes_back_to_an_earlier_day(tmp_path):
    workspace = Workspace(tmp_path)
    monday = finished(workspace, "2026-01-05-aa", 1)
    tuesday = finished(workspace, "2026-01-06-bb", 2)
    repair = finished(workspace, "2026-01-05-cc", 3)

    for run in (monday, tuesday, repair):
        workspace.point_to(run)

    assert workspace.current_run() == tuesday
    assert find_run(tmp_path).run_id == tuesday.run_id
    assert find_run(repair.folder).run_id == repair.run_id


def test_the_night_before_is_the_newest_run_of_the_nearest_earlier_day(tmp_path):
    workspace = Workspace(tmp_path)
    finished(workspace, "2026-01-04-aa", 1)
    finished(workspace, "2026-01-05-zz", 2)
    newest = finished(workspace, "2026-01-05-aa", 3)
    finished(workspace, "2026-01-06-aa", 4)
    finished(workspace, "2026-01-05-bb", 5, state="failed")

    assert workspace.previous_run(date(2026, 1, 6)) == newest
    assert workspace.previous_run(date(2026, 1, 4)) is None
    assert [run.run_id[:10] for run in workspace.earlier_runs(date(2026, 1, 7))] == [
        "2026-01-06",
        "2026-01-05",
        "2026-01-04",
    ]


def test_a_file_is_given_only_from_a_committed_stage(tmp_path):
    run = Workspace(tmp_path).run("2026-01-05-aa")
    (run.stage("score")).mkdir(parents=True)
    (run.stage("score") / "scores.parquet").write_bytes(b"half")

    with pytest.raises(NotCommitted, match="score"):
        run.file("score", "scores.parquet")

    with committing(run.stage("score"), {"rows": 1}) as out:
        (out / "scores.parquet").write_bytes(b"whole")
    assert run.file("score", "scores.parquet").read_bytes() == b"whole"
    assert run.manifest("score")["rows"] == 1
    with pytest.raises(NotCommitted, match="other"):
        run.file("score", "other.parquet")


def test_one_at_a_time(tmp_path):
    with Workspace(tmp_path).locked(), pytest.raises(WorkspaceBusy, match="LOCK"):
        Workspace(tmp_path).locked().__enter__()
    with Workspace(tmp_path).locked():
        pass


def test_an_empty_folder_says_what_to_run(tmp_path):
    with pytest.raises(NoRun, match="graphguard nightly"):
        find_run(tmp_path)
    with pytest.raises(NotCommitted):
        Workspace(tmp_path).current_run()

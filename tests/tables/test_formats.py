import pytest

from graphguard.errors import ArtefactInvalid, Exit, WorkspaceNewer
from graphguard.tables.files import read_json, replace_json
from graphguard.tables.formats import FORMAT, FORMAT_FILE
from graphguard.tables.workspace import Workspace, find_run


def test_who_writes_says_first_in_which_format(tmp_path):
    root = tmp_path / "workspace"
    Workspace(root)
    assert not root.exists()

    with Workspace(root).locked():
        assert read_json(root / FORMAT_FILE) == {"format": FORMAT}


def test_a_workspace_of_before_is_read_as_it_is_and_marked_by_who_writes(tmp_path):
    (tmp_path / "runs").mkdir()

    assert Workspace(tmp_path).committed_runs() == []
    assert not (tmp_path / FORMAT_FILE).exists()
    with Workspace(tmp_path).locked():
        pass
    assert read_json(tmp_path / FORMAT_FILE) == {"format": FORMAT}


def test_a_workspace_of_a_newer_program_is_neither_read_nor_written(tmp_path):
    opened = Workspace(tmp_path)
    replace_json(tmp_path / FORMAT_FILE, {"format": FORMAT + 1, "more": "of it"})
    replace_json(tmp_path / "CURRENT", {"run_id": "2026-01-05-aa"})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    with pytest.raises(WorkspaceNewer, match=rf"FORMAT.* {FORMAT + 1}, .* {FORMAT}; use") as found:
        Workspace(tmp_path)
    assert found.value.exit_code == Exit.CONFIG
    with pytest.raises(WorkspaceNewer):
        find_run(tmp_path)
    # Another program may have come between opening and the lease.
    with pytest.raises(WorkspaceNewer), opened.locked():
        pytest.fail("held")
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_the_lease_is_let_go_where_the_format_is_refused(tmp_path):
    opened = Workspace(tmp_path)
    replace_json(tmp_path / FORMAT_FILE, {"format": FORMAT + 1})
    with pytest.raises(WorkspaceNewer), opened.locked():
        pytest.fail("held")
    (tmp_path / FORMAT_FILE).unlink()

    with Workspace(tmp_path).locked():
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "1"}', '{"format": true}', "{}"])
def test_a_format_that_cannot_be_read_is_no_format_of_before(tmp_path, text):
    (tmp_path / FORMAT_FILE).write_text(text)

    with pytest.raises(ArtefactInvalid, match=FORMAT_FILE):
        Workspace(tmp_path)

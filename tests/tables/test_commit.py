import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import wait
from pathlib import Path

import pytest

from graphguard.errors import ArtefactInvalid
from graphguard.tables import commit
from graphguard.tables.commit import (
    CommitBatch,
    committing,
    is_committed,
    read_manifest,
    verify,
)


def test_a_folder_appears_whole_with_its_manifest(tmp_path):
    facts = {"rows": 1}
    with committing(tmp_path / "t" / "p", facts) as out:
        (out / "a.txt").write_text("one")
        assert not (tmp_path / "t" / "p").exists()
        facts["rows"] = 2

    assert is_committed(tmp_path / "t" / "p")
    assert read_manifest(tmp_path / "t" / "p")["rows"] == 2
    assert list(read_manifest(tmp_path / "t" / "p")["files"]) == ["a.txt"]


def test_an_error_inside_leaves_nothing_behind(tmp_path):
    def fail() -> None:
        with committing(tmp_path / "t" / "p", {}) as out:
            (out / "a.txt").write_text("half")
            raise ValueError

    with pytest.raises(ValueError, match="^$"):
        fail()

    assert list((tmp_path / "t").iterdir()) == []


def test_verify_finds_a_changed_and_a_missing_file(tmp_path):
    with committing(tmp_path / "p", {}) as out:
        (out / "a.txt").write_text("one")
        (out / "b.txt").write_text("two")
    verify(tmp_path / "p")

    (tmp_path / "p" / "a.txt").write_text("ONE")
    with pytest.raises(ArtefactInvalid, match=r"a\.txt: has other bytes"):
        verify(tmp_path / "p")
    (tmp_path / "p" / "a.txt").unlink()
    with pytest.raises(ArtefactInvalid, match=r"a\.txt: is missing") as told:
        verify(tmp_path / "p")
    assert f"remove {tmp_path / 'p'} and run the night again" in str(told.value)


@pytest.mark.parametrize("point", ["begin:p", "written:p", "rename:p", "committed:p"])
def test_a_writer_killed_at_any_point_leaves_the_old_state_or_the_new(tmp_path, point):
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from graphguard.tables.commit import committing
        with committing(Path(sys.argv[1]), {"rows": 1}) as out:
            (out / "a.txt").write_text("one")
    """)
    command = [sys.executable, "-c", program, str(tmp_path / "t" / "p")]

    killed = subprocess.run(command, env={**os.environ, "GRAPHGUARD_KILL_AT": point}, check=False)

    assert killed.returncode == -signal.SIGKILL
    assert is_committed(tmp_path / "t" / "p") == (point == "committed:p")
    assert subprocess.run(command, check=True).returncode == 0
    assert [path.name for path in (tmp_path / "t").iterdir()] == ["p"]
    verify(tmp_path / "t" / "p")


def test_a_batch_shows_its_folders_at_once_after_what_they_refer_to(tmp_path):
    seen = []

    def before() -> None:
        seen.append([is_committed(tmp_path / name) for name in "ab"])

    with CommitBatch(before) as batch:
        for name in "ab":
            with batch.committing(tmp_path / name, {"rows": 1}) as out:
                (out / "x.txt").write_text(name)
            assert not is_committed(tmp_path / name)

    assert seen == [[False, False]]
    for name in "ab":
        verify(tmp_path / name)
        assert read_manifest(tmp_path / name)["rows"] == 1


def test_a_batch_keeps_what_is_complete_when_a_later_folder_fails(tmp_path):
    def fail() -> None:
        with CommitBatch() as batch:
            with batch.committing(tmp_path / "t" / "good", {}) as out:
                (out / "x.txt").write_text("whole")
            with batch.committing(tmp_path / "t" / "bad", {}) as out:
                (out / "x.txt").write_text("half")
                raise ValueError

    with pytest.raises(ValueError, match="^$"):
        fail()

    assert [path.name for path in (tmp_path / "t").iterdir()] == ["good"]
    verify(tmp_path / "t" / "good")


def test_a_batch_is_flushed_when_it_is_long(tmp_path, monkeypatch):
    monkeypatch.setattr(commit, "MOST_WAITING", 2)
    with CommitBatch() as batch:
        for name in "ab":
            write(batch, tmp_path / name)
        wait_for(tmp_path / "b")
        write(batch, tmp_path / "c")
        assert [is_committed(tmp_path / name) for name in "abc"] == [True, True, False]

    assert is_committed(tmp_path / "c")


def write(batch: CommitBatch, folder: Path) -> None:
    with batch.committing(folder, {}) as out:
        (out / "x.txt").write_text(folder.name)


def wait_for(folder: Path) -> None:
    until = time.monotonic() + 60
    while not is_committed(folder):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_others_complete_folders_while_a_batch_is_put_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(commit, "MOST_WAITING", 2)
    flushing, done = threading.Event(), threading.Event()

    def before() -> None:
        flushing.set()
        assert done.wait(60)

    with CommitBatch(before) as batch:
        for name in "ab":
            write(batch, tmp_path / name)
        assert flushing.wait(60)
        write(batch, tmp_path / "c")
        assert not any(is_committed(tmp_path / name) for name in "abc")
        done.set()
        wait_for(tmp_path / "b")
        assert [is_committed(tmp_path / name) for name in "abc"] == [True, True, False]

    assert is_committed(tmp_path / "c")


@pytest.mark.parametrize("more", ["c", ""], ids=["the next folder", "the end"])
def test_a_flush_that_fails_ends_what_comes_next_and_all_is_tried_again(
    tmp_path, monkeypatch, more
):
    monkeypatch.setattr(commit, "MOST_WAITING", 2)
    tried = threading.Event()

    def before() -> None:
        if not tried.is_set():
            tried.set()
            raise OSError("full")

    def fill() -> None:
        with CommitBatch(before) as batch:
            for name in "ab":
                write(batch, tmp_path / name)
            assert tried.wait(60)
            wait([batch._begun])
            for name in more:
                write(batch, tmp_path / name)

    with pytest.raises(OSError, match="full"):
        fill()
    assert all(is_committed(tmp_path / name) for name in "ab" + more)


def test_what_could_not_be_put_on_disk_waits_for_the_next_flush(tmp_path):
    refused = [OSError("full")]

    def before() -> None:
        if refused:
            raise refused.pop()

    with CommitBatch(before) as batch:
        with batch.committing(tmp_path / "a", {}) as out:
            (out / "x.txt").write_text("a")
        with pytest.raises(OSError, match="full"):
            batch.flush()
        assert not is_committed(tmp_path / "a")

    assert is_committed(tmp_path / "a")


def test_what_the_disk_lost_gets_no_name_when_it_is_asked_again(tmp_path, monkeypatch):
    refused = [OSError("Input/output error")]
    sync = commit.sync_filesystem

    def once(folder: Path) -> None:
        # A system says once that it lost what was written; the next sync finds nothing to do.
        if refused:
            with batch.committing(tmp_path / "t" / "meanwhile", {}) as out:
                (out / "x.txt").write_text("lost as well")
            raise refused.pop()
        sync(folder)

    monkeypatch.setattr(commit, "sync_filesystem", once)
    batch = CommitBatch()
    with batch.committing(tmp_path / "t" / "a", {}) as out:
        (out / "x.txt").write_text("lost")
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output"):
            batch.flush()

    assert list((tmp_path / "t").iterdir()) == []


@pytest.mark.parametrize("point", ["written:t", "rename:t", "committed:t"])
def test_a_batch_killed_at_any_point_is_made_whole_by_the_same_command(tmp_path, point):
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from graphguard.tables.commit import CommitBatch, is_committed
        with CommitBatch() as batch:
            for name in ("dt=1", "dt=2"):
                if not is_committed(Path(sys.argv[1], name)):
                    with batch.committing(Path(sys.argv[1], name), {"rows": 1}) as out:
                        (out / "a.txt").write_text(name)
    """)
    command = [sys.executable, "-c", program, str(tmp_path / "t")]

    killed = subprocess.run(command, env={**os.environ, "GRAPHGUARD_KILL_AT": point}, check=False)
    assert killed.returncode == -signal.SIGKILL
    subprocess.run(command, check=True)

    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == ["dt=1", "dt=2"]
    for name in ("dt=1", "dt=2"):
        verify(tmp_path / "t" / name)

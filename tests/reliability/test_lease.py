"""Overlapping schedulers, and holders that stop and wake: one writer, one publish, none torn."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from hostile_platform import FIRST

from graphguard.errors import LeaseLost, WorkspaceBusy
from graphguard.tables import lease as lease_module
from graphguard.tables.commit import committing, verify
from graphguard.tables.files import read_json, write_json
from graphguard.tables.ids import IdStore
from graphguard.tables.lease import Lease, fenced
from graphguard.tables.workspace import RUN_FILE, Workspace

NEXT = FIRST + timedelta(days=1)
AT_ONCE = """
import sys, time
from pathlib import Path
from graphguard.jobs.cli import main
go = Path(sys.argv.pop(1))
(go.parent / f"ready-{sys.argv.pop(1)}").touch()
while not go.exists():
    time.sleep(0.001)
main()
"""


def start_together(folder, commands):
    """Run command lines that all begin at one moment; their exit codes."""
    folder.mkdir()
    log = folder / "points"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", AT_ONCE, str(folder / "go"), str(number), *words],
            env={**os.environ, "GRAPHGUARD_FAILPOINT_LOG": str(log)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for number, words in enumerate(commands)
    ]
    while len(list(folder.glob("ready-*"))) < len(commands):
        time.sleep(0.01)
    (folder / "go").touch()
    codes = [child.wait() for child in children]
    return codes, Counter(log.read_text().splitlines()) if log.exists() else Counter()


def until_all_are_done(folder, commands):
    """Start all at once, then again those that were told to try later, as a scheduler does."""
    rounds, points, waiting = [], Counter(), commands
    while waiting:
        codes, passed = start_together(folder / f"round-{len(rounds)}", waiting)
        rounds.append(codes)
        points += passed
        waiting = [one for one, code in zip(waiting, codes, strict=True) if code == 75]
    return rounds, points


@pytest.mark.parametrize("number", [2, pytest.param(6, marks=pytest.mark.slow)])
def test_of_many_processes_each_day_is_built_by_one_and_the_others_say_so(platform, number):
    for day in (FIRST, NEXT):
        platform.likes(day, 50)
    platform.config()
    commands = []
    for day in (FIRST, NEXT):
        words = ["nightly", "--config", str(platform.root / "config.yaml"), "--to", "build_graph"]
        commands += [[*words, "--as-of", str(day + timedelta(days=1))]] * number
    (platform.root / "rounds").mkdir()

    rounds, points = until_all_are_done(platform.root / "rounds", commands)

    assert set().union(*rounds) <= {0, 75}
    assert 75 in rounds[0]
    # Two days, two nights, each committed once by whoever came first; the rest found it done.
    assert points["committed:ingest"] == 2
    assert points["committed:build_graph"] == 2
    runs = sorted((platform.root / "workspace" / "runs").iterdir())
    assert [run.name[:10] for run in runs] == [str(NEXT), str(NEXT + timedelta(days=1))]
    for run in runs:
        for stage in ("ingest", "build_graph"):
            verify(run / stage)
    assert not list((platform.root / "workspace").rglob(".tmp-*"))


@pytest.mark.slow
def test_of_many_whole_nights_each_day_is_exported_once(make_config, tmp_path):
    make_config()
    (tmp_path / "rounds").mkdir()
    words = ["nightly", "--config", str(tmp_path / "config.yaml"), "--as-of"]
    commands = [[*words, day] for day in ("2026-01-21", "2026-01-22") for _ in range(6)]

    rounds, points = until_all_are_done(tmp_path / "rounds", commands)

    assert set().union(*rounds) <= {0, 75}
    assert points["committed:export"] == 2
    assert points["run:committed"] >= 2
    assert len(list((tmp_path / "sink" / "_commits").glob("*.json"))) == 2
    assert len(list((tmp_path / "sink" / "_history").iterdir())) == 2


# One process that publishes again and again, each time in a workspace of its own: a stage, new ids,
# run.json and the pointer, with small pauses in between.
HOLDER = """
import sys, time
from pathlib import Path
import polars as pl
from graphguard.errors import TransientError
from graphguard.tables.commit import committing
from graphguard.tables.files import replace_json
from graphguard.tables.lease import fenced
from graphguard.tables.workspace import RUN_FILE, Workspace

def publish(workspace, pause):
    run = workspace.run("2026-01-05-aa")
    with committing(run.stage("score"), {"rows": 1, "partitions": {}}) as out:
        (out / "scores.txt").write_text("holder")
        pause()
    ids = workspace.ids("user")
    ids.add(pl.Series(["holder"]))
    pause()
    ids.save()
    pause()
    with fenced(run.folder):
        facts = {"state": "committed", "as_of": "2026-01-05", "sequence": 1, "by": "holder"}
        replace_json(run.folder / RUN_FILE, facts)
    pause()
    workspace.point_to(run)

def pause():
    time.sleep(0.01)

for line in sys.stdin:
    root, ttl_s = line.split()
    try:
        with Workspace(Path(root)).locked(ttl_s=float(ttl_s)):
            print("holds", flush=True)
            publish(Workspace(Path(root)), pause)
        print("published", flush=True)
    except TransientError as error:
        print(f"{type(error).__name__} {int(error.exit_code)}", flush=True)
"""
TTL_S = 0.2


def stop_and_take_over(holder, root, source):
    """One trial: the holder is stopped, its lease runs out, another publishes, it wakes up.

    Returns what the holder said, or None where it was stopped inside a commit or was done already.
    """
    holder.stdin.write(f"{root} {TTL_S}\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "holds\n"
    time.sleep(source.uniform(0, 0.04))
    os.kill(holder.pid, signal.SIGSTOP)
    try:
        time.sleep(2 * TTL_S)
        workspace = Workspace(root)
        try:
            with workspace.locked(ttl_s=60):
                run = workspace.run("2026-01-05-bb")
                with committing(run.stage("score"), {"rows": 1, "partitions": {}}) as out:
                    (out / "scores.txt").write_text("other")
                    os.kill(holder.pid, signal.SIGCONT)
                    said = holder.stdout.readline().strip()
                facts = {"state": "committed", "as_of": "2026-01-05", "sequence": 2, "by": "other"}
                write_json(run.folder / RUN_FILE, facts)
                workspace.point_to(run)
        except WorkspaceBusy:
            os.kill(holder.pid, signal.SIGCONT)
            assert holder.stdout.readline() == "published\n"
            return None
    finally:
        os.kill(holder.pid, signal.SIGCONT)
    return said


@pytest.mark.parametrize("number", [10, pytest.param(50, marks=pytest.mark.slow)])
def test_a_holder_that_wakes_after_its_lease_was_taken_over_publishes_nothing(
    tmp_path, monkeypatch, number
):
    monkeypatch.setattr(lease_module, "GUARD_S", 0.5)
    source, fenced_off, trial = random.Random(5), 0, 0
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        while fenced_off < number:
            trial += 1
            assert trial < 4 * number
            root = tmp_path / str(trial)
            said = stop_and_take_over(holder, root, source)
            if said in (None, "published"):
                # Stopped at the moment of a commit, or after the last: it was never replaced there.
                continue
            fenced_off += 1
            assert said == "LeaseLost 75"
            assert read_json(root / "CURRENT")["run_id"] == "2026-01-05-bb"
            assert (root / "runs/2026-01-05-bb/score/scores.txt").read_text() == "other"
            # What it had committed while it held the lease stands; nothing came after.
            before = root / "runs/2026-01-05-aa" / RUN_FILE
            ids = IdStore(root / "ids" / "user").frame.get_column("key").to_list()
            assert not before.exists() or ids == ["holder"]
            assert not list(root.rglob(".tmp-*"))
        holder.stdin.close()
    assert fenced_off == number


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """A holder whose renewing thread does nothing, as if its process were stopped, and a clock."""
    monkeypatch.setattr(Lease, "_keep", lambda self: None)
    clock = Clock()
    lease = Lease(tmp_path, 60, clock)
    lease.acquire()
    yield lease, clock
    lease.release()


def test_a_lease_is_kept_until_its_time_is_up_and_then_goes_to_the_next_token(stopped, tmp_path):
    lease, clock = stopped
    other = Lease(tmp_path, 60, clock)
    clock.now += 59.9
    with pytest.raises(WorkspaceBusy, match=r"LOCK is locked by process \d+ on .* \(token 1\)"):
        other.acquire()

    clock.now += 0.1
    other.acquire()

    assert (lease.token, other.token) == (1, 2)
    with pytest.raises(LeaseLost, match=r"token 1 is no longer the newest, process \d+ on"):
        lease.fenced().__enter__()
    with other.fenced():
        pass
    lease.release()
    with other.fenced():
        pass
    other.release()


def test_an_expired_lease_that_nobody_took_is_still_good_and_lives_on(stopped, tmp_path):
    lease, clock = stopped
    clock.now += 1000

    with lease.fenced():
        pass

    with pytest.raises(WorkspaceBusy):
        Lease(tmp_path, 60, clock).acquire()


def test_a_commit_after_the_take_over_is_refused_and_leaves_no_scratch(stopped, tmp_path):
    lease, clock = stopped

    def commit(text):
        with committing(tmp_path / "runs" / "a" / "score", {"rows": 1}) as out:
            (out / "scores.txt").write_text(text)
            clock.now += 61
            other = Lease(tmp_path, 60, clock)
            other.acquire()
            # What the process that was replaced believes to hold.
            lease_module._HELD[tmp_path] = lease

    with pytest.raises(LeaseLost):
        commit("late")

    assert list((tmp_path / "runs" / "a").iterdir()) == []


def test_the_lease_of_a_process_that_died_is_free_at_once(tmp_path):
    program = (
        "import os, sys; from pathlib import Path; from graphguard.tables.lease import Lease;"
        "Lease(Path(sys.argv[1]), 3600).acquire(); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert ended.returncode == -signal.SIGKILL

    with Workspace(tmp_path).locked():
        assert lease_module.lease_over(tmp_path / "runs").token == 2


def test_the_lease_of_another_machine_is_free_only_when_its_time_is_up(tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(lease_module, "_host", lambda: "elsewhere/boot/pid")
    there = Lease(tmp_path, 60, clock)
    there.acquire()
    monkeypatch.undo()
    monkeypatch.setattr(lease_module, "_lives", lambda holder: False)

    with pytest.raises(WorkspaceBusy, match="on elsewhere"):
        Lease(tmp_path, 60, clock).acquire()
    clock.now += 60
    here = Lease(tmp_path, 60, clock)
    here.acquire()
    assert here.token == 2
    here.release()
    there.release()


def test_tokens_only_grow(tmp_path):
    tokens = []
    for _ in range(3):
        with Workspace(tmp_path).locked():
            tokens.append(lease_module.lease_over(tmp_path).token)
    assert tokens == [1, 2, 3]
    with fenced(tmp_path):
        assert lease_module.lease_over(tmp_path) is None


def test_a_thread_waits_for_another_of_its_process_that_commits_for_long(tmp_path, monkeypatch):
    monkeypatch.setattr(lease_module, "GUARD_S", 0.05)
    lease = Lease(tmp_path, ttl_s=60)
    lease.acquire()
    inside, order = threading.Event(), []

    def commit_for_long() -> None:
        with lease.fenced():
            inside.set()
            time.sleep(0.5)
            order.append("long")

    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(commit_for_long)
        assert inside.wait(60)
        with lease.fenced():
            order.append("other")
        long.result()
    lease.release()

    assert order == ["long", "other"]

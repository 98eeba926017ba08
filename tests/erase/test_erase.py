"""After an erasure nothing in workspace and sinks knows the erased, and nights go on as if."""

import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from datetime import date, timedelta

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import graphguard
from graphguard.checks.compare import compare_runs
from graphguard.checks.evidence import check_evidence
from graphguard.config.load import load_config
from graphguard.erase.erase import Request, erase
from graphguard.erase.scan import check_erasure
from graphguard.errors import ErasureOpen, TracesFound, UnknownEntity
from graphguard.jobs.erase import ReportRedrawer
from graphguard.jobs.nightly import Night, run_night
from graphguard.tables.commit import verify
from graphguard.tables.files import read_json, read_parquet, replace_json
from graphguard.tables.tombstones import Tombstones
from graphguard.tables.workspace import Workspace

CLI = [sys.executable, "-c", "from graphguard.jobs.cli import main; main()"]
USER_COLUMNS = {
    "events/likes": ("user_id",),
    "events/posts": ("user_id",),
    "events/logins": ("user_id",),
    "events/follows": ("user_id", "target_id"),
    "edges/user__follows__user": ("source", "target"),
    "edges": ("source",),
    "runs": ("entity",),
    "pairs": ("user_a", "user_b"),
    "features": ("entity",),
}


def erased(nights, tell=lambda *_: None):
    request = Request("user", frozenset(nights.users))
    return erase(nights.config, request, ReportRedrawer(nights.config), tell)


def indices_of(nights):
    ids = Workspace(nights.config.workspace_folder).ids("user").frame
    return set(ids.filter(pl.col("key").is_in(nights.users)).get_column("index"))


def every_file(nights):
    for folder in (nights.config.workspace_folder, nights.config.root / "sink"):
        yield from (path for path in sorted(folder.rglob("*")) if path.is_file())


def traces(nights, indices):
    """Files in which a key stands in a cell, a text or the bytes, or an index among indices."""
    found, cells = [], 0
    keys = set(nights.users)
    for path in every_file(nights):
        raw = path.read_bytes()
        # The ids of generated users have one length and are told by it from all other words.
        held = any(key.encode() in raw for key in keys)
        if path.suffix in (".parquet", ".arrow"):
            table = pq.read_table(path, partitioning=None) if path.suffix == ".parquet" else None
            if table is None:
                table = pa.ipc.open_file(path).read_all()
            # A key is a text: among plain numbers there is none.
            worded = [one.name for one in table.schema if not pa.types.is_primitive(one.type)]
            text = json.dumps(table.select(worded).to_pylist(), default=str)
            cells += table.num_rows * table.num_columns
            held |= any(key in text for key in keys)
            place = str(path)
            for part, columns in USER_COLUMNS.items():
                if f"/{part}/" in place and "entities" not in place or "entities/user" in place:
                    for column in set(columns) & set(table.column_names):
                        held |= bool(indices & set(table.column(column).to_pylist()))
        if path.name == "storage.npy" and "/nodes/user/" in str(path):
            held |= bool(indices & set(np.load(path).tolist()))
        if held:
            found.append(path)
    return found, cells


def contents(nights):
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in every_file(nights)
        if not path.name.startswith(("LOCK", "LEASE"))
    }


def test_no_file_knows_the_erased_any_more(erasure):
    nights, record = erasure.after, erasure.record
    indices = indices_of(erasure.before)
    before, _ = traces(erasure.before, indices)
    places = {part for path in before for part in path.parts}
    # The search must be able to fail: each kind of store holds them at first.
    assert {"events", "edges", "features", "pairs", "ids", "graph", "labels.parquet"} <= places
    assert {"report.html", "scores.parquet", "ring_members.parquet", "sink"} <= places
    assert len(indices) == len(nights.users) > 30

    after, cells = traces(nights, indices)
    assert after == []
    assert cells > 1_000_000
    assert record["found"] == {"user": len(nights.users)}
    assert record["erased"]["user"] == len(nights.users)
    # Devices that only they had go with them.
    assert record["erased"]["device"] > 0
    told = str(check_erasure(nights.config, "user", frozenset(nights.users)))
    assert told.startswith(f"no trace of {len(nights.users)} keys")


def test_rewritten_folders_are_whole_and_say_which_erasure_it_was(erasure):
    nights, record = erasure.after, erasure.record
    root = nights.config.workspace_folder

    assert len(record["stores"]) > 250
    for store in record["stores"]:
        verify(root / store["path"])
        assert record["erasure"] in read_json(root / store["path"] / "manifest.json")["erasures"]
    assert not list(root.rglob(".tmp-*"))
    held = json.dumps(read_json(root / "erasure" / "records" / f"{record['erasure']}.json"))
    assert not any(key in held for key in nights.users)
    secret = root / "erasure" / "secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_those_who_stay_keep_scores_links_and_a_readable_run(erasure):
    nights = erasure.after
    opened = graphguard.open_run(erasure.before.config.workspace_folder)
    stays = ~pl.col("entity_id").is_in(nights.users)
    before = opened.scores().filter(stays)
    edges = sum(opened.graph().num_edges.values())

    opened = graphguard.open_run(nights.config.workspace_folder)
    after = opened.scores()
    same = ["entity_id", "risk_score", "model_id", "run_id", "as_of"]
    assert after.select(same).equals(before.select(same))
    assert 0 < sum(opened.graph().num_edges.values()) < edges
    user = opened.members().get_column("key")[0]
    assert opened.expand(f"user:{user}").users
    assert opened.explain(f"user:{user}").ring is not None
    with pytest.raises(UnknownEntity):
        opened.explain(f"user:{nights.users[0]}")
    sizes = dict(opened.members().group_by("ring_id").len().iter_rows())
    assert dict(opened.rings().select("ring_id", "size").iter_rows()) == sizes
    run = Workspace(nights.config.workspace_folder).current_run()
    assert check_evidence(nights.config, run).rings == len(sizes)


def test_the_sink_holds_what_the_run_holds(erasure):
    nights, record = erasure.after, erasure.record
    run = Workspace(nights.config.workspace_folder).current_run()
    sink = nights.config.root / "sink"

    for name, stage in (("decisions", "decide"), ("scores", "score"), ("rings", "find_rings")):
        held = pl.read_parquet(sink / name / "as_of=2026-01-22" / "*.parquet")
        own = read_parquet(run.file(stage, f"{name}.parquet"))
        columns = [one for one in held.columns if one != "as_of"]
        assert held.select(columns).equals(own.sort(own.columns[:3]).select(columns)) or (
            held.select(columns).sort(columns).equals(own.select(columns).sort(columns))
        )
    receipt = read_json(run.file("export", "receipt.json"))["receipts"][0]
    assert (sink / "_history" / receipt["version"]).is_dir()
    assert record["sinks_left"] == []


def test_models_that_learned_from_the_erased_are_flagged(erasure):
    nights, record = erasure.after, erasure.record
    workspace = Workspace(nights.config.workspace_folder)
    runs = [run.run_id for run in workspace.committed_runs()]

    assert record["models"] == runs
    page = workspace.run(runs[0]).file("report", "report.html").read_text(encoding="utf-8")
    assert "had learned from users who were erased since" in page
    command = [*CLI, "runs", "list", "--config", str(nights.config.root / "config.yaml"), "--json"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert all("model saw users since erased" in one["state"] for one in listed)


def test_erasing_the_same_users_again_changes_no_byte(erasure, after_erasure):
    before = contents(after_erasure)

    assert erased(after_erasure) == erasure.record
    assert contents(after_erasure) == before


def test_planted_traces_are_found_each_by_itself(after_erasure):
    nights = after_erasure
    config = nights.config
    root = config.workspace_folder
    run = Workspace(root).current_run()
    key = nights.users[3]
    ids = Workspace(root).ids("user").frame
    gone = ids.filter(pl.col("key").is_null()).get_column("index")[0]
    cell = pl.DataFrame({"about": ["fine", f"spoke with {key} today"]})
    edge = pl.DataFrame({"source": [gone], "target": [0]})
    raw = b"\x00\x01" + key.encode() + b"\x00"
    day = root / "store/edges/user__likes__content/dt=2026-01-01/planted"
    planted = {
        run.folder / "note.parquet": cell.write_parquet,
        root / ".tmp-left" / "part.parquet": cell.write_parquet,
        day / "edges.parquet": edge.write_parquet,
        run.folder / "planted.json": lambda path: replace_json(path, {"who": [{"is": key}]}),
        run.folder / "names.npy": lambda path: np.save(path, np.array(["a", key])),
        run.stage("train") / "model" / "weights.bin": lambda path: path.write_bytes(raw),
        config.root / "sink" / "note.html": lambda path: path.write_bytes(raw),
    }
    for path, plant in planted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        plant(path)

    with pytest.raises(TracesFound, match="^7 of .* files hold a trace") as found:
        check_erasure(config, "user", frozenset(nights.users))

    for path in planted:
        assert str(path) in str(found.value)
        path.unlink()
    assert found.value.exit_code == 65
    assert check_erasure(config, "user", frozenset(nights.users)).cells > 1_000_000


@pytest.mark.slow
def test_the_next_night_is_what_a_rebuild_with_the_same_tombstones_is(nights):
    erased(nights)
    trees = nights.config.training.model_copy(update={"models": ("trees",)})
    changes = {"as_of": date(2026, 1, 23), "training": trees}
    config = nights.config.model_copy(update=changes)
    stores = set(config.workspace_folder.glob("store/events/*/dt=2025-*/*"))

    night = run_night(Night(config))

    # Days that were rewritten are found under their names, not read again.
    assert set(config.workspace_folder.glob("store/events/*/dt=2025-*/*")) == stores
    # Before another workspace exports to the same sink: its storage indices are its own.
    assert check_erasure(config, "user", frozenset(nights.users)).files > 500
    rebuilt = config.model_copy(update={"workspace": config.root / "rebuilt"})
    Tombstones(config.workspace_folder).copy_to(rebuilt.workspace_folder)
    for run in Workspace(config.workspace_folder).committed_runs():
        if run.run_id != night.run_id:
            home = rebuilt.workspace_folder / "runs" / run.run_id
            shutil.copytree(run.folder, home)
    again = run_night(Night(rebuilt))
    comparison = compare_runs(night, again, config)
    assert comparison.differences == []
    assert comparison.rows > 50_000
    assert "erasures" not in night.manifest("train")
    check_erasure(rebuilt, "user", frozenset(nights.users))


def test_rows_of_the_erased_are_rejected_without_a_value_and_their_index_stays_taken(
    erasure, after_erasure
):
    nights, earlier = after_erasure, erasure.before
    indices = indices_of(earlier)
    size = Workspace(earlier.config.workspace_folder).ids("user").frame.height

    later = nights.config.model_copy(update={"as_of": date(2026, 1, 25)})
    run = run_night(Night(later, last="ingest"))

    rejects = read_parquet(run.file("ingest", "rejects.parquet"))
    mine = rejects.filter(pl.col("reason") == "erased")
    newest = mine.filter(pl.col("file").str.contains("dt=2026-01-24"))
    assert newest.height > 0
    assert mine.get_column("value").null_count() == mine.height
    assert mine.get_column("time_us").null_count() == mine.height
    assert (mine.get_column("row") < 0).all()
    intake = read_parquet(run.file("ingest", "intake.parquet"))
    whole = intake.get_column("accepted") + intake.get_column("rejected")
    assert (whole + intake.get_column("not_yet")).to_list() == intake.get_column("read").to_list()
    ids = Workspace(nights.config.workspace_folder).ids("user").frame
    new = set(ids.filter(pl.col("index") >= size).get_column("key"))
    assert not new & set(nights.users)
    assert ids.filter(pl.col("index").is_in(indices)).get_column("key").null_count() == len(indices)
    assert ids.get_column("index").n_unique() == ids.height


@pytest.mark.slow
def test_an_erasure_killed_at_any_point_goes_on_to_the_same_end(nights, tmp_path):
    users = tmp_path / "users.txt"
    users.write_text("\n".join(nights.users))
    home = nights.config.root
    (home / "workspace" / "erasure").mkdir()
    (home / "workspace" / "erasure" / "secret").write_bytes(b"s" * 32)

    def command(folder):
        return [*CLI, "erase", "--config", str(folder / "config.yaml"), "--users", str(users)]

    calm = tmp_path / "calm"
    shutil.copytree(home, calm, symlinks=True)
    log = tmp_path / "points.txt"
    env = {**os.environ, "GRAPHGUARD_FAILPOINT_LOG": str(log)}
    subprocess.run(command(calm), env=env, check=True, capture_output=True)
    points = list(dict.fromkeys(log.read_text().split()))
    killed = 0
    for point in points:
        folder = tmp_path / "killed"
        shutil.copytree(home, folder, symlinks=True)
        env = {**os.environ, "GRAPHGUARD_KILL_AT": point}
        ended = subprocess.run(command(folder), env=env, check=False, capture_output=True)
        assert ended.returncode == -signal.SIGKILL, point
        records = list(folder.glob("workspace/erasure/records/*.json"))
        if records and read_json(records[0])["state"] == "open":
            config = load_config(folder / "config.yaml", as_of="2026-01-22")
            with pytest.raises(ErasureOpen, match="was interrupted"):
                run_night(Night(config))
        subprocess.run(command(folder), check=True, capture_output=True)
        assert outcome(folder) == outcome(calm), point
        shutil.rmtree(folder)
        killed += 1
    assert killed >= 15


def outcome(folder):
    """All bytes but those that say when something was done."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or path.name.startswith(("LOCK", "LEASE")) or path.is_symlink():
            continue
        if path.suffix == ".json":
            text = json.dumps(_steady(read_json(path)), sort_keys=True)
            found[name] = text.replace(str(folder), "")
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _steady(value):
    times = ("started_at", "finished_at", "committed_at", "at", "version", "files")
    if isinstance(value, dict):
        return {key: _steady(one) for key, one in value.items() if key not in times}
    return [_steady(one) for one in value] if isinstance(value, list) else value


@pytest.mark.slow
def test_a_day_apart_two_erasures_leave_what_one_leaves(nights, tmp_path):
    once = tmp_path / "once"
    shutil.copytree(nights.config.root, once, symlinks=True)
    config = nights.config
    redraw = ReportRedrawer(config)
    for part in (nights.users[::2], nights.users[1::2]):
        erase(config, Request("user", frozenset(part)), redraw, lambda *_: None)
    other = load_config(once / "config.yaml", as_of="2026-01-22")
    erase(other, Request("user", frozenset(nights.users)), ReportRedrawer(other), lambda *_: None)

    days = [date(2026, 1, 22) - timedelta(days=n) for n in (0, 1)]
    for day in days:
        runs = [
            next(run for run in Workspace(one.workspace_folder).committed_runs()
                 if run.facts()["as_of"] == day.isoformat())
            for one in (config, other)
        ]  # fmt: skip
        found = compare_runs(runs[0], runs[1], config)
        assert found.differences == []
        assert found.rows > 50_000

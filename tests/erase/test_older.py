"""Nights of an older program lack tables and columns: erasures and nights go on from them."""

from datetime import date

import polars as pl
import pytest

import graphguard
from graphguard.checks.evidence import check_evidence
from graphguard.erase.erase import Request, erase
from graphguard.erase.scan import check_erasure
from graphguard.errors import ArtefactInvalid
from graphguard.jobs.context import Job, Silent
from graphguard.jobs.erase import ReportRedrawer
from graphguard.jobs.ring_names import earlier_rings
from graphguard.tables.commit import verify
from graphguard.tables.files import file_digest, read_json, read_parquet, replace_json
from graphguard.tables.workspace import Workspace

LATER_FILES = ("ring_acts.parquet", "ring_sets.parquet", "ring_memory.parquet", "nulls.json")
LATER_COLUMNS = {
    "rings": ("log10_q", "met_share", "chance_share"),
    "ring_members": ("first_share",),
    "ring_evidence": (
        "a_first",
        "gap_us",
        "together",
        "by_chance",
        "chances",
        "most_users",
        "tests",
    ),
    "pairs": ("together", "by_chance", "chances", "most_users", "tests"),
}


def without_later_columns(folder):
    """Rewrite the tables of a folder, and its manifest, without what came later."""
    manifest = read_json(folder / "manifest.json")
    for name in LATER_FILES:
        if manifest["files"].pop(name, None):
            (folder / name).unlink()
    for name, columns in LATER_COLUMNS.items():
        path = folder / f"{name}.parquet"
        if path.is_file():
            table = read_parquet(path).drop(columns, strict=False)
            path.unlink()
            table.write_parquet(path)
            manifest["files"][path.name] = file_digest(path)
    replace_json(folder / "manifest.json", manifest)


@pytest.fixture
def older(nights):
    """The two nights as a program without evidence of acts, memory and dealt nights left them."""
    workspace = Workspace(nights.config.workspace_folder)
    for folder in (*workspace.root.glob("runs/*/find_rings"), *workspace.root.glob("pairs/*/*")):
        if (folder / "manifest.json").is_file():
            without_later_columns(folder)
    for name, columns in LATER_COLUMNS.items():
        for path in (nights.config.root / "sink" / "_history").rglob(f"{name}/*.parquet"):
            table = read_parquet(path).drop(columns, strict=False)
            if name == "ring_members":
                table = table.with_columns(pl.lit(0, dtype=pl.Int64).alias("entity"))
            path.unlink()
            table.write_parquet(path)
    return nights


def run_of(nights, day):
    (run,) = [
        run
        for run in Workspace(nights.config.workspace_folder).committed_runs()
        if run.facts()["as_of"] == day
    ]
    return run


def test_users_are_erased_from_nights_of_an_older_program(older):
    users = frozenset(older.users)
    rings = graphguard.open_run(older.config.workspace_folder).members()
    assert set(rings.get_column("key")) & users

    record = erase(older.config, Request("user", users), ReportRedrawer(older.config), lambda *_: 0)

    assert str(check_erasure(older.config, "user", users)).startswith("no trace of")
    for store in record["stores"]:
        verify(older.config.workspace_folder / store["path"])
    run = run_of(older, "2026-01-22")
    left = {name: read_parquet(run.file("find_rings", f"{name}.parquet")) for name in LATER_COLUMNS
            if name != "pairs"}  # fmt: skip
    assert left["rings"].height > 0
    assert not set(LATER_COLUMNS["rings"]) & set(left["rings"].columns)
    sizes = left["ring_members"].group_by("ring_id").len().sort("ring_id").get_column("len")
    assert left["rings"].sort("ring_id").get_column("size").to_list() == sizes.to_list()
    assert not (run.stage("find_rings") / "ring_acts.parquet").exists()
    exported = [*(older.config.root / "sink" / "_history").rglob("ring_members/*.parquet")]
    assert exported
    assert all("entity" not in read_parquet(path).columns for path in exported)


def test_a_night_carries_on_the_rings_of_a_night_of_an_older_program(older, two_nights):
    workspace = Workspace(two_nights / "workspace")
    (first,) = [run for run in workspace.committed_runs() if run.facts()["previous"] is None]
    config, day = older.config, date(2026, 1, 22)
    later = Job(config, day, run_of(older, "2026-01-22"), None, Silent())

    # Of the first night nothing sleeps, so what was remembered are its own rings.
    before, memory = earlier_rings(Job(config, day, later.run, first, Silent()))
    told = earlier_rings(Job(config, day, later.run, run_of(older, "2026-01-21"), Silent()))

    assert memory
    assert told == (before, memory) == (date(2026, 1, 21), memory)


def test_evidence_that_an_older_program_did_not_write_is_told(older):
    with pytest.raises(ArtefactInvalid, match="ring_acts.*an older program wrote this night"):
        check_evidence(older.config, run_of(older, "2026-01-22"))

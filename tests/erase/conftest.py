"""A workspace with two nights, from which tests erase; copied for each test that changes it."""

import shutil
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

import graphguard
from graphguard.config.load import load_config
from graphguard.config.sections import Config
from graphguard.erase.erase import Request, erase
from graphguard.jobs.erase import ReportRedrawer
from graphguard.jobs.nightly import Night, run_night
from graphguard.tables.files import read_json, read_parquet, write_json


@dataclass(frozen=True)
class Nights:
    """Two nights and who is to be erased."""

    config: Config
    users: tuple[str, ...]


@pytest.fixture(scope="session")
def two_nights(demo, once):
    def fill(folder):
        raw = demo()
        raw["training"] |= {"sage": {"epochs": 1, "fanouts": [4, 2], "hidden": 16}}
        (folder / "config.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
        for day in ("2026-01-21", "2026-01-22"):
            run_night(Night(load_config(folder / "config.yaml", as_of=day)))

    return once("two-nights", fill)


@dataclass(frozen=True)
class Erased:
    """The nights before and after an erasure of their users; tests only look at both."""

    before: Nights
    after: Nights
    record: dict[str, Any]


@pytest.fixture(scope="session")
def erasure(two_nights, once):
    """One erasure, for all tests that do not change what it left."""

    def fill(folder):
        shutil.copytree(two_nights, folder, symlinks=True, dirs_exist_ok=True)
        nights = named(folder)
        request = Request("user", frozenset(nights.users))
        record = erase(nights.config, request, ReportRedrawer(nights.config), lambda *_: None)
        write_json(folder.parent / "erasure.json", record)

    folder = once("erasure", fill)
    before = named(two_nights)
    config = load_config(folder / "config.yaml", as_of="2026-01-22")
    record = read_json(folder.parent / "erasure.json")
    return Erased(before, Nights(config, before.users), record)


@pytest.fixture
def after_erasure(erasure, tmp_path):
    """A copy of what the erasure left, for a test that changes it."""
    folder = tmp_path / "after"
    # Another test may look at the original meanwhile, and hold it: that hold is not copied.
    unheld = shutil.ignore_patterns("LOCK", "LEASE")
    shutil.copytree(erasure.after.config.root, folder, symlinks=True, ignore=unheld)
    return Nights(load_config(folder / "config.yaml", as_of="2026-01-22"), erasure.after.users)


@pytest.fixture
def nights(two_nights, tmp_path):
    """A copy, with users to erase: a member of each ring, labelled ones, others."""
    shutil.copytree(two_nights, tmp_path / "copy", symlinks=True)
    return named(tmp_path / "copy")


def named(folder):
    config = load_config(folder / "config.yaml", as_of="2026-01-22")
    opened = graphguard.open_run(config.workspace_folder)
    rings = opened.members().group_by("ring_id").agg("key").sort("ring_id").get_column("key")
    members = {sorted(one)[0] for one in rings}
    scored = opened.scores().get_column("entity_id").sort()
    workspace = opened.run.workspace
    labels = read_parquet(opened.run.file("ingest", "labels.parquet"))
    decided = workspace.ids("user").decode(labels, "entity", "key").get_column("key").sort()
    return Nights(config, tuple(sorted(members | {*scored[::40], *decided[::20]})))

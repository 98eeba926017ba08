"""A workspace with two nights, from which tests erase; copied for each test that changes it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

import graphguard
from graphguard.config.load import load_config
from graphguard.config.sections import Config
from graphguard.jobs.nightly import Night, run_night
from graphguard.tables.files import read_parquet

TOP = Path(__file__).parents[2]


@dataclass(frozen=True)
class Nights:
    """Two nights and who is to be erased."""

    config: Config
    users: tuple[str, ...]


@pytest.fixture(scope="session")
def two_nights(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two-nights")
    text = (TOP / "configs" / "demo.yaml").read_text(encoding="utf-8")
    raw = yaml.safe_load(text.replace("../demo/world", str(world)))
    raw["workspace"], raw["export"] = "workspace", [{"sink": "parquet", "path": "sink"}]
    raw["training"] |= {
        "models": ["trees", "sage"],
        "min_positives": 2,
        "trees": {"rounds": 20},
        "sage": {"epochs": 1, "fanouts": [4, 2], "hidden": 16},
    }
    raw["policy"] |= {"max_action_rate": 0.9}
    (folder / "config.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    for day in ("2026-01-21", "2026-01-22"):
        run_night(Night(load_config(folder / "config.yaml", as_of=day)))
    return folder


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

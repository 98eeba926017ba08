"""Fixtures that many tests share: the real data's folder, a small platform and its config."""

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import settings

from graphguard.config.load import load_config
from graphguard.jobs.nightly import Night, run_night
from graphguard.worlds import WorldSpec, write_world

TOP = Path(__file__).parents[1]
os.environ.setdefault("POLARS_MAX_THREADS", "2")
# A busy machine is no failure: examples have no deadline.
settings.register_profile("graphguard", deadline=None)
settings.load_profile("graphguard")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets, or a skip that says why."""
    named = os.environ.get("GRAPHGUARD_DATA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data: no folder {folder}; set GRAPHGUARD_DATA")
    return folder


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """Logs of 1,200 users over 91 days, with much abuse, so that every slice has positives."""
    out = tmp_path_factory.mktemp("world")
    write_world(WorldSpec(users=1200, days=91, seed=7, ring_share=0.14, solo_share=0.08), out)
    return out


@pytest.fixture
def make_config(world, tmp_path):
    """Write a config beside the world's logs; keyword arguments replace sections of the demo's.

    With the default themes, which take half the time; `night` has all that the demo has.
    """

    def make(as_of="2026-01-22", **changes):
        text = (TOP / "configs" / "demo.yaml").read_text(encoding="utf-8")
        raw = yaml.safe_load(text.replace("../demo/world", str(world)))
        raw["workspace"] = str(tmp_path / "workspace")
        raw["export"] = [{"sink": "parquet", "path": str(tmp_path / "sink")}]
        raw["training"] |= {"models": ["trees"], "min_positives": 2, "trees": {"rounds": 30}}
        raw["policy"] |= {"max_action_rate": 0.9}
        del raw["features"]
        for name, value in changes.items():
            raw[name] = {**raw.get(name, {}), **value} if isinstance(value, dict) else value
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(raw), encoding="utf-8")
        return load_config(path, as_of=as_of)

    return make


@pytest.fixture(scope="session")
def night(world, tmp_path_factory):
    """One night with both models, run once for the tests that only look at it: config and run."""
    folder = tmp_path_factory.mktemp("night")
    text = (TOP / "configs" / "demo.yaml").read_text(encoding="utf-8")
    raw = yaml.safe_load(text.replace("../demo/world", str(world)))
    raw["workspace"] = str(folder / "workspace")
    raw["export"] = [{"sink": "parquet", "path": str(folder / "sink")}]
    raw["as_of"] = "2026-01-22"
    raw["training"] |= {
        "min_positives": 2,
        "trees": {"rounds": 30},
        "sage": {"epochs": 2, "fanouts": [4, 2], "hidden": 16},
    }
    raw["policy"] |= {"max_action_rate": 0.9}
    (folder / "config.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    config = load_config(folder / "config.yaml")
    return config, run_night(Night(config))

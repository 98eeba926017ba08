"""Fixtures that many tests share: the real data's folder, a small platform and its config."""

import fcntl
import os
import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import settings

from graphguard.config.load import load_config
from graphguard.jobs.nightly import Night, run_night
from graphguard.tables.workspace import Workspace
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
def once(tmp_path_factory):
    """Fill a named folder once for all processes of a test run; nobody may change it after."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "once"
    shared.mkdir(exist_ok=True)

    def filled(name, fill):
        folder, done = shared / name, shared / f"{name}.done"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return filled


@pytest.fixture(scope="session")
def world(once):
    """Logs of 1,200 users over 91 days, with much abuse, so that every slice has positives."""
    spec = WorldSpec(users=1200, days=91, seed=7, ring_share=0.14, solo_share=0.08)
    return once("world", lambda out: write_world(spec, out))


@pytest.fixture(scope="session")
def demo(world):
    """The demo's config on the small platform, as a dictionary.

    It looks back five weeks; if `long`, the demo's own three months, at twice the time, for tests
    that need many labels or equal nights.
    """

    def read(long=False):
        text = (TOP / "configs" / "demo.yaml").read_text(encoding="utf-8")
        raw = yaml.safe_load(text.replace("../demo/world", str(world)))
        raw["workspace"] = "workspace"
        raw["export"] = [{"sink": "parquet", "path": "sink"}]
        raw["training"] |= {"min_positives": 2, "trees": {"rounds": 20, "bags": 2}}
        if not long:
            raw["graph"] |= {"window": "7d"}
            raw["training"] |= {"anchors": 3, "anchor_every": "7d", "horizon": "7d"}
        raw["policy"] |= {"max_action_rate": 0.9}
        return raw

    return read


@pytest.fixture
def make_config(demo, tmp_path):
    """Write a config beside the test's files; keyword arguments replace sections of the demo's.

    With the default themes and trees alone; `night` has all that the demo has.
    """

    def make(as_of="2026-01-22", long=False, **changes):
        raw = demo(long)
        raw["workspace"] = str(tmp_path / "workspace")
        raw["export"] = [{"sink": "parquet", "path": str(tmp_path / "sink")}]
        raw["training"] |= {"models": ["trees"]}
        raw["rings"] |= {"windows": ["10s", "10m", "24h"], "null_nights": 1}
        del raw["features"]
        for name, value in changes.items():
            raw[name] = {**raw.get(name, {}), **value} if isinstance(value, dict) else value
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(raw), encoding="utf-8")
        return load_config(path, as_of=as_of)

    return make


@pytest.fixture(scope="session")
def night(demo, once, tmp_path_factory):
    """One night with both models, for the tests that only look at it: config and run.

    Made once, and copied for each process, since some look at it with commands that lock it.
    """

    def fill(folder):
        raw = demo() | {"as_of": "2026-01-22"}
        raw["training"] |= {"sage": {"epochs": 2, "fanouts": [4, 2], "hidden": 16}}
        (folder / "config.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
        run_night(Night(load_config(folder / "config.yaml")))

    folder = tmp_path_factory.mktemp("night") / "night"
    shutil.copytree(once("night", fill), folder, symlinks=True)
    config = load_config(folder / "config.yaml")
    return config, Workspace(config.workspace_folder).current_run()

"""Fixtures that many tests share: the real data's folder."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

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

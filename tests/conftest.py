"""Fixtures that many tests share: the real data's folder."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("POLARS_MAX_THREADS", "2")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets, or a skip that says why."""
    named = os.environ.get("GRAPHGUARD_DATA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data: no folder {folder}; set GRAPHGUARD_DATA")
    return folder

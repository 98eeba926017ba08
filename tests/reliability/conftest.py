"""The platform that reliability tests deliver files to."""

import pytest
from hostile_platform import Platform


@pytest.fixture
def platform(tmp_path):
    return Platform(tmp_path)

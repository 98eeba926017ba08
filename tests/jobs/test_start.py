"""What the command sets up before it imports anything."""

import os
import subprocess
import sys

import pytest

ASKED = """
import sys, types
from graphguard.jobs.start import main

def command():
    import pyarrow
    print("pool:", pyarrow.default_memory_pool().backend_name)

sys.modules["graphguard.jobs.cli"] = types.SimpleNamespace(main=command)
main()
"""


@pytest.mark.parametrize(("said", "pool"), [(None, "system"), ("mimalloc", "mimalloc")])
def test_arrow_takes_memory_from_where_numpy_does_unless_told_otherwise(said, pool):
    name = "ARROW_DEFAULT_MEMORY_POOL"
    others = {key: value for key, value in os.environ.items() if key != name}
    told = others if said is None else others | {name: said}
    done = subprocess.run(
        [sys.executable, "-c", ASKED], env=told, capture_output=True, text=True, check=True
    )

    assert f"pool: {pool}" in done.stdout

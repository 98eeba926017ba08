"""A cluster that cannot be used is told with its address and the JVM's own reason."""

import subprocess
import sys

from graphguard.errors import Exit

CODE = """
import sys
from pathlib import Path
from graphguard.config.sections import SparkConfig
from graphguard.errors import EngineUnreachable
from graphguard.tables.spark_engine import SparkEngine
try:
    SparkEngine(SparkConfig(master="local[few]"), Path(sys.argv[1]))
except EngineUnreachable as error:
    print(error)
    sys.exit(error.exit_code)
"""


def test_a_master_that_cannot_be_used_is_a_passing_trouble_told_by_name(tmp_path):
    # A process of its own: there is one Spark session in each.
    command = [sys.executable, "-c", CODE, str(tmp_path)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)

    assert ended.returncode == Exit.TRANSIENT, ended.stderr
    assert "spark.master 'local[few]' cannot be used" in ended.stdout
    assert "Could not parse Master URL: 'local[few]'" in ended.stdout
    assert list(tmp_path.iterdir()) == []

"""The Spark engine: the relational steps on a cluster, the kernels in its Python workers.

Needs the extra `spark` here, and the same Python, pyarrow and graphguard on the executors. Stored
tables and the scratch folder must be reachable under one path by the driver and all executors.
"""

import os
import shutil
import sys
import uuid
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import narwhals as nw
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from graphguard.config.sections import SparkConfig
from graphguard.errors import EngineUnreachable
from graphguard.tables.engine import Bucketed, Frame, Kernel

STANDING = {
    # Times are integers everywhere; this keeps dates from moving on a cluster in another zone.
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    # A lost executor is replaced, and its tasks run again, this often before the job gives up.
    "spark.task.maxFailures": "8",
    "spark.sql.parquet.compression.codec": "zstd",
}


class SparkEngine:
    """A session on the cluster that `settings` name; one at a time in a process.

    Held and collected tables pass through Parquet files in a folder of its own below `scratch`, not
    through the driver's memory: a table that is held is stored, so the loss of a worker cannot make
    Spark compute it a second time with another order or another result.

    Args:
        settings: Where the cluster is.
        scratch: Folder that driver and executors both see.

    Raises:
        EngineUnreachable: The session cannot be started.
    """

    def __init__(self, settings: SparkConfig, scratch: Path) -> None:
        self._scratch = scratch / f"spark-{uuid.uuid4().hex}"
        self._scratch.mkdir(parents=True)
        self._numbers = count(1)
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        builder = SparkSession.builder.master(settings.master).appName("graphguard")
        own = {
            "spark.sql.shuffle.partitions": str(settings.partitions),
            "spark.executor.memory": f"{settings.executor_memory_mb}m",
            "spark.driver.memory": f"{settings.driver_memory_mb}m",
        }
        for name, value in (STANDING | own | settings.options).items():
            builder = builder.config(name, value)
        try:
            self._session = builder.getOrCreate()
        except Exception as error:  # noqa: BLE001 - py4j raises its own kinds
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise EngineUnreachable(settings.master, _cause(error)) from error

    def scan(self, files: Sequence[Path]) -> Frame:
        """Open Parquet files as one table; the executors read them."""
        read: Frame = nw.from_native(self._session.read.parquet(*map(str, files)))
        return read

    def table(self, frame: pl.DataFrame) -> Frame:
        """Store a table of this process for the executors to read."""
        folder = self._folder()
        folder.mkdir()
        # 64-bit lengths of strings are Polars' own; Spark reads the plain types alone.
        arrow = frame.to_arrow()
        plain = pa.schema([(one.name, _plain(one.type)) for one in arrow.schema])
        pq.write_table(arrow.cast(plain), folder / "table.parquet")
        return self.scan([folder])

    def collect(self, frame: Frame) -> pl.DataFrame:
        """Compute a table on the cluster and read it here."""
        folder = self._store(frame)
        try:
            files = sorted(folder.glob("part-*.parquet"))
            parts = [pl.read_parquet(path, hive_partitioning=False) for path in files]
            # Spark may write a file without a column chunk for no rows, but always one file.
            return pl.concat(parts)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def hold(self, frame: Frame) -> Frame:
        """Compute a table into files of the scratch folder."""
        return self.scan([self._store(frame)])

    def map_buckets(self, frame: Frame, kernel: Kernel, how: Bucketed) -> Frame:
        """Call `kernel` in the executors' Python workers, one bucket of keys a call."""
        native: DataFrame = frame.with_columns(
            (nw.col(how.by) % how.buckets).alias("__bucket")
        ).to_native()
        # Asked for by number: Spark joins small parts into one, but the work of a kernel does not
        # follow the bytes it is given.
        native = native.repartition(how.buckets, "__bucket")
        made: Frame = nw.from_native(
            native.groupBy("__bucket").applyInArrow(
                _on_rows(kernel, how.schema), from_arrow_schema(how.schema)
            )
        )
        return made

    def close(self) -> None:
        """Stop the session and remove the scratch folder."""
        self._session.stop()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _store(self, frame: Frame) -> Path:
        folder = self._folder()
        native: DataFrame = frame.to_native()
        native.write.parquet(str(folder))
        return folder

    def _folder(self) -> Path:
        return self._scratch / f"{next(self._numbers):06d}"


def _on_rows(kernel: Kernel, schema: pa.Schema) -> Callable[[pa.Table], pa.Table]:
    """The kernel without the bucket's own column, with the types that Spark was told."""

    def call(rows: pa.Table) -> pa.Table:
        return kernel(rows.drop_columns(["__bucket"])).cast(schema)

    return call


def _cause(error: Exception) -> str:
    """What the JVM said, where it said something; else what Python did."""
    lines = str(error).splitlines() or [type(error).__name__]
    said = [line.removeprefix(": ") for line in lines if line.startswith(": ")]
    return (said or lines)[0]


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    return kind

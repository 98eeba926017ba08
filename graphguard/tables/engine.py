"""Engines: what runs the relational steps, on one machine or on a cluster.

A relational step is written once, as a function from narwhals lazy frames to a narwhals lazy frame.
An engine opens the frames, runs them, and calls the kernels that are no relational step (pairing,
histories) on the Arrow rows of one bucket of keys after another. Polars is always there; Spark is
imported only when `engine: spark` asks for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import narwhals as nw
import polars as pl
import pyarrow as pa

from graphguard.config.sections import Config
from graphguard.errors import MissingExtra

Frame = nw.LazyFrame[Any]
"""A table not yet computed, of whichever engine made it."""
Kernel = Callable[[pa.Table], pa.Table]
"""From all rows of one bucket, in any order, to the rows made of them."""


@dataclass(frozen=True)
class Bucketed:
    """How a kernel is called.

    Attributes:
        by: Integer column, 0 or more; rows with equal values meet in one call.
        buckets: Number of calls the values are spread over, `value % buckets`.
        schema: Columns and types that the kernel returns.
    """

    by: str
    buckets: int
    schema: pa.Schema


class Engine(Protocol):
    """What the relational steps ask of an engine; frames of two engines never meet."""

    def scan(self, files: Sequence[Path]) -> Frame:
        """Open Parquet files of one schema as one table; at least one file."""
        ...

    def table(self, frame: pl.DataFrame) -> Frame:
        """Hand a table in memory to the engine."""
        ...

    def collect(self, frame: Frame) -> pl.DataFrame:
        """Compute a table; rows come in the order of its last sort, if it ends in one."""
        ...

    def hold(self, frame: Frame) -> Frame:
        """Compute a table once: whoever reads the result reads those rows, whatever fails."""
        ...

    def map_buckets(self, frame: Frame, kernel: Kernel, how: Bucketed) -> Frame:
        """Call `kernel` on the rows of each bucket that has any; results are put together."""
        ...

    def close(self) -> None:
        """Give back what the engine holds; frames it made cannot be used after."""
        ...


class PolarsEngine:
    """The reference: everything in this process.

    >>> engine = PolarsEngine()
    >>> frame = engine.table(pl.DataFrame({"user": [3, 4, 3]}))
    >>> engine.collect(frame.group_by("user").agg(nw.len().alias("n")).sort("user")).rows()
    [(3, 2), (4, 1)]
    """

    def scan(self, files: Sequence[Path]) -> Frame:
        """Open Parquet files as one table; read when it is computed."""
        return nw.from_native(pl.scan_parquet(list(files), hive_partitioning=False))

    def table(self, frame: pl.DataFrame) -> Frame:
        """The table itself, lazily."""
        return nw.from_native(frame.lazy())

    def collect(self, frame: Frame) -> pl.DataFrame:
        """Compute a table by the streaming engine."""
        native: pl.LazyFrame = frame.to_native()
        return native.collect(engine="streaming")

    def hold(self, frame: Frame) -> Frame:
        """Compute a table into memory."""
        return self.table(self.collect(frame))

    def map_buckets(self, frame: Frame, kernel: Kernel, how: Bucketed) -> Frame:
        """Call `kernel` bucket by bucket; memory: the rows, and one bucket's results."""
        rows = self.collect(frame.with_columns((nw.col(how.by) % how.buckets).alias("__bucket")))
        parts = [
            pl.DataFrame(pl.from_arrow(kernel(part.to_arrow()).cast(how.schema)))
            for part in rows.partition_by("__bucket", include_key=False)
        ]
        empty = pl.DataFrame(pl.from_arrow(how.schema.empty_table()))
        return self.table(pl.concat([empty, *parts]))

    def close(self) -> None:
        """Nothing is held."""


def open_engine(config: Config) -> Engine:
    """Start the engine that `config.engine` names.

    Raises:
        MissingExtra: It is `spark` and pyspark is not installed.
        EngineUnreachable: The Spark master does not answer.
    """
    if config.engine == "polars":
        return PolarsEngine()
    try:
        from graphguard.tables.spark_engine import SparkEngine
    except ImportError as error:
        feature, extra = "engine 'spark'", "spark"
        raise MissingExtra(feature, extra) from error
    scratch = config.spark.scratch or config.workspace / "scratch"
    return SparkEngine(config.spark, (config.root / scratch).resolve())

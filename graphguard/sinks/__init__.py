"""Where decisions and scores leave: sinks with atomic export, a dry run and rollback."""

from pathlib import Path

from graphguard.config.sections import ExportConfig
from graphguard.sinks.base import Sink
from graphguard.sinks.parquet import ParquetSink


def open_sink(config: ExportConfig, root: Path) -> Sink:
    """Open the sink that one entry of `export` names; nothing is written before an export.

    Args:
        config: The entry.
        root: Folder that a relative `path` starts from: the config file's own.
    """
    return ParquetSink(root / config.path)

"""Take rows out of every version that a Parquet sink holds, those kept for a rollback too."""

import shutil
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import polars as pl

from graphguard.sinks.parquet import ParquetSink, Receipt
from graphguard.tables.files import read_parquet

Change = Callable[[Receipt, dict[str, pl.DataFrame]], Mapping[str, pl.DataFrame] | None]
"""What a version's tables become; None where they stay."""
WAS = "erased_from"
"""Receipt entry: name of the version that this one took the place of."""


def erase_from_sink(sink: ParquetSink, change: Change, erasure: str) -> dict[str, Receipt]:
    """Rewrite the versions that `change` changes, and drop the old ones.

    Each day is committed as an export is: readers see the old partition or the new, and a killed
    erasure goes on where it stopped.

    Args:
        sink: The sink; nothing happens where it was never written to.
        change: Given a receipt and its tables as stored, what they become.
        erasure: Name of the erasure, for the sink's own log.

    Returns:
        Every receipt that took the place of another, by the other's version: also those of
        earlier erasures.

    Raises:
        WorkspaceBusy: Another process exports to this sink.
    """
    if not sink.root.is_dir():
        return {}
    replaced: dict[str, Receipt] = {}
    with sink._writing():
        # What a killed export left is nobody's version.
        shutil.rmtree(sink.root / "_staging", ignore_errors=True)
        for record in sink._records():
            new = _rewritten(sink, record, change)
            if new is not None:
                sink._commit(date.fromisoformat(record["as_of"]), new, "erase", erasure)
        for record in sink._records():
            for receipt in [*record["below"], record["current"]]:
                if receipt and WAS in receipt:
                    replaced[receipt[WAS]] = receipt
        sink._drop_orphans()
    return replaced


def receipts_after(receipts: list[Receipt], replaced: Mapping[str, Receipt]) -> list[Receipt]:
    """Receipts as a run keeps them, each with what took its place."""
    return [replaced.get(one["version"], one) if "version" in one else one for one in receipts]


def _rewritten(
    sink: ParquetSink, record: Mapping[str, Any], change: Change
) -> dict[str, Any] | None:
    held = [*record["below"], *([record["current"]] if record["current"] else [])]
    names: dict[str, str] = {}
    receipts = []
    for receipt in held:
        tables = {name: read_parquet(sink._file(receipt, name)) for name in receipt["tables"]}
        after = change(receipt, tables)
        if after is None:
            new = dict(receipt)
        else:
            day = date.fromisoformat(receipt["as_of"])
            new = sink._write(after, day, receipt["run_id"], older=True)
            new |= {"committed_at": receipt["committed_at"], WAS: receipt["version"]}
            names[receipt["version"]] = new["version"]
        replaces = receipt.get("replaces")
        receipts.append({**new, "replaces": names.get(replaces, replaces) if replaces else None})
    if not names:
        return None
    current = receipts.pop() if record["current"] else None
    return {**record, "current": current, "below": receipts}

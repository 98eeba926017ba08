"""Take the doomed out of the sinks that are folders, and keep the runs' receipts in step."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import polars as pl

from graphguard.config.sections import Config
from graphguard.erase.columns import EntityColumns
from graphguard.erase.doomed import Doomed
from graphguard.erase.rings import rings_without, without_rings
from graphguard.erase.rows import without_doomed
from graphguard.erase.runs import rings_of_run
from graphguard.erase.swap import Rewrite, Rewriter, json_writer
from graphguard.sinks import open_sink
from graphguard.sinks.base import SINK_TABLES
from graphguard.sinks.erase import erase_from_sink, receipts_after
from graphguard.sinks.parquet import ParquetSink, Receipt
from graphguard.tables.files import read_json
from graphguard.tables.workspace import Run, Workspace

EXPORT = "export"


class SinkEraser:
    """Rewrites the sinks of a config for one erasure."""

    def __init__(self, workspace: Workspace, columns: EntityColumns, doomed: Doomed) -> None:
        self._workspace, self._columns, self._doomed = workspace, columns, doomed

    def erase(self, config: Config, erasure: str) -> tuple[dict[str, Receipt], list[str]]:
        """Rewrite every version a sink holds.

        Returns:
            Receipts by the version they took the place of, and the sinks that are no folders and
            were left alone.
        """
        replaced: dict[str, Receipt] = {}
        left = []
        for settings in config.export:
            sink = open_sink(settings, config.root)
            if isinstance(sink, ParquetSink):
                replaced |= erase_from_sink(sink, self._change, erasure)
            else:
                left.append(f"{settings.sink} {settings.path}")
        return replaced, left

    def _change(
        self, receipt: Receipt, tables: dict[str, pl.DataFrame]
    ) -> Mapping[str, pl.DataFrame] | None:
        after = {name: self._without(name, table) for name, table in tables.items()}
        if "rings" in tables and "ring_members" in tables:
            gone = self._doomed.keys.get(self._columns.target, frozenset())
            rings = {"rings": after["rings"], "ring_members": tables["ring_members"]}
            after |= rings_without(rings, gone, 2)
            held = set(after["rings"].get_column("ring_id"))
            for name in ("scores", "decisions"):
                if name in after:
                    used = set(after[name].get_column("ring_id").drop_nulls())
                    after[name] = without_rings(after[name], sorted(used - held))
        if all(after[name].equals(table) for name, table in tables.items()):
            return None
        return self._as_in_the_run(receipt, after)

    def _without(self, name: str, table: pl.DataFrame) -> pl.DataFrame:
        return without_doomed(table, PurePath("sink", name), self._columns, self._doomed)

    def _as_in_the_run(
        self, receipt: Receipt, after: dict[str, pl.DataFrame]
    ) -> Mapping[str, pl.DataFrame]:
        """The run's own tables where they are about the same users: it has the rings' evidence."""
        own = rings_of_run(self._workspace.run(receipt["run_id"]))
        if not after.keys() <= own.keys() or "scores" not in after:
            return after
        mine = own["scores"].select("entity_id", "risk_score").sort("entity_id")
        if not mine.equals(after["scores"].select("entity_id", "risk_score").sort("entity_id")):
            return after
        return {
            name: own[name].select(table.columns).sort(_key(name)) for name, table in after.items()
        }


def renew_receipts(run: Run, replaced: Mapping[str, Receipt], rewriter: Rewriter) -> None:
    """Let a run's receipt name the versions that the sinks hold now."""
    path = run.stage(EXPORT) / "receipt.json"
    if not run.has(EXPORT) or not path.is_file():
        return
    receipt: dict[str, Any] = read_json(path)
    new = {**receipt, "receipts": receipts_after(receipt["receipts"], replaced)}
    if new != receipt:
        rewriter.rewrite(run.stage(EXPORT), Rewrite({path.name: json_writer(new)}))


def _key(name: str) -> list[str]:
    return list(SINK_TABLES[name].key)

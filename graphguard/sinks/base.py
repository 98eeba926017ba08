"""What every sink can do, and the tables that leave through one."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Protocol

import polars as pl

from graphguard.errors import DataError
from graphguard.ring_schema import RING_MEMBERS, RINGS
from graphguard.schema import DECISIONS, SCORES
from graphguard.sinks.difference import SinkDifference
from graphguard.table_schema import TableSchema

INTERNAL = "entity"
"""Storage index of an entity: it means nothing outside its workspace and stays there."""
SINK_TABLES: dict[str, TableSchema] = {
    # Decisions last: who reads one finds the score and the ring it names.
    table.name: table
    for table in (SCORES, RINGS, RING_MEMBERS.without(INTERNAL), DECISIONS)
}


class Sink(Protocol):
    """A place outside the workspace that holds one set of tables for each as_of."""

    def difference(self, tables: Mapping[str, pl.DataFrame], as_of: date) -> SinkDifference:
        """What an export of `tables` would change; writes nothing."""
        ...

    def export(
        self, tables: Mapping[str, pl.DataFrame], as_of: date, run_id: str
    ) -> dict[str, Any]:
        """Replace what the sink holds for `as_of`; returns the receipt."""
        ...

    def rollback(self, run_id: str) -> list[dict[str, Any]]:
        """Restore what stood before the run's export; one entry per day it had exported."""
        ...


class RollbackRefused(DataError):
    """A run's export is not what the sink holds, so there is nothing to take back."""

    def __init__(self, run_id: str, reason: str, *, replaced: bool = False) -> None:
        self.run_id, self.reason, self.replaced = run_id, reason, replaced
        super().__init__(f"cannot roll back run '{run_id}': {reason}")

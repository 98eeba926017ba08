"""The difference between tables to be exported and those a sink holds: the text of a dry run."""

from dataclasses import dataclass
from datetime import date

import polars as pl

from graphguard.table_schema import TableSchema

SHOWN = 5
"""Rows of each kind that the text lists."""
IGNORED = ("run_id",)
"""Columns that may differ without a row counting as changed: a re-run has another name."""


@dataclass(frozen=True)
class TableDifference:
    """Rows of one table by key; frames hold the key columns, sorted."""

    added: pl.DataFrame
    changed: pl.DataFrame
    """Also has `columns`: names of the columns that differ, comma-separated."""
    removed: pl.DataFrame
    same: int

    @property
    def empty(self) -> bool:
        """Whether no row differs."""
        return not (self.added.height or self.changed.height or self.removed.height)


@dataclass(frozen=True)
class SinkDifference:
    """What an export would change."""

    as_of: date
    holds: str | None
    """Run whose export the sink holds for that day; None when it holds nothing."""
    tables: dict[str, TableDifference]

    @property
    def empty(self) -> bool:
        """Whether an export would change no row."""
        return all(one.empty for one in self.tables.values())

    def text(self) -> str:
        """The difference in words: counts per table and the first rows of each kind."""
        holds = "nothing yet" if self.holds is None else f"run {self.holds}"
        lines = [f"dry run: as_of={self.as_of.isoformat()}, the sink holds {holds}"]
        for name, table in self.tables.items():
            lines.append(
                f"  {name}: {table.added.height} added, {table.changed.height} changed, "
                f"{table.removed.height} removed, {table.same} same"
            )
            for sign, rows in (("+", table.added), ("~", table.changed), ("-", table.removed)):
                lines += _shown(sign, rows)
        lines.append("nothing was written")
        return "\n".join(lines) + "\n"


def compare(new: pl.DataFrame, old: pl.DataFrame, schema: TableSchema) -> TableDifference:
    """Compare two tables row by row, matched by the schema's key.

    Args:
        new: Rows to be exported, at most one per key.
        old: Rows the sink holds, at most one per key.
        schema: Names key and columns; columns that are in neither frame are left out.

    Cost: two joins by key.
    """
    key = list(schema.key)
    values = [
        name
        for name in schema.columns
        if name not in key and name not in IGNORED and name in new.columns and name in old.columns
    ]
    both = new.join(old, on=key, how="inner", suffix=" old")
    differs = [
        pl.when(pl.col(name).ne_missing(pl.col(f"{name} old"))).then(pl.lit(name))
        for name in values
    ]
    names = pl.concat_str(differs, separator=", ", ignore_nulls=True) if differs else pl.lit("")
    changed = both.select(*key, names.alias("columns")).filter(pl.col("columns") != "")
    return TableDifference(
        added=new.join(old, on=key, how="anti").select(key).sort(key),
        changed=changed.sort(key),
        removed=old.join(new, on=key, how="anti").select(key).sort(key),
        same=both.height - changed.height,
    )


def _shown(sign: str, rows: pl.DataFrame) -> list[str]:
    lines = []
    for row in rows.head(SHOWN).iter_rows(named=True):
        columns = row.pop("columns", None)
        where = " ".join(str(part) for part in row.values())
        lines.append(f"    {sign} {where}" + (f": {columns}" if columns else ""))
    if rows.height > SHOWN:
        lines.append(f"    {sign} and {rows.height - SHOWN} more")
    return lines

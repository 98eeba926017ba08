"""What the contract of a stored table is, and how a table is held against it."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace

import polars as pl
import pyarrow as pa

from graphguard.errors import ColumnMissing, ColumnTypeWrong

TEXT = pa.string()
INT = pa.int64()
REAL = pa.float64()
REALS = pa.list_(pa.float64())
TEXTS = pa.list_(pa.string())
DAY = pa.date32()
FLAG = pa.bool_()


@dataclass(frozen=True)
class TableSchema:
    """The contract of one table."""

    name: str
    columns: dict[str, pa.DataType]
    key: tuple[str, ...]
    nullable: tuple[str, ...] = ()
    open: bool = False
    """Whether more columns may follow those named, as the config asks for."""
    notes: dict[str, str] = field(default_factory=dict)

    def validate(self, table: pa.Table) -> None:
        """Check columns, types and nulls of `table`.

        Raises:
            ColumnMissing: A column is absent, or one is there that the schema does not know.
            ColumnTypeWrong: A column has another type, or nulls where none may be.
        """
        for column, wanted in self.columns.items():
            if column not in table.column_names:
                raise ColumnMissing(self.name, column, table.column_names)
            found = table.schema.field(column).type
            if found != wanted:
                raise ColumnTypeWrong(self.name, column, str(found), str(wanted))
            if column not in self.nullable and table.column(column).null_count:
                raise ColumnTypeWrong(
                    self.name, column, f"{found} with nulls", f"{wanted} not null"
                )
        extra = [name for name in table.column_names if name not in self.columns]
        if extra and not self.open:
            contract = self.name + " schema"
            raise ColumnMissing(contract, extra[0], list(self.columns))

    def held_by(self, columns: Collection[str]) -> "TableSchema":
        """The contract of a table that an older program wrote: without columns that came later."""
        return replace(self, columns={n: kind for n, kind in self.columns.items() if n in columns})

    def without(self, *columns: str) -> "TableSchema":
        """The contract of a table of which some columns stay behind."""
        kept = {name: kind for name, kind in self.columns.items() if name not in columns}
        return replace(self, columns=kept)

    def completed(self, table: pl.DataFrame) -> pl.DataFrame:
        """The table with nulls in the columns that it lacks: an older program wrote it."""
        return pl.concat([table, self.empty()], how="diagonal_relaxed").select(list(self.columns))

    def empty(self) -> pl.DataFrame:
        """The table without rows."""
        # Of an empty list Arrow would ask pandas, and import it: a quarter of a second.
        arrow = pa.table({name: pa.nulls(0, kind) for name, kind in self.columns.items()})
        return pl.DataFrame(pl.from_arrow(arrow))

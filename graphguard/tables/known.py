"""A table made from foreign rows at one cutoff, and what a later cutoff adds to it.

Rows of an entity table become true one after the other. What an earlier night made of the same
files stands; a later one looks at the rows between the two cutoffs. Why:
docs/decisions/0030-a-night-reads-what-came.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from graphguard.errors import ArtefactInvalid
from graphguard.schema import INTAKE, REJECTS
from graphguard.tables.tombstones import ERASED, erased_rows


@dataclass(frozen=True)
class Known:
    """A table made from foreign rows, and what became of those."""

    table: pl.DataFrame
    counts: pl.DataFrame
    """INTAKE."""
    rejects: pl.DataFrame
    """REJECTS."""
    warnings: list[str] = field(default_factory=list)
    early: int = 0
    """Accepted rows with a time before `limits.earliest`."""
    unborn: int = 0
    """Accepted rows whose birth was left out, since it lies at or after the cutoff."""


@dataclass(frozen=True)
class KnownBefore:
    """What an earlier night knew.

    Attributes:
        known: Its table; no birth was left out of it.
        until_us: Its cutoff.
        source: Where it stands.
    """

    known: Known
    until_us: int
    source: Path


def added(before: KnownBefore, more: Known) -> Known:
    """What two cutoffs make together.

    Args:
        before: Of the earlier cutoff.
        more: Of the rows between the two cutoffs, and `read` and `not_yet` of the whole files.

    Raises:
        ArtefactInvalid: The two do not account for every row of the files, or differ in columns.
    """
    earlier = before.known
    if earlier.table.schema != more.table.schema:
        reason = f"has columns {earlier.table.columns}, not {more.table.columns}"
        raise ArtefactInvalid(before.source, reason)
    sums = ("accepted", "rejected", "identical")
    both = more.counts.join(
        earlier.counts.select("source", "file", *sums),
        on=["source", "file"],
        how="left",
        suffix="_before",
        maintain_order="left",
    ).with_columns(pl.col(name) + pl.col(f"{name}_before") for name in sums)
    counts = both.select(INTAKE.empty().columns)
    told = pl.col("accepted") + pl.col("rejected") + pl.col("not_yet")
    if not counts.select((told == pl.col("read")).fill_null(value=False).all()).item():
        reason = "does not account for the rows of the files that it was made from"
        raise ArtefactInvalid(before.source, reason)
    return Known(
        pl.concat([earlier.table, more.table]),
        counts,
        _rejects(pl.concat([earlier.rejects, more.rejects])),
        early=earlier.early + more.early,
        unborn=more.unborn,
    )


def _rejects(rejects: pl.DataFrame) -> pl.DataFrame:
    """Rejects of two nights; rows of erased users count down from -1 in each file."""
    erased = pl.col("reason") == ERASED
    numbers: Mapping[str, int] = dict(rejects.filter(erased).group_by("file").len().iter_rows())
    again = [erased_rows(file, 0, number) for file, number in sorted(numbers.items())]
    return pl.concat([rejects.filter(~erased), REJECTS.empty(), *again])

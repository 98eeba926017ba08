"""Take the doomed out of the shared partitions, and find the objects that nobody names any more."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.erase.columns import EntityColumns
from graphguard.erase.doomed import Doomed, entity_types
from graphguard.erase.rows import table_change, table_write, unit_change
from graphguard.erase.swap import Rewrite, Rewriter
from graphguard.tables.commit import MANIFEST
from graphguard.tables.files import read_parquet
from graphguard.tables.workspace import Workspace


def partitions(workspace: Workspace, table: str = "**") -> Iterator[Path]:
    """Committed folders of the shared tables whose path begins with `table`, in order."""
    for path in sorted((workspace.root / "store").glob(f"{table}/**/{MANIFEST}")):
        if not any(part.startswith(".") for part in path.relative_to(workspace.root).parts):
            yield path.parent


@dataclass
class Named:
    """Which storage indices some stored row still names, by entity type."""

    seen: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    @classmethod
    def none_of(cls, workspace: Workspace) -> "Named":
        """Nothing is named yet."""
        return cls({
            kind: np.zeros(workspace.ids(kind).frame.height, dtype=np.bool_)
            for kind in entity_types(workspace)
        })  # fmt: skip

    def add(self, frame: pl.DataFrame, columns: dict[str, str]) -> None:
        """Count what the index columns of a table name."""
        for column, kind in columns.items():
            if column in frame.columns and kind in self.seen:
                values = frame.get_column(column).drop_nulls().to_numpy()
                self.seen[kind][values] = True


def erase_events(
    workspace: Workspace, columns: EntityColumns, doomed: Doomed, rewriter: Rewriter
) -> Named:
    """Rewrite the units of events that name the doomed; returns who is named by what stays."""
    named = Named.none_of(workspace)
    for folder in partitions(workspace, "events"):
        place = _place(workspace, folder)
        kinds = columns.indices(place)
        change, kept = unit_change(folder, place, columns, doomed)
        named.add(kept, kinds)
        for path in folder.glob("late.parquet"):
            late = read_parquet(path)
            named.add(late.filter(~doomed.rows(late, kinds, {})), kinds)
        if change is not None:
            rewriter.rewrite(folder, change)
    rewriter.flush()
    for path in sorted(workspace.root.glob("runs/*/ingest/entities/*.parquet")):
        place = path.relative_to(workspace.root)
        kinds = columns.indices(place)
        frame = read_parquet(path, ["entity"])
        named.add(frame.filter(~doomed.rows(frame, kinds, {})), kinds)
    return named


def orphans(workspace: Workspace, named: Named) -> Doomed:
    """Entities that no stored event and no entity row names: nothing would know them anew.

    A device that only an erased user had, a post that nobody else touched.
    """
    keys, indices = {}, {}
    for kind, seen in named.seen.items():
        frame = workspace.ids(kind).frame
        left = frame.filter(~pl.Series(seen).gather(frame.get_column("index")))
        keys[kind] = frozenset(left.get_column("key").drop_nulls())
        indices[kind] = left.get_column("index").to_numpy().astype(np.int64)
    return Doomed(keys, indices)


def erase_derived(
    workspace: Workspace, columns: EntityColumns, doomed: Doomed, rewriter: Rewriter
) -> None:
    """Rewrite all other shared partitions (edges, pairs, features) that name the doomed."""
    for folder in partitions(workspace):
        place = _place(workspace, folder)
        if place.parts[1] == "events":
            continue
        change = Rewrite()
        for path in sorted(folder.glob("*.parquet")):
            found = table_change(path, place / path.name, columns, doomed)
            if found is not None:
                change.writes[path.name] = table_write(found[0], path.stem)
                change.rows += found[1]
                change.facts["rows"] = found[0].height
        if change.writes:
            rewriter.rewrite(folder, change)
    rewriter.flush()


def _place(workspace: Workspace, folder: Path) -> PurePath:
    return folder.relative_to(workspace.root)

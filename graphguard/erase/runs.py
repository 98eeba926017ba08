"""Take the doomed out of past runs: tables, graph, embeddings, rings; models that saw them say so.

A stage is rewritten once all that it needs is at hand: embeddings before the graph, since their
rows are the graph's; the report last, since it is drawn from the other stages.
"""

from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

import polars as pl

from graphguard.erase.columns import EntityColumns
from graphguard.erase.doomed import Doomed
from graphguard.erase.graph import doomed_nodes, embedding_write, graph_writes
from graphguard.erase.rings import WHAT_STANDS, rings_without, sets_without_objects, without_rings
from graphguard.erase.rows import rejects_change, table_change, table_write, without_doomed
from graphguard.erase.swap import Rewrite, Rewriter, Write, json_writer
from graphguard.schema import TABLES
from graphguard.tables.commit import MANIFEST, is_committed, read_manifest
from graphguard.tables.files import read_json, read_parquet, replace_json
from graphguard.tables.workspace import RUN_FILE, Run, Workspace

REPORT = "report"
RINGS = "find_rings"
FIRST = ("embed", RINGS)
"""Stages in this order, then all others by name; `report` is drawn anew by its own code."""
Redraw = Callable[[Run], Mapping[str, Write]]
"""Gives the files of a run's report stage, drawn from what the run holds now."""


class RunEraser:
    """Rewrites the runs of one workspace for one erasure."""

    def __init__(self, columns: EntityColumns, doomed: Doomed, rewriter: Rewriter) -> None:
        self._columns, self._doomed, self._rewriter = columns, doomed, rewriter

    def erase(self, run: Run) -> None:
        """Rewrite every committed stage of a run but its report, and the files beside them."""
        stages = sorted(path.name for path in run.folder.iterdir() if is_committed(path))
        for stage in sorted(stages, key=lambda name: (*_order(name), name)):
            if stage != REPORT:
                change = self._stage(run, stage)
                if change.writes or change.facts:
                    self._rewriter.rewrite(run.stage(stage), change)
                if stage == RINGS:
                    # Scores and decisions are read against the rings that are left.
                    self._rewriter.flush()
        self._rewriter.flush()
        for name in ("config.json", "versions.json"):
            self._blank(run.folder / name)

    def redraw(self, run: Run, redraw: Redraw) -> None:
        """Draw the report anew where the run was touched, and tell the erasure in run.json."""
        erasure = self._rewriter.erasure
        stages = {
            path.name: read_manifest(path) for path in run.folder.iterdir() if is_committed(path)
        }
        touched = any(erasure in facts.get("erasures", {}) for facts in stages.values())
        if REPORT in stages and touched and erasure not in stages[REPORT].get("erasures", {}):
            self._rewriter.rewrite(run.stage(REPORT), Rewrite(dict(redraw(run))))
            self._rewriter.flush()
        path = run.folder / RUN_FILE
        if not path.is_file():
            return
        facts = read_json(path)
        blank = self._doomed.mentions.without(facts)
        new = {**blank, "stages": dict(blank.get("stages", {}))}
        for name in new["stages"].keys() & stages.keys():
            manifest = read_manifest(run.stage(name))
            new["stages"][name] = {key: one for key, one in manifest.items() if key != "files"}
        if new != facts:
            replace_json(path, new)

    def _stage(self, run: Run, stage: str) -> Rewrite:
        folder, change = run.stage(stage), Rewrite()
        manifest = read_manifest(folder)
        if stage == RINGS:
            self._rings(run, change)
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            place = path.relative_to(run.workspace.root)
            if name in change.writes or not path.is_file() or name.startswith("graph/"):
                continue
            if path.suffix == ".parquet":
                self._table(path, place, name, change)
            elif path.suffix == ".json" and path.name != MANIFEST:
                value = read_json(path)
                new = self._doomed.mentions.without(value)
                if new != value:
                    change.writes[name] = json_writer(new)
        if stage in ("score", "decide"):
            self._leave_rings(run, stage, change)
        if (folder / "graph").is_dir():
            gone = doomed_nodes(folder / "graph", self._doomed)
            writes = graph_writes(folder / "graph", gone)
            change.writes |= {f"graph/{name}": write for name, write in writes.items()}
            change.rows += sum(int(mask.sum()) for mask in gone.values())
        self._embeddings(run, folder, change)
        blank = self._doomed.mentions.without(manifest)
        change.facts |= {key: value for key, value in blank.items() if value != manifest[key]}
        if stage == "train" and not change.writes and self._was_seen(run, manifest):
            change.facts["erasures"] = manifest.get("erasures", {})
        return change

    def _table(self, path: Path, place: PurePath, name: str, change: Rewrite) -> None:
        treat = rejects_change if path.name == "rejects.parquet" else table_change
        found = treat(path, place, self._columns, self._doomed)
        if found is not None:
            change.writes[name] = table_write(found[0], path.stem)
            change.rows += found[1]

    def _rings(self, run: Run, change: Rewrite) -> None:
        """The ring tables together: what is left of a ring is described anew."""
        folder = run.stage(RINGS)
        # An older program wrote fewer tables, and fewer columns of these.
        paths = {name: folder / f"{name}.parquet" for name in WHAT_STANDS}
        held = {name: read_parquet(path) for name, path in paths.items() if path.is_file()}
        none = {name: TABLES[name].empty() for name in WHAT_STANDS}
        before = {name: TABLES[name].completed(held.get(name, none[name])) for name in WHAT_STANDS}
        least = int(read_json(run.folder / "config.json")["rings"]["min_members"])
        gone = self._doomed.keys.get(self._columns.target, frozenset())
        after = rings_without(before, gone, least)
        for name in WHAT_STANDS:
            place = PurePath("runs", run.run_id, RINGS, f"{name}.parquet")
            table, rows = after[name], before[name].height - after[name].height
            if name == "ring_acts":
                table = self._without_objects(table)
            if name == "ring_sets":
                table = sets_without_objects(table, self._doomed)
            table = without_doomed(table, place, self._columns, self._doomed)
            if name in held and not table.equals(before[name]):
                columns = held[name].columns
                change.writes[f"{name}.parquet"] = table_write(table.select(columns), name)
                change.rows += rows
        if change.writes:
            change.facts["num_rings"] = change.facts["rows"] = after["rings"].height
            change.facts["members"] = after["ring_members"].height

    def _without_objects(self, acts: pl.DataFrame) -> pl.DataFrame:
        """RING_ACTS on no object that is erased; its column names objects of many types."""
        for kind, keys in sorted(self._doomed.keys.items()):
            erased = pl.col("object").is_in(pl.Series(sorted(keys), dtype=pl.String).implode())
            gone = acts.select((pl.col("object_type") == kind) & erased).to_series()
            acts = acts.filter(~gone) if gone.any() else acts
        return acts

    def _leave_rings(self, run: Run, stage: str, change: Rewrite) -> None:
        """Scores and decisions name no ring that was dissolved."""
        name = {"score": "scores", "decide": "decisions"}[stage]
        path = run.stage(stage) / f"{name}.parquet"
        place = path.relative_to(run.workspace.root)
        if not path.is_file() or not run.has(RINGS):
            return
        frame = read_parquet(path)
        found = table_change(path, place, self._columns, self._doomed)
        table = frame if found is None else found[0]
        held = read_parquet(run.stage(RINGS) / "rings.parquet").get_column("ring_id")
        used = table.get_column("ring_id").drop_nulls().unique()
        left = without_rings(table, sorted(set(used) - set(held)))
        if left is not frame:
            change.writes[path.name] = table_write(left, name)
            change.facts["rows"] = left.height

    def _embeddings(self, run: Run, folder: Path, change: Rewrite) -> None:
        path, graph = folder / "embeddings.npy", run.stage("build_graph") / "graph"
        if path.is_file() and (graph / "meta.json").is_file():
            mask = doomed_nodes(graph, self._doomed).get(self._columns.target)
            write = None if mask is None else embedding_write(path, mask)
            if write is not None:
                change.writes[path.name] = write

    def _was_seen(self, run: Run, manifest: Mapping[str, Any]) -> bool:
        """Whether features that the model learned from held the doomed, and it does not say so."""
        erasure = self._rewriter.erasure
        return erasure not in manifest.get("erasures", {}) and learned_from(run, erasure)

    def _blank(self, path: Path) -> None:
        if path.is_file():
            value = read_json(path)
            new = self._doomed.mentions.without(value)
            if new != value:
                replace_json(path, new)


def learned_from(run: Run, erasure: str) -> bool:
    """Whether a partition of features that a run used was rewritten by an erasure."""
    if not run.has("featurize"):
        return False
    tables = run.manifest("featurize").get("partitions", {})
    folders = [folder for table in tables for folder in run.partitions("featurize", table).values()]
    return any(
        erasure in read_manifest(folder).get("erasures", {})
        for folder in folders
        if is_committed(folder)
    )


def flagged_models(workspace: Workspace, erasure: str) -> list[str]:
    """Runs whose model learned from users since erased, sorted."""
    return sorted(
        path.parent.parent.name
        for path in workspace.root.glob(f"runs/*/train/{MANIFEST}")
        if erasure in read_json(path).get("erasures", {})
    )


def rings_of_run(run: Run) -> dict[str, pl.DataFrame]:
    """The tables of a run that leave the house, as they stand now."""
    places = {
        "decisions": "decide",
        "scores": "score",
        "rings": RINGS,
        "ring_members": RINGS,
    }
    return {
        name: read_parquet(run.stage(stage) / f"{name}.parquet")
        for name, stage in places.items()
        if (run.stage(stage) / f"{name}.parquet").is_file()
    }


def _order(stage: str) -> tuple[int]:
    return (FIRST.index(stage) if stage in FIRST else len(FIRST),)

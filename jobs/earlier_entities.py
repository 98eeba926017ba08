"""Which earlier run's entity tables tonight's can be made from; else they are read whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from graphguard.config.values import day_us
from graphguard.errors import ArtefactInvalid
from graphguard.jobs.context import Facts, Job
from graphguard.schema import ENTITIES
from graphguard.tables.commit import verify
from graphguard.tables.files import BegunParquet, read_parquet, write_parquet
from graphguard.tables.ids import IdStore
from graphguard.tables.intake import Intake, file_name
from graphguard.tables.known import Known, KnownBefore
from graphguard.tables.people import entity_rows, entity_rules, read_entities
from graphguard.tables.sources import DigestCache, find_units
from graphguard.tables.workspace import Run


@dataclass(frozen=True)
class Ahead:
    """What can be read of an entity type while its ids are still given.

    Attributes:
        rules: Fingerprint of all but the cutoff that decides what the table holds.
        path: Where the table goes.
        what: The earlier table, in words.
        before: What that table knows, and the rows of the files since; None where all are read.
        begun: The file of tonight's table, with the rows of the earlier.
    """

    rules: str
    path: Path
    what: str = ""
    before: tuple[KnownBefore, Intake] | None = None
    begun: BegunParquet | None = None


def entities_ahead(job: Job, ids: Mapping[str, IdStore], folder: Path, entity_type: str) -> Ahead:
    """Read what an earlier run knew, and which rows became true since then.

    What it knew is written below `folder` at once: tonight's table begins with it.
    """
    digests = DigestCache(job.workspace.root / "cache" / "digests.json")
    settings = job.config.entities[entity_type]
    found = find_units(entity_type, settings.path, job.config.root, section="entities")
    files = [(file_name(path, job.config.root), digests.digest(path)) for path in found[0].files]
    rules = entity_rules(job.config, entity_type, files)
    path = folder / f"{entity_type}.parquet"
    run = _find_run(job, entity_type, rules, ids[entity_type])
    if run is None:
        return Ahead(rules, path)
    what = f"the table of '{entity_type}' of run {run.run_id}"
    try:
        before = _known_before(run, entity_type, [name for name, _ in files])
    except ArtefactInvalid as error:
        job.reporter.note(f"{what} is not carried on: {error}")
        return Ahead(rules, path)
    rows = entity_rows(job.config, entity_type, job.as_of, before)
    begun = BegunParquet(path, before.known.table, ENTITIES)
    return Ahead(rules, path, what, (before, rows), begun)


@dataclass(frozen=True)
class Tonight:
    """An entity table as of the cutoff.

    Attributes:
        known: The table, and what became of the rows.
        facts: What a later night must know to carry it on.
        path: Where it goes.
        begun: Its file, where the first rows are in it.
    """

    known: Known
    facts: Facts
    path: Path
    begun: BegunParquet | None = None

    def write(self) -> None:
        """Write the table."""
        if self.begun is None:
            write_parquet(self.path, self.known.table, ENTITIES)
        else:
            self.begun.finish(self.known.table.slice(self.begun.rows))


def entities_tonight(job: Job, entity_type: str, ids: IdStore, ahead: Ahead) -> Tonight:
    """Encode an entity table; keys that no log knows get ids."""
    begun, known = ahead.begun, None
    read = partial(read_entities, job.config, entity_type, job.as_of, ids)
    if ahead.before is not None:
        before, rows = ahead.before
        try:
            known = read(rows, before)
            more = known.table.height - before.known.table.height
            job.reporter.note(f"{ahead.what}, and {more:,} new rows")
        except ArtefactInvalid as error:
            job.reporter.note(f"{ahead.what} is not carried on: {error}")
    if known is None:
        if begun is not None:
            begun.close()
        begun = None
        known = read(entity_rows(job.config, entity_type, job.as_of))
    # A birth that was left out may be told later, of a row that is there already.
    whole = {"rules": ahead.rules, "ids": ids.segments(), "early": known.early}
    return Tonight(known, {} if known.unborn else whole, ahead.path, begun)


def _find_run(job: Job, entity_type: str, rules: str, ids: IdStore) -> Run | None:
    """The newest run of this day or before that read the same files by the same rules.

    None from which somebody was erased, and none whose storage indices mean something else, as a
    run's that was brought from another workspace.
    """
    segments = ids.segments()
    for run in job.workspace.runs_with("ingest", job.as_of):
        try:
            manifest = run.manifest("ingest")
        except ArtefactInvalid as error:
            job.reporter.note(f"the tables of run {run.run_id} are passed over: {error}")
            continue
        facts = manifest.get("entities", {}).get(entity_type, {})
        if facts.get("rules") != rules or manifest.get("erasures"):
            continue
        if _begins_with(segments, facts["ids"]):
            return run
    return None


def _begins_with(segments: Sequence[tuple[str, str]], earlier: Sequence[Sequence[str]]) -> bool:
    return [list(one) for one in segments[: len(earlier)]] == [list(one) for one in earlier]


def _known_before(run: Run, entity_type: str, names: Sequence[str]) -> KnownBefore:
    """What a run's ingest knew of the type.

    Raises:
        ArtefactInvalid: It is not what its manifest says, or no longer says which rows are whose.
    """
    folder = run.stage("ingest")
    # What is carried on night after night must be what was written.
    verify(folder)
    manifest: dict[str, Any] = run.manifest("ingest")
    counts, rejects = (
        read_parquet(folder / f"{name}.parquet").filter(pl.col("file").is_in(list(names)))
        for name in ("intake", "rejects")
    )
    if counts.rows() and set(counts.get_column("source")) != {entity_type}:
        raise ArtefactInvalid(folder / "intake.parquet", "counts a file for two sources")
    known = Known(
        read_parquet(folder / "entities" / f"{entity_type}.parquet"),
        counts,
        rejects,
        early=manifest["entities"][entity_type]["early"],
    )
    until = date.fromisoformat(manifest["as_of"])
    return KnownBefore(known, day_us(until), folder)

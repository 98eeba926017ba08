"""Labels and entity tables of a night: read, encoded and written while the logs are.

Reads the files of both, an earlier run's tables, and who acted in stored units; writes
`entities/<type>.parquet`. Why: docs/decisions/0030-a-night-reads-what-came.md.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from graphguard.jobs.context import Facts, Job
from graphguard.jobs.earlier_entities import Tonight, entities_ahead, entities_tonight
from graphguard.tables.acted import Acted, Words
from graphguard.tables.ids import IdStores
from graphguard.tables.known import Known
from graphguard.tables.people import label_rows, labels_of
from graphguard.tables.threads import Started, Threads

Actors = dict[str, tuple[str, list[str]]]
"""Of logs that name the labelled entity type: the type, and the columns that name it."""


class KnownTonight:
    """What is known of the logs' entities: begun before the logs are read, ended after them."""

    def __init__(self, job: Job, out: Path, ids: IdStores, pool: Threads) -> None:
        """Begin to read the files, and to write what an earlier run's tables hold."""
        self._job, self._ids, self._pool = job, ids, pool
        self._types = sorted(job.config.entities)
        self._ahead = pool.start(partial(entities_ahead, job, ids, out / "entities"), self._types)
        self._told = pool.start(partial(label_rows, job.config), [job.as_of])
        self._acted = Acted(job.config.labels.entity)
        self._columns = actors(job)
        self._known = 0
        self._entities: list[Tonight] = []
        self._marked: Started[None] = pool.start(self.mark, [])
        self._written: Started[None] = pool.start(Tonight.write, [])
        self._labels: Started[Known] = pool.start(self._labels_of, [])

    def mark_stored(self, partitions: Mapping[str, Mapping[str, str]]) -> None:
        """Begin to read who acted in stored units, by table and name."""
        units = [
            (log, self._job.workspace.partition(f"events/{log}", *unit))
            for log in self._columns
            for unit in partitions.get(f"events/{log}", {}).items()
        ]
        self._marked = self._pool.start(self.mark, units)

    def mark(self, unit: tuple[str, Path]) -> None:
        """Read who acted in one stored unit of a log."""
        log, folder = unit
        if log in self._columns:
            self._acted.add(folder, self._columns[log][1])

    def take(self, words: Words) -> None:
        """Take in who acted in a unit that was just written."""
        self._acted.take(words)

    def encode(self) -> None:
        """Give ids to entities, once all that logs name have theirs; begin to write the tables."""
        for name, ahead in zip(self._types, self._ahead.results(), strict=True):
            self._entities.append(entities_tonight(self._job, name, self._ids[name], ahead))
        self._written = self._pool.start(Tonight.write, self._entities)
        # Who is in an entity table and in no log has an id, tonight or since an earlier start of
        # this night: both are to say the same of the labels.
        self._known = self._ids[self._job.config.labels.entity].end

    def tell(self) -> None:
        """Begin with the labels, once all units are marked."""
        self._labels = self._pool.start(self._labels_of, [self._known])

    def end(self) -> tuple[Known, list[Known], Facts]:
        """Labels; entities by type, and of each what a later night must know of its table."""
        [labels] = self._labels.results()
        self._written.results()
        facts = dict(zip(self._types, (one.facts for one in self._entities), strict=True))
        return labels, [one.known for one in self._entities], facts

    def _labels_of(self, known: int) -> Known:
        self._marked.results()
        [rows] = self._told.results()
        ids = self._ids[self._job.config.labels.entity]
        return labels_of(self._job.config, rows, ids, self._acted.seen(known))


def actors(job: Job) -> Actors:
    """Which logs name the labelled entity type, and where."""
    entity_type = job.config.labels.entity
    found = {}
    for log in job.config.logs:
        kinds = job.config.entity_columns(log)
        columns = [name for name, kind in kinds.items() if kind == entity_type]
        if columns:
            found[log] = (entity_type, columns)
    return found

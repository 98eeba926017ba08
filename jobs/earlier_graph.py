"""Which earlier run's graph tonight's can be made from, and which days set the two apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from graphguard.config.sections import Config
from graphguard.config.values import DAY_US, day_us
from graphguard.errors import ArtefactInvalid
from graphguard.graph.advance import Change
from graphguard.graph.hetero import EdgeType
from graphguard.jobs.context import Job
from graphguard.jobs.stored_edges import read_edges
from graphguard.tables.commit import is_committed
from graphguard.tables.edges import edge_table
from graphguard.tables.files import fingerprint
from graphguard.tables.workspace import Run

MOST_COMPARED = 4
"""Runs that fit, of which the nearest is taken."""
FORMAT = 1
"""Raised when graphs of an older program may no longer be carried on."""

Partitions = dict[str, dict[str, str]]
"""Fingerprint of every day, by table and name of the day."""


@dataclass(frozen=True)
class Earlier:
    """A run whose graph is carried on.

    Attributes:
        run: The run.
        left: Days that left, by edge type: name of the day, and its folder.
        came: Days that came.
        changed: How many these are.
    """

    run: Run
    left: Mapping[EdgeType, Mapping[str, Path]]
    came: Mapping[EdgeType, Mapping[str, Path]]
    changed: int

    def changes(self) -> dict[EdgeType, Change]:
        """Read the edges of the days that left and came."""
        left, came = (
            read_edges({name: list(days.values()) for name, days in part.items()})
            for part in (self.left, self.came)
        )
        return {
            name: Change(left[name], [_span(day) for day in self.left[name]], came[name])
            for name in self.left
        }


def graph_rules(config: Config) -> str:
    """Fingerprint of what decides which edges and nodes a graph has, given its days."""
    training = config.training
    facts = {
        "format": FORMAT,
        "hubs": config.graph.hubs,
        "seed": training.seed,
        # Then entities without an edge are nodes too, and there is one night.
        "static": training.static,
    }
    return fingerprint(facts)


def find_earlier(job: Job, partitions: Partitions) -> Earlier | None:
    """Of the newest runs of this day or before, the one whose graph differs by fewest days.

    None where there is none: most days must stay, and those that left be stored still; and nobody
    was erased from it, since who stays in a capped hub may then differ from what its days give.
    """
    if job.config.training.static:
        return None
    rules = graph_rules(job.config)
    found: list[Earlier] = []
    for run in job.workspace.runs_with("build_graph", job.as_of):
        try:
            manifest = run.manifest("build_graph")
        except ArtefactInvalid as error:
            job.reporter.note(f"the graph of run {run.run_id} is passed over: {error}")
            continue
        if manifest.get("graph_rules") != rules or manifest.get("erasures"):
            continue
        one = _compared(job, run, manifest["partitions"], partitions)
        if one is not None:
            found.append(one)
        if len(found) == MOST_COMPARED:
            break
    return min(found, key=lambda one: one.changed, default=None)


def _compared(job: Job, run: Run, before: Partitions, now: Partitions) -> Earlier | None:
    if set(before) != set(now):
        return None
    left, came, changed, stay = {}, {}, 0, 0
    for edge in job.config.graph.edges:
        table = edge_table(edge)
        old, new = before[table], now[table]
        same = {day for day in old if new.get(day) == old[day]}
        # Rows that came late change an earlier day; with it all days behind it come anew.
        first = min(set(new) - same, default="")
        same = {day for day in same if not first or day < first}
        gone, here = sorted(set(old) - same), sorted(set(new) - same)
        changed, stay = changed + len(gone) + len(here), stay + len(same)
        left[edge.name] = {day: job.workspace.partition(table, day, old[day]) for day in gone}
        came[edge.name] = {day: job.workspace.partition(table, day, new[day]) for day in here}
    stored = all(is_committed(folder) for part in left.values() for folder in part.values())
    return Earlier(run, left, came, changed) if stored and changed <= stay else None


def _span(name: str) -> tuple[int, int]:
    start = day_us(date.fromisoformat(name.removeprefix("dt=")))
    return start, start + DAY_US

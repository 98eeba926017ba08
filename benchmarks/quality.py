"""How well does each model family rank on every real set, and what does the graph add?

Each set runs through the stages of a night (`configs/bench/<set>.yaml`); its protocol deals the
rows; every family is fitted and judged on the same splits. A cell (set, protocol, family, split) is
appended to a file as it ends, and a start skips the cells that are there, so a table can be made
in pieces. Without any argument: the families of QUICK on the first two splits of the small sets,
and no cell is started after QUICK_MINUTES.

The data's folder is named by GRAPHGUARD_DATA (default: shared/data beside the project).
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from result import print_result, say, work_folder
from sets.cells import FAMILIES, OWN, CellName, CellStore, cell_mark, run_cell, task_mark
from sets.registry import every_protocol
from sets.report import result_line, table
from sets.stages import DataAbsent
from sets.task import Protocol, Task

QUICK = (OWN, "trees", "propagated", "sage")
QUICK_SETS = ("tolokers", "amazon", "youtube")
"""Sets whose cells take seconds: with no arguments a run ends inside ten minutes."""
QUICK_MINUTES = 8.0
QUICK_SPLITS = 2
ALL = "all"


@dataclass(frozen=True)
class Wanted:
    """What to run."""

    protocols: Sequence[Protocol]
    families: Sequence[str]
    splits: Sequence[str] | None
    """Names of splits; None for the first two of each protocol."""
    minutes: float | None

    def of(self, task: Task) -> list[int]:
        """Positions of the task's splits that are wanted."""
        every = range(len(task.splits))
        if self.splits is None:
            return list(every)[:QUICK_SPLITS]
        if ALL in self.splits:
            return list(every)
        return [place for place in every if task.splits[place].name in self.splits]


def main() -> int:
    """Run the cells that are not there yet, print the table, end with the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    every = every_protocol()
    sets = list(dict.fromkeys(one.set for one in every))
    names = [one.name for one in every]
    parser.add_argument("--set", "--sets", nargs="+", choices=sets, dest="sets")
    parser.add_argument("--protocol", nargs="+", choices=names, default=names)
    parser.add_argument("--family", nargs="+", choices=(*FAMILIES, ALL), default=None)
    parser.add_argument("--split", nargs="+", help="names of splits, or 'all'; default: first two")
    parser.add_argument("--minutes", type=float, help="start no cell after so many minutes")
    parser.add_argument("--anew", action="store_true", help="make the chosen cells again")
    options = parser.parse_args()
    if len(sys.argv) == 1:
        options.sets, options.minutes = list(QUICK_SETS), QUICK_MINUTES
    wanted_sets = options.sets or sets
    chosen = [one for one in every if one.set in wanted_sets and one.name in options.protocol]
    families = options.family or [name for name in QUICK if name in FAMILIES]
    if ALL in families:
        families = list(FAMILIES)
    wanted = Wanted(chosen, families, options.split, options.minutes)
    store = CellStore(work_folder("quality"))
    if options.anew:
        about = [cell.name for cell in store.cells() if _is_wanted(cell.name, wanted)]
        store.forget(about)
    try:
        left, marks = run(wanted, store)
    except DataAbsent as absent:
        say(str(absent))
        return 99
    if left:
        say(f"{left} cells are left for the next start: the time was up")
    # A cell of an earlier program's features is no part of this table.
    cells = [cell for cell in store.cells() if marks.get(cell.name) == cell.mark]
    table(wanted.protocols, cells, store)
    print_result(result_line(wanted.protocols, cells))
    return 0


def run(wanted: Wanted, store: CellStore) -> tuple[int, dict[CellName, str]]:
    """Make the wanted cells that are not there yet.

    Returns:
        How many were left for lack of time, and the mark that every cell of the chosen families
        has or would have, other splits too.
    """
    start, left = time.monotonic(), 0
    marks: dict[CellName, str] = {}
    for protocol in wanted.protocols:
        task = protocol.load()
        rows_mark = task_mark(task)
        chosen = wanted.of(task)
        for place, split in enumerate(task.splits):
            for family in wanted.families:
                name = (protocol.set, protocol.name, family, split.name)
                marks[name] = cell_mark(task, rows_mark, split, family)
                if place not in chosen or store.holds(name, marks[name]):
                    continue
                if wanted.minutes and time.monotonic() - start > 60 * wanted.minutes:
                    left += 1
                    continue
                cell, score = run_cell(task, split, name, marks[name])
                store.add(cell, score)
                shown = ", ".join(f"{key} {cell.figures[key]:.2f}" for key in protocol.figures)
                say(f"{' '.join(name)}: {shown} ({cell.seconds:.0f} s)")
    return left, marks


def _is_wanted(name: CellName, wanted: Wanted) -> bool:
    of, protocol, family, split = name
    known = any(one.set == of and one.name == protocol for one in wanted.protocols)
    named = wanted.splits is None or ALL in wanted.splits or split in wanted.splits
    return known and family in wanted.families and named


if __name__ == "__main__":
    sys.exit(main())

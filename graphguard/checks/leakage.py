"""Prove that nothing at or after the cutoff is seen: two runs that differ in nothing before it."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from graphguard.checks.compare import Comparison, compare_runs
from graphguard.checks.mirror import mirror, rewritten
from graphguard.config.sections import Config
from graphguard.errors import DataError
from graphguard.tables.tombstones import Tombstones
from graphguard.tables.workspace import Run

LEAST_LATER_SHARE = 0.01
"""With fewer rows after the cutoff than this, finding no difference says nothing."""

RunNight = Callable[[Config], Run]


class CheckFailed(DataError):
    """A promise does not hold."""

    def __init__(self, check: str, differences: list[str]) -> None:
        self.check, self.differences = check, differences
        shown = "\n  ".join(differences[:10])
        more = f"\n  and {len(differences) - 10} more" if len(differences) > 10 else ""
        super().__init__(f"{check} failed, {len(differences)} differences:\n  {shown}{more}")


class CheckVacuous(DataError):
    """A check could not have failed on this input."""

    def __init__(self, later_rows: int, rows: int) -> None:
        self.later_rows, self.rows = later_rows, rows
        super().__init__(
            f"check leakage is vacuous: {later_rows} of {rows} rows lie after the cutoff, at least "
            f"{LEAST_LATER_SHARE:.0%} are needed; choose an earlier --as-of"
        )


@dataclass(frozen=True)
class LeakageProof:
    """A leakage check that held."""

    comparison: Comparison
    rows: int
    later_rows: int
    uncovered: tuple[str, ...]

    def __str__(self) -> str:
        text = (
            f"no leak: {self.later_rows} of {self.rows} rows lie after the cutoff and were "
            f"rewritten; {self.comparison.tables} tables ({self.comparison.rows} rows) and "
            f"{self.comparison.files} files are the same bit for bit"
        )
        if self.uncovered:
            text += f"; not covered, for they have no time: {', '.join(self.uncovered)}"
        return text


def check_leakage(config: Config, as_of: date, run_night: RunNight) -> LeakageProof:
    """Run a night on the inputs and on their rewritten twin, and compare every bit.

    Raises:
        CheckVacuous: Too few rows lie after the cutoff.
        CheckFailed: Something differs.
    """
    folder = Path(tempfile.mkdtemp(prefix="graphguard-leakage-"))
    try:
        first = mirror(config, as_of, folder / "first")
        if first.later_rows < LEAST_LATER_SHARE * first.rows:
            raise CheckVacuous(first.later_rows, first.rows)
        second = mirror(config, as_of, folder / "second", rewritten)
        for one in (first, second):
            Tombstones(config.workspace_folder).copy_to(one.config.workspace_folder)
        runs = [run_night(one.config) for one in (first, second)]
        comparison = compare_runs(runs[0], runs[1], config)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if comparison.differences:
        check = "check leakage"
        raise CheckFailed(check, comparison.differences)
    return LeakageProof(comparison, first.rows, first.later_rows, first.uncovered)

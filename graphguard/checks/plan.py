"""What a night will need, from the footers of its files alone: rows, memory, time; and if it fits.

Coefficients are those of `benchmarks/nightly.py` on two cores, rounded up; `benchmarks/README.md`
has the table they come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from rich.console import Group
from rich.table import Table
from rich.text import Text

from graphguard.config.anchors import calendar_anchors, check_history
from graphguard.config.sections import Config
from graphguard.errors import ConfigError, TooLittleHistory
from graphguard.tables.guard import FileLimits, Guard
from graphguard.tables.sources import find_units
from graphguard.tables.units import log_contract

SECONDS_PER_MILLION = {
    "ingest": 0.3,
    "build_graph": 0.3,
    "link": 22.0,
    "featurize": 26.0,
    "train": 42.0,
    "embed": 10.0,
    "find_rings": 85.0,
    "score and decide": 46.0,
}
"""Seconds per million events read by a stage; training with both models."""
PER_ANCHOR = ("link", "featurize")
"""Stages that read a window per anchor that is not stored yet."""
PER_LOG = {"ingest": 0.1, "build_graph": 0.4}
"""Stages that read each row once, and on later nights those of a day; besides, each night, such a
share of the whole: tables that are read every night, and the sorting of all daily edges."""
PER_RUN = ("train",)
"""Stages that read the rows of all anchors every night; the others read those of the cutoff."""
BYTES_PER_EVENT = 900.0
"""Peak memory per event of the span: features of all anchors, graph and one stage's arrays."""
BASE_BYTES = 700e6


class DoesNotFit(ConfigError):
    """A night needs more than the config allows."""

    def __init__(self, reasons: list[str]) -> None:
        self.reasons = reasons
        super().__init__(f"this night does not fit: {'; '.join(reasons)}")


@dataclass(frozen=True)
class LogPlan:
    """One log: its files, rows and days."""

    name: str
    files: int
    rows: int
    bytes: int
    first: date | None
    last: date | None


@dataclass(frozen=True)
class Plan:
    """What to expect of the first night and of an ordinary one."""

    logs: tuple[LogPlan, ...]
    anchors: int
    span_days: int
    seconds: dict[str, tuple[float, float]]
    """By stage: a first night, with all anchors, and an ordinary one."""
    memory_gb: float
    limit_gb: float
    reasons: tuple[str, ...]
    """Why it does not fit; empty where it does."""

    @property
    def fits(self) -> bool:
        """Whether the night may run."""
        return not self.reasons

    def require_fit(self) -> None:
        """Raise `DoesNotFit` unless the night fits."""
        if self.reasons:
            raise DoesNotFit(list(self.reasons))

    def render(self) -> Group:
        """Tables for a terminal."""
        logs = Table("log", "files", "rows", "MB", "first day", "last day")
        for one in self.logs:
            days = [str(day) if day else "-" for day in (one.first, one.last)]
            size = f"{one.bytes / 1e6:,.1f}" if one.bytes >= 1e5 else "< 0.1"
            logs.add_row(one.name, f"{one.files:,}", f"{one.rows:,}", size, *days)
        stages = Table("stage", "first night, s", "ordinary night, s")
        for stage, (first, later) in self.seconds.items():
            stages.add_row(stage, f"{first:,.0f}", f"{later:,.0f}")
        totals = [sum(part) for part in zip(*self.seconds.values(), strict=True)]
        stages.add_row("all", f"{totals[0]:,.0f}", f"{totals[1]:,.0f}", style="bold")
        text = (
            f"{self.anchors} anchors over {self.span_days} days; about {self.memory_gb:.1f} GB of "
            f"memory, {self.limit_gb:.1f} GB allowed"
        )
        return Group(logs, stages, Text(text))


def plan(config: Config) -> Plan:
    """Plan a night without reading a row.

    Raises:
        InputMissing: A log has no file.
        FileUnreadable: A file has no readable footer.
        FileBeyondLimit: A file declares more than `limits` allows.
        BadSetting: The config names no cutoff.
    """
    as_of = config.as_of or date.max
    if config.training.calendar and config.as_of is not None:
        anchors = calendar_anchors(config, config.as_of)
        first_day, number = anchors.first_day, len(anchors.all())
        span = (config.as_of - first_day).days
    else:
        first_day, number, span = date.min, 1, 0
    logs = tuple(_log(config, name, (first_day, as_of)) for name in sorted(config.logs))
    rows = sum(one.rows for one in logs)
    days = span or max(1, max((one.files for one in logs), default=1))
    window = min(rows, rows * config.graph.window.days / days) if span else rows
    seconds = {}
    for stage, cost in SECONDS_PER_MILLION.items():
        if stage in PER_ANCHOR:
            first, later = window * number, window
        elif stage in PER_LOG:
            first, later = float(rows), rows * max(1 / days, PER_LOG[stage])
        else:
            first = later = window * (number if stage in PER_RUN else 1)
        seconds[stage] = (cost * first / 1e6 + 0.5, cost * later / 1e6 + 0.5)
    memory = (BASE_BYTES + BYTES_PER_EVENT * rows) / 1e9
    limit = config.limits.memory_gb
    reasons = _short_of_history(config, logs)
    if memory > limit:
        reasons.append(
            f"about {memory:.1f} GB of memory are needed and limits.memory_gb is {limit:.1f}: "
            f"lower training.anchors or graph.window, or raise the limit on a larger machine"
        )
    return Plan(logs, number, span, seconds, memory, limit, tuple(reasons))


def _short_of_history(config: Config, logs: Sequence[LogPlan]) -> list[str]:
    """Why the logs' days are too few to train; without reading a row only dated logs tell."""
    as_of = config.as_of
    dated = all(log.dated for log in config.logs.values())
    if as_of is None or not config.training.calendar or not dated:
        return []
    anchors = calendar_anchors(config, as_of)
    days = [one.first for one in logs if one.first is not None]
    if not days:
        found = f"no log has a day from {anchors.first_day} to {as_of - timedelta(days=1)}"
        return [f"{found}: deliver them, or give another as_of"]
    try:
        check_history(anchors, min(days), as_of)
    except TooLittleHistory as error:
        return [str(error)]
    return []


def _log(config: Config, name: str, span: tuple[date, date]) -> LogPlan:
    units = find_units(name, config.logs[name].path, config.root)
    used = [unit for unit in units if unit.day is None or span[0] <= unit.day < span[1]]
    files = [path for unit in used for path in unit.files]
    # Footers alone, opened in a process of their own and held against `limits`.
    columns = log_contract(config, name).columns
    with Guard(FileLimits.of(config.limits)) as guard:
        rows = sum(guard.prove(path, columns, decode=False).rows for path in files)
    days = sorted(unit.day for unit in used if unit.day is not None)
    size = sum(path.stat().st_size for path in files)
    ends = (days[0], days[-1]) if days else (None, None)
    return LogPlan(name, len(files), rows, size, *ends)

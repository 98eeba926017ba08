"""What every stage is given: the config, its run, the night before, and where to tell progress."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

from graphguard.config.sections import Config
from graphguard.tables.engine import Engine, PolarsEngine
from graphguard.tables.workspace import Run, Workspace

Facts = dict[str, Any]
"""What a stage leaves in its manifest; `rows`, `partitions` and `gates` have a meaning."""


class Reporter(Protocol):
    """Where a night tells how far it is."""

    def stage(self, name: str, number: int, total: int) -> None:
        """A stage begins."""

    def step(self, done: int, total: int, what: str) -> None:
        """Part of a stage is done."""

    def note(self, text: str, **facts: object) -> None:
        """Something worth a line."""


class Silent:
    """Tells nobody."""

    def stage(self, name: str, number: int, total: int) -> None:
        """Say nothing."""

    def step(self, done: int, total: int, what: str) -> None:
        """Say nothing."""

    def note(self, text: str, **facts: object) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Job:
    """One night."""

    config: Config
    as_of: date
    run: Run
    previous: Run | None = None
    """Newest committed run with a smaller as_of."""
    reporter: Reporter = field(default_factory=Silent)
    engine: Engine = field(default_factory=PolarsEngine)
    """Runs the relational steps."""
    beside: bool = False
    """Whether other processes of the same back-fill make shared partitions at the same time."""

    def claim(self, name: str) -> AbstractContextManager[None]:
        """Hold what is named against other processes of the same back-fill; else do nothing."""
        return self.workspace.claimed(name) if self.beside else nullcontext()

    @property
    def workspace(self) -> Workspace:
        """The workspace of the run."""
        return self.run.workspace

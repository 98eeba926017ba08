"""Prove that the rows a model learns from saw nothing at or after their own anchor.

`check leakage` rewrites what lies after the cutoff of a run. A row of a past anchor could still see
what lies between its anchor and that cutoff: silence after a ban, the ban itself. So a second run
ends at the past anchor, knows nothing later, and must make the same rows.
"""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from graphguard.checks.compare import Comparison, compare_frames
from graphguard.checks.leakage import CheckFailed
from graphguard.config.anchors import calendar_anchors
from graphguard.config.sections import Config
from graphguard.config.values import day_us
from graphguard.errors import DataError
from graphguard.tables.files import read_parquet
from graphguard.tables.tombstones import Tombstones
from graphguard.tables.workspace import Run

RunNight = Callable[[Config], Run]
FEWEST_ANCHORS = 3
"""The run that ends at the anchor makes no model; it needs as little log as there can be."""


class AnchorVacuous(DataError):
    """The check had no row of a past anchor to compare."""

    def __init__(self, anchor: date) -> None:
        self.anchor = anchor
        super().__init__(
            f"check anchors is vacuous: no row has its anchor at or before {anchor}; choose a "
            f"later --as-of"
        )


@dataclass(frozen=True)
class AnchorProof:
    """An anchor check that held."""

    comparison: Comparison
    anchor: date

    def __str__(self) -> str:
        return (
            f"no look ahead: {self.comparison.rows} rows of {self.comparison.tables} tables at "
            f"{self.anchor} are those of a run that ended there"
        )


def check_anchors(config: Config, as_of: date, run_night: RunNight) -> AnchorProof:
    """Compare the newest mature anchor's rows with those of a run whose cutoff it is.

    Args:
        config: The config.
        as_of: Cutoff of the first run.
        run_night: Runs a night up to its features.

    Raises:
        CheckFailed: A row differs.
        AnchorVacuous: There is no row to compare.
        TooLittleHistory: The log does not reach back far enough from the anchor.

    Cost: two nights without models.
    """
    anchor = calendar_anchors(config, as_of).calibrate
    if config.training.static:
        raise AnchorVacuous(anchor)
    folder = Path(tempfile.mkdtemp(prefix="graphguard-anchors-"))
    try:
        later = run_night(_in(config, folder / "later", as_of))
        then = run_night(_in(_short(config), folder / "then", anchor))
        comparison = _compare(config, anchor, (later, then))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if comparison.differences:
        check = "check anchors"
        raise CheckFailed(check, comparison.differences)
    if not comparison.rows:
        raise AnchorVacuous(anchor)
    return AnchorProof(comparison, anchor)


def _compare(config: Config, anchor: date, runs: tuple[Run, Run]) -> Comparison:
    """Features by key, and with calendar anchors pairs too."""
    found = Comparison()
    target = config.training.target
    stages = ((f"features/{target}", "featurize"), ("groups", "featurize"), ("pairs", "link"))
    for table, stage in stages:
        name = f"anchor={anchor.isoformat()}"
        if config.training.event is not None:
            name = f"anchor=event{config.training.event}"
        folders = [run.partitions(stage, table).get(name) for run in runs]
        if folders[0] is None or folders[1] is None:
            continue
        frames = []
        for run, folder in zip(runs, folders, strict=True):
            if folder is not None:
                frames.append(_by_key(run, folder / f"{table.split('/')[0]}.parquet", target))
        seen = [_until(frame, day_us(anchor)) for frame in frames]
        compare_frames(seen[0], seen[1], f"{table}/{name}", found)
    return found


def _by_key(run: Run, path: Path, target: str) -> pl.DataFrame:
    """A stored table with keys in the place of storage indices."""
    frame = read_parquet(path)
    ids = run.workspace.ids(target)
    for column in ("entity", "user_a", "user_b"):
        if column in frame.columns:
            named = ids.decode(frame.select(column), column, "__key").get_column("__key")
            frame = frame.with_columns(named.alias(column))
    return frame


def _until(frame: pl.DataFrame, last_us: int) -> pl.DataFrame:
    if "anchor_us" not in frame.columns:
        return frame
    return frame.filter(pl.col("anchor_us") <= last_us)


def _short(config: Config) -> Config:
    training = config.training.model_copy(update={"anchors": FEWEST_ANCHORS})
    return config.model_copy(update={"training": training})


def _in(config: Config, workspace: Path, as_of: date) -> Config:
    Tombstones(config.workspace_folder).copy_to(workspace)
    return config.model_copy(update={"workspace": workspace, "export": (), "as_of": as_of})

"""The control with dealt futures: a model may not foresee what was dealt to a user by lot.

From a past anchor on, every user's whole future (acts and decisions) is given to another user,
drawn by lot. Models then learn as always from earlier anchors, and rank that anchor's users. Who
will be enforced is now chance, so an AUROC away from one half says that a row has seen beyond its
anchor: features, edges that a network samples, or labels. It complements `check anchors`, which
compares tables and cannot look into a network.
"""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from graphguard.checks.leakage import CheckFailed
from graphguard.checks.mirror import Change, Source, mirror, sources
from graphguard.config.anchors import calendar_anchors
from graphguard.config.sections import Config
from graphguard.evaluate.metrics import auroc
from graphguard.tables.files import read_foreign_parquet, read_parquet
from graphguard.tables.sources import find_units
from graphguard.tables.tombstones import Tombstones
from graphguard.tables.workspace import Run

RunNight = Callable[[Config], Run]
TOLERANCE = 0.02
"""Distance of the AUROC from one half that is let pass however many positives there are."""
ERRORS = 3.0
"""Standard errors that chance is allowed where there are few positives."""


@dataclass(frozen=True)
class FutureProof:
    """A control that held.

    Attributes:
        auroc: Mean over the deals by model.
        allowed: Distance from one half that was allowed.
        deals: Number of deals.
        positives: Positive rows of all deals.
        anchor: The anchor from which futures were dealt.
    """

    auroc: dict[str, float]
    allowed: float
    deals: int
    positives: int
    anchor: date

    def __str__(self) -> str:
        told = ", ".join(f"{name} {value:.3f}" for name, value in self.auroc.items())
        return (
            f"no foresight: with the futures from {self.anchor} on dealt by lot, AUROC is {told} "
            f"({self.deals} deals, {self.positives} positives; 0.5 give or take "
            f"{self.allowed:.3f} is chance)"
        )


def check_future(config: Config, as_of: date, deals: int, run_night: RunNight) -> FutureProof:
    """Deal the futures of the newest mature anchor, train, and look whether they are foreseen.

    Args:
        config: The config; its models are judged.
        as_of: The cutoff.
        deals: How often the futures are dealt anew; more make a sharper answer.
        run_night: Runs a night up to its models.

    Raises:
        CheckFailed: A model ranks the dealt labels better or worse than chance does.

    Cost: `deals` nights up to the models.
    """
    anchor = calendar_anchors(config, as_of).calibrate
    found: dict[str, list[tuple[float, int, int]]] = {}
    for number in range(deals):
        folder = Path(tempfile.mkdtemp(prefix="graphguard-future-"))
        try:
            inputs = mirror(config, anchor, folder, dealt(config, number)).config
            Tombstones(config.workspace_folder).copy_to(inputs.workspace_folder)
            for name, judged in _judged(run_night(inputs)).items():
                found.setdefault(name, []).append(judged)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    means = {name: float(np.mean([one[0] for one in every])) for name, every in found.items()}
    counts = next(iter(found.values()))
    # Variance of the AUROC of scores that tell nothing: Hanley and McNeil 1982 at one half.
    variance = sum((pos + neg + 1) / (12 * pos * neg) for _, pos, neg in counts) / deals**2
    allowed = max(TOLERANCE, ERRORS * float(np.sqrt(variance)))
    failed = [
        f"model '{name}' ranks futures that were dealt by lot at AUROC {value:.3f}: its rows of "
        f"{anchor} saw beyond {anchor}"
        for name, value in means.items()
        if abs(value - 0.5) > allowed
    ]
    if failed:
        check = "check future"
        raise CheckFailed(check, failed)
    return FutureProof(means, allowed, deals, sum(pos for _, pos, _ in counts), anchor)


def dealt(config: Config, seed: int) -> Change:
    """The change that gives each user's later rows to another user, all of them to the same one."""
    keys = _people(config)
    order = np.random.default_rng(seed).permutation(len(keys))
    names = pl.DataFrame({"__from": keys, "__to": keys.gather(order)})

    def change(rows: pl.DataFrame, source: Source, _: tuple[int, int]) -> pl.DataFrame:
        columns = rows.columns
        for column in source.people:
            kind = rows.schema[column]
            asked = rows.select(pl.col(column).cast(pl.String).alias("__from"))
            new = asked.join(names, on="__from", how="left", maintain_order="left")
            rows = rows.with_columns(new.get_column("__to").cast(kind).alias(column))
        return rows.select(columns)

    return change


def _people(config: Config) -> pl.Series:
    """Every key of the training target in any input, sorted."""
    found: list[pl.Series] = []
    for source in sources(config):
        for unit in find_units(source.name, source.pattern, config.root):
            for path in unit.files if source.people else ():
                frame = pl.DataFrame(pl.from_arrow(read_foreign_parquet(path, list(source.people))))
                found += [frame.get_column(one).cast(pl.String) for one in source.people]
    return pl.concat([one.unique().alias("key") for one in found]).drop_nulls().unique().sort()


def _judged(run: Run) -> dict[str, tuple[float, int, int]]:
    """AUROC, positives and negatives of each model on the newest anchor."""
    table = read_parquet(run.file("train", "evaluation.parquet"))
    newest = table.filter(pl.col("slice") != "select")
    judged = {}
    for (name,), rows in newest.group_by("model", maintain_order=True):
        label = rows.get_column("label").to_numpy().astype(np.int8)
        value = auroc(rows.get_column("raw").to_numpy(), label)
        judged[str(name)] = (value, int(label.sum()), int((label == 0).sum()))
    return judged

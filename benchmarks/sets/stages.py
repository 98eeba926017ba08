"""Features and graph of a set: the stages of a night, by its config in `configs/bench/`."""

import os
import shutil
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from result import TOP, work_folder
from sets.task import Flags, Places

import graphguard
from graphguard import features, jobs
from graphguard.config.load import load_config
from graphguard.config.sections import Config
from graphguard.features.catalogue import column_catalogue
from graphguard.features.values import DEVIATION_COLUMNS
from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.nightly import Night, run_night
from graphguard.models.base import MODELS, GraphContext, Rows
from graphguard.models.dataset import make_dataset
from graphguard.tables.events import read_features

OWN_THEMES = frozenset({"activity", "timing", "values", "content"})
"""Themes that look at an entity's own acts; the others look at who else is around."""
BY_OTHERS = frozenset(
    {
        *(feature.__name__ for feature in DEVIATION_COLUMNS),
        "mean_category_rarity",
        "last_category_rarity",
        "attribute_rarity",
        "births_within_hour",
        "foreign_copy_share",
        "mean_log_copies",
    }
)
"""Columns of those themes that hold the entity against others all the same."""


class DataAbsent(Exception):
    """The folder of the real data lacks a set."""


@dataclass(frozen=True)
class Stored:
    """What a night up to its features left: rows in order of key, without labels."""

    config: Config
    graph: HeteroGraph
    keys: pl.Series
    rows: Rows

    @property
    def context(self) -> GraphContext:
        """The graph as models see it."""
        window, training = self.config.graph.window.us, self.config.training
        # Folds and masks have no time: a training label may be seen by any other row.
        return GraphContext(self.graph, training.target, window, self.rows, static=training.static)

    @property
    def own(self) -> Flags:
        """Columns about the entity alone."""
        mine = {one.name for one in column_catalogue(self.config) if one.theme in OWN_THEMES}
        alone = {name for name in mine if name.rpartition(".")[2] not in BY_OTHERS}
        return np.array([name in alone for name in self.rows.names])

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """Settings of each model family that the config has a section for."""
        training = self.config.training
        return {
            name: {**getattr(training, name).model_dump(), "seed": training.seed}
            for name in MODELS
            if hasattr(training, name)
        }

    def places(self, keys: pl.Series) -> Places:
        """Position of each key's row; -1 where it has none."""
        order = pl.DataFrame({"key": self.keys}).with_row_index("place")
        wanted = pl.DataFrame({"key": keys.cast(pl.String)})
        found = wanted.join(order, on="key", how="left", maintain_order="left")
        return found.get_column("place").cast(pl.Int64).fill_null(-1).to_numpy()


def data_folder(name: str) -> Path:
    """Folder of a set's raw files.

    Raises:
        DataAbsent: It is not there.
    """
    os.environ.setdefault("GRAPHGUARD_DATA", str(TOP.parent / "shared" / "data"))
    folder = Path(os.environ["GRAPHGUARD_DATA"]) / name
    if not folder.is_dir():
        message = f"{folder}: no such folder; set GRAPHGUARD_DATA to the folder of the real data"
        raise DataAbsent(message)
    return folder


def prepared(name: str) -> Path:
    """Folder for a set's files in a form that can be ingested, where the raw ones have none."""
    folder = work_folder("prepared") / name
    os.environ["GRAPHGUARD_BENCH"] = str(folder.parents[1])
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def featurized(name: str) -> Stored:
    """Run the stages of a night up to the features, or take what an earlier start left."""
    prepared(name)
    config = load_config(TOP / "configs" / "bench" / f"{name}.yaml")
    config = config.model_copy(update={"workspace": _workspace(config.workspace.name)})
    run = run_night(Night(config, last="featurize"))
    graph = HeteroGraph.open(run.stage("build_graph") / "graph")
    target = config.training.target
    table = read_features(run, target)
    node = graph.dense(target, table.get_column("entity").to_numpy())
    data = make_dataset(table, node, np.zeros(table.height, dtype=np.bool_))
    return Stored(config, graph, data.keys, replace(data.rows, label=None))


def _workspace(name: str) -> Path:
    """The set's workspace as the present program makes it; those of earlier ones are removed.

    A committed stage is not run again for a change of the program, so a program has its own.
    """
    folder = work_folder("quality") / f"{name}-{_program()}"
    for other in folder.parent.glob(f"{name}-????????"):
        if other != folder:
            shutil.rmtree(other)
    return folder


@cache
def _program() -> str:
    """Fingerprint of the code that makes features and graph."""
    package = Path(graphguard.__file__).parent
    folders = [package / part for part in ("config", "graph", "rings", "tables")]
    folders += [Path(module.__file__ or "").parent for module in (features, jobs)]
    held = sha256()
    for folder in folders:
        for path in sorted(folder.glob("*.py")):
            held.update(path.read_bytes())
    return held.hexdigest()[:8]


def labelled(stored: Stored, keys: pl.Series, label: Any) -> Rows:
    """The rows of `keys` with their labels, in order of `keys`.

    Raises:
        ValueError: A key has no row.
    """
    place = stored.places(keys)
    if (place < 0).any():
        first = keys[int(np.argmin(place))]
        message = f"{int((place < 0).sum())} labelled entities have no row, first {first}"
        raise ValueError(message)
    return replace(stored.rows.take(place), label=np.asarray(label, dtype=np.int8))


def write(folder: Path, name: str, frame: pl.DataFrame) -> None:
    """Keep a prepared file; the bytes, and so the run's name, stay the same on every start."""
    frame.write_parquet(folder / name, compression="zstd", statistics=False)


def unseen_labels(keys: pl.Series) -> pl.DataFrame:
    """A label file that tells features nothing: all is decided after the cutoff.

    The protocol hands labels to the models itself, those of the training rows and no others.
    """
    decided = pl.lit("2100-01-01").str.to_datetime(time_unit="us", time_zone="UTC")
    return pl.DataFrame({"entity": keys.cast(pl.String)}).with_columns(
        pl.lit(0).alias("value"), decided.alias("decided_at")
    )

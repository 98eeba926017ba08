"""One cell of the quality table: a family fitted and judged on one split, kept as it ends."""

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from sets.task import Flags, Floats, Places, Split, Task

from graphguard.evaluate.ranking import RankCounts, rank_counts
from graphguard.models.base import MODELS, Refits, Rows, open_model
from graphguard.models.calibrate import fit_calibrator
from graphguard.tables.files import fingerprint

OWN = "own"
"""Trees on the columns about the entity alone: what the graph has to beat."""
FAMILIES = (OWN, *MODELS)
ENSEMBLE = "ensemble"
NETWORKS = tuple(name for name in MODELS if name not in ("trees", ENSEMBLE))
THRESHOLD = 0.5
CellName = tuple[str, str, str, str]
"""Set, protocol, family and split."""


@dataclass(frozen=True)
class Cell:
    """One result.

    Attributes:
        mark: Fingerprint of all that went in; a cell with another mark is made anew.
        figures: Metric by name, in percent; `part.metric` for a part.
        valid_auprc: Average precision on the validation part, in percent: what is chosen by.
    """

    set: str
    protocol: str
    family: str
    split: str
    mark: str
    figures: Mapping[str, float]
    valid_auprc: float
    rows: int
    positives: int
    seconds: float

    @property
    def name(self) -> CellName:
        """What the cell is about."""
        return self.set, self.protocol, self.family, self.split


class CellStore:
    """Cells in a file of JSON lines, and their test scores beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.path = folder, folder / "cells.jsonl"
        (folder / "scores").mkdir(parents=True, exist_ok=True)
        self._cells = {cell.name: cell for cell in self._read()}

    def cells(self) -> list[Cell]:
        """Every cell, the newest of each name."""
        return list(self._cells.values())

    def holds(self, name: CellName, mark: str) -> bool:
        """Whether a cell is there and was made of the same input."""
        found = self._cells.get(name)
        return found is not None and found.mark == mark

    def add(self, cell: Cell, score: Floats) -> None:
        """Append a cell; a line stands whole in the file or not at all."""
        np.save(self._scores(cell.name), score.astype(np.float32))
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(cell), sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._cells[cell.name] = cell

    def forget(self, names: Iterable[CellName]) -> None:
        """Drop cells, so that they are made anew."""
        for name in names:
            self._cells.pop(name, None)
        lines = [json.dumps(asdict(cell), sort_keys=True) + "\n" for cell in self.cells()]
        aside = self.path.with_suffix(".new")
        aside.write_text("".join(lines), encoding="utf-8")
        aside.replace(self.path)

    def score(self, name: CellName) -> Floats:
        """Test scores of a cell, in order of its split's test rows."""
        return np.load(self._scores(name), allow_pickle=False).astype(np.float64)

    def _scores(self, name: CellName) -> Path:
        return self._folder / "scores" / ("_".join(part or "all" for part in name) + ".npy")

    def _read(self) -> list[Cell]:
        if not self.path.is_file():
            return []
        found = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(Cell(**json.loads(line)))
            except (ValueError, TypeError):
                # A start that was killed while it wrote leaves half a line; the cell is made anew.
                continue
        return found


def task_mark(task: Task) -> str:
    """Fingerprint of a task's rows: of all that models see of the features."""
    held = sha256(np.ascontiguousarray(task.context.rows.x))
    held.update(np.ascontiguousarray(task.rows.node))
    held.update(repr(task.rows.names).encode())
    if task.rows.text is not None:
        held.update("\0".join(task.rows.text).encode(errors="surrogatepass"))
    return held.hexdigest()[:16]


def cell_mark(task: Task, rows_mark: str, split: Split, family: str) -> str:
    """Fingerprint of all that a cell is made of, but for the program."""
    label = _labels(task.rows)
    parts = [sha256(places).hexdigest() for places in (split.train, split.valid, split.test)]
    said = [rows_mark, sha256(label).hexdigest(), parts, _settings(task, family), task.refit]
    return fingerprint(said)


def run_cell(task: Task, split: Split, name: CellName, mark: str) -> tuple[Cell, Floats]:
    """Fit a family on a split's training rows and judge it on its test rows."""
    start = time.perf_counter()
    family = name[2]
    rows = only(task.rows, task.own) if family == OWN else task.rows
    model = open_model("trees" if family == OWN else family, _settings(task, family))
    valid = rows.take(split.valid)
    model.fit(rows.take(split.train), valid, task.context)
    held_out = model.predict(valid, task.context)
    if task.refit and isinstance(model, Refits):
        model.refit(rows.take(np.sort(np.concatenate([split.train, split.valid]))), task.context)
    score = model.predict(rows.take(split.test), task.context)
    seconds = time.perf_counter() - start
    label = _labels(rows)
    calibrator = fit_calibrator(held_out, label[split.valid])
    probability = calibrator.apply(score).astype(np.float64)
    counts = rank_counts(held_out, label[split.valid])
    cell = Cell(
        *name,
        mark=mark,
        figures=judge(task, split, score.astype(np.float64), probability),
        valid_auprc=round(100 * float(counts.auprc()), 4),
        rows=len(split.test),
        positives=int(label[split.test].sum()),
        seconds=round(seconds, 2),
    )
    return cell, score.astype(np.float64)


def judge(task: Task, split: Split, score: Floats, probability: Floats) -> dict[str, float]:
    """Figures of every part of the test rows, in percent."""
    label = _labels(task.rows)[split.test]
    found: dict[str, float] = {}
    for part, mask in {"": np.ones(len(task.rows), dtype=np.bool_), **task.parts}.items():
        mine = mask[split.test]
        if len(np.unique(label[mine])) < 2:
            continue
        right = (probability[mine] >= THRESHOLD) == label[mine]
        made = {
            **_ranked(rank_counts(score[mine], label[mine])),
            "accuracy": float(right.mean()),
        }
        found |= {f"{part}.{key}" if part else key: value for key, value in made.items()}
    if task.special is not None:
        found |= task.special(split, score)
    return {key: round(100 * value, 4) for key, value in found.items()}


def only(rows: Rows, columns: Flags) -> Rows:
    """The rows with some of their columns."""
    names = tuple(name for name, kept in zip(rows.names, columns, strict=True) if kept)
    x = np.ascontiguousarray(rows.x[:, columns])
    return replace(rows, x=x, names=names)


def _ranked(counts: RankCounts) -> dict[str, float]:
    positives = int(counts.positives.sum())
    return {
        "auroc": float(counts.auroc()),
        "auprc": float(counts.auprc()),
        "recall_at_positives": float(counts.recall_at_k(positives)),
    }


def _labels(rows: Rows) -> Places:
    if rows.label is None:
        message = "the task's rows carry no label"
        raise ValueError(message)
    return rows.label.astype(np.int64)


def _settings(task: Task, family: str) -> dict[str, Any]:
    if family == OWN:
        return {**task.settings.get("trees", {}), "label_rates": "never", "positions": 0}
    held = dict(task.settings.get(family, {}))
    if family == ENSEMBLE:
        held["settings"] = {name: dict(task.settings[name]) for name in held["members"]}
    return held

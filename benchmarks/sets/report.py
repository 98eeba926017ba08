"""The table of all cells, and the figures of the last line."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from result import say
from scipy.stats import t as student
from sets.cells import ENSEMBLE, FAMILIES, NETWORKS, OWN, Cell, CellStore
from sets.task import Flags, Floats, Protocol, Task

from graphguard.config.training import TrainingConfig
from graphguard.evaluate.bootstrap import Bootstrap, paired_difference
from graphguard.evaluate.ranking import RankCounts, RankMetric

DEFAULT_FAMILIES = TrainingConfig().models
"""What a night fits when nobody chooses; the better one on validation scores."""
DEFAULT = "default"
AGAINST_TREES = (*NETWORKS, ENSEMBLE)
RANKED: dict[str, RankMetric] = {"auroc": RankCounts.auroc, "auprc": RankCounts.auprc}
ENOUGH = 3
"""Splits from which on their own spread makes an interval."""


@dataclass(frozen=True)
class Column:
    """Cells of one protocol and family by split."""

    cells: dict[str, Cell]

    def values(self, figure: str) -> Floats:
        """The figure on each split that has it."""
        held = [cell.figures[figure] for cell in self.cells.values() if figure in cell.figures]
        return np.array(held, dtype=np.float64)

    def told(self, figure: str) -> str:
        """Mean ± sd."""
        values = self.values(figure)
        if not len(values):
            return ""
        spread = f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else ""
        return f"{values.mean():.2f}{spread}"


def columns_of(protocol: Protocol, cells: Sequence[Cell]) -> dict[str, Column]:
    """Cells of a protocol by family, and of the default: per split the better on validation."""
    mine = [one for one in cells if (one.set, one.protocol) == (protocol.set, protocol.name)]
    found = {
        family: Column({one.split: one for one in mine if one.family == family})
        for family in FAMILIES
    }
    offered = [one for one in mine if one.family in DEFAULT_FAMILIES]
    best: dict[str, Cell] = {}
    for one in offered:
        held = best.get(one.split)
        if held is None or one.valid_auprc > held.valid_auprc:
            best[one.split] = one
    found[DEFAULT] = Column(best)
    return {family: column for family, column in found.items() if column.cells}


def result_line(protocols: Sequence[Protocol], cells: Sequence[Cell]) -> dict[str, object]:
    """Figures in percent: the default's by plain name, others with the family in front."""
    found: dict[str, object] = {}
    for protocol in protocols:
        for family, column in columns_of(protocol, cells).items():
            for figure in protocol.figures:
                values = column.values(figure)
                if len(values):
                    name = f"{protocol.prefix}_{figure.replace('.', '_')}"
                    key = name if family == DEFAULT else f"{family}_{name}"
                    found[key] = round(float(values.mean()), 2)
    return found


def table(protocols: Sequence[Protocol], cells: Sequence[Cell], store: CellStore) -> None:
    """Print mean ± sd of every family, the graph's gain, the networks' gain, and the published."""
    used = [name for name in (*FAMILIES, DEFAULT) if any(one.family == name for one in cells)]
    heads = ["set", "figure", "splits", "published", "aim", *used, DEFAULT]
    heads += ["graph over none", *(f"{name} over trees" for name in AGAINST_TREES if name in used)]
    say("| " + " | ".join(heads) + " |")
    say("|" + "---|" * len(heads))
    for protocol in protocols:
        columns = columns_of(protocol, cells)
        for figure in protocol.figures if columns else ():
            line = [f"{protocol.set} {protocol.name}".strip(), figure]
            line.append(str(max(len(column.cells) for column in columns.values())))
            line.append(_number(protocol.published.get(figure)))
            line.append(_number(protocol.bars.get(figure)))
            line += [columns[name].told(figure) if name in columns else "" for name in used]
            line.append(columns[DEFAULT].told(figure) if DEFAULT in columns else "")
            pairs = [("trees", OWN), *((name, "trees") for name in AGAINST_TREES if name in used)]
            line += [_gain(protocol, columns, pair, figure, store) for pair in pairs]
            say("| " + " | ".join(line) + " |")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _gain(
    protocol: Protocol,
    columns: dict[str, Column],
    pair: tuple[str, str],
    figure: str,
    store: CellStore,
) -> str:
    """Mean difference on the splits that both have, with its paired interval."""
    if pair[0] not in columns or pair[1] not in columns:
        return ""
    ours, theirs = (columns[name].cells for name in pair)
    both = [name for name in ours if name in theirs and figure in ours[name].figures]
    if not both:
        return ""
    gaps = np.array([ours[name].figures[figure] - theirs[name].figures[figure] for name in both])
    if len(both) >= ENOUGH:
        reach = student.ppf(0.975, len(both) - 1) * gaps.std(ddof=1) / np.sqrt(len(both))
        return _told(gaps.mean(), gaps.mean() - reach, gaps.mean() + reach)
    part, _, metric = figure.rpartition(".")
    if metric not in RANKED:
        return f"{gaps.mean():+.2f}"
    task = _task(protocol)
    held = [_resampled(task, store, (ours[name], theirs[name]), part, metric) for name in both]
    # Splits are few: each one's interval is about its own rows, and the mean's is as wide as
    # independent ones make it.
    low = np.sqrt(sum((value - below) ** 2 for value, below, _ in held)) / len(held)
    high = np.sqrt(sum((above - value) ** 2 for value, _, above in held)) / len(held)
    return _told(gaps.mean(), gaps.mean() - low, gaps.mean() + high)


@cache
def _loaded(load: Callable[[], Task]) -> Task:
    return load()


def _task(protocol: Protocol) -> Task:
    return _loaded(protocol.load)


def _resampled(
    task: Task, store: CellStore, cells: tuple[Cell, Cell], part: str, metric: str
) -> tuple[float, float, float]:
    """Difference on one split with its bootstrap interval over the test rows, in percent."""
    split = next(one for one in task.splits if one.name == cells[0].split)
    inside: Flags = task.parts[part][split.test] if part else np.ones(len(split.test), np.bool_)
    label = task.rows.label[split.test] if task.rows.label is not None else None
    if label is None:
        message = "the task's rows carry no label"
        raise ValueError(message)
    scores = (store.score(cells[0].name)[inside], store.score(cells[1].name)[inside])
    found = paired_difference(scores, label[inside], {metric: RANKED[metric]}, Bootstrap())[metric]
    return 100 * found.value, 100 * found.low, 100 * found.high


def _told(value: float, low: float, high: float) -> str:
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"

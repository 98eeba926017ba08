"""What a protocol hands to a model: labelled rows, the graph they lie in, and who is judged where.

A part of the training rows is set aside to stop growth and to choose by; nothing looks at the test
rows before they are scored.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphguard.evaluate.splits import stratified_folds, stratified_group_folds
from graphguard.graph.keyed import key_hash, seeded
from graphguard.models.base import GraphContext, Rows

Places = NDArray[np.int64]
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
VALID_FOLDS = 5
"""One of so many parts of the training rows is the validation part, where a set names none."""


@dataclass(frozen=True)
class Split:
    """Positions of rows by what they are for; no row has two uses."""

    name: str
    train: Places
    valid: Places
    test: Places

    def __post_init__(self) -> None:
        """Refuse a row in two parts: a benchmark that tests on what it trained on says nothing."""
        every = np.concatenate([self.train, self.valid, self.test])
        if len(np.unique(every)) < len(every):
            message = f"split '{self.name}': a row is in two of its parts"
            raise ValueError(message)


@dataclass(frozen=True)
class Task:
    """One protocol's rows.

    Attributes:
        rows: Labelled rows.
        context: The graph, and the rows of all that may be a neighbour, without labels.
        splits: The protocol's seeds, folds or dates.
        own: Columns about the entity alone: what is known without a graph, shape [columns].
        parts: Rows judged apart by name, shape [rows]; '' stands for all.
        special: Makes figures of a protocol's own from the split, its test scores and the task.
        settings: Settings of each model family, as the set's config has them.
        refit: Whether models that can learn from the validation part too, once it has chosen. Not
            where a protocol names that part and others have not learned from it.
    """

    rows: Rows
    context: GraphContext
    splits: tuple[Split, ...]
    own: Flags
    parts: Mapping[str, Flags] = field(default_factory=dict)
    special: Callable[[Split, Floats], Mapping[str, float]] | None = None
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    refit: bool = True


@dataclass(frozen=True)
class Protocol:
    """One way to judge on one set.

    Attributes:
        set: Name of the set.
        name: Name of the protocol within it.
        load: Makes the task.
        figures: Metrics of the table.
        published: What others reached, in percent, by metric (`part.metric` for a part).
        source: Who reached it.
        bars: What the best family shall reach here, in percent.
    """

    set: str
    name: str
    load: Callable[[], Task]
    figures: tuple[str, ...]
    published: Mapping[str, float]
    source: str
    bars: Mapping[str, float] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        """Beginning of the protocol's keys in the RESULT line."""
        return f"{self.set}_{self.name}" if self.name else self.set


def fold_splits(
    fold: Places, keys: list[str], label: NDArray[Any], group: Any = None
) -> list[Split]:
    """One split a fold: the fold is the test, a part of the others validates.

    Args:
        fold: Fold of each row, shape [n].
        keys: Key of each row; the validation part is drawn by its hash.
        label: 0 or 1, shape [n].
        group: Rows of one group stay together, shape [n]; None where rows stand alone.
    """
    found = []
    for number in np.unique(fold).tolist():
        test = np.flatnonzero(fold == number)
        train, valid = set_aside(np.flatnonzero(fold != number), keys, label, group)
        found.append(Split(f"fold{number}", train, valid, test))
    return found


def set_aside(
    rows: Places, keys: list[str], label: NDArray[Any], group: Any = None
) -> tuple[Places, Places]:
    """Training rows in two: those that train, and the validation part, alike in positives."""
    hashed = seeded(key_hash([keys[row] for row in rows]), 0)
    if group is None:
        part = stratified_folds(hashed, label[rows], VALID_FOLDS)
    else:
        part = stratified_group_folds(group[rows], hashed, label[rows], VALID_FOLDS)
    return rows[part != 0], rows[part == 0]

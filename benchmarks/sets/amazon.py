"""Amazon: reviewers who rated in paid groups, and the others, by their ratings alone.

Coder-Yu/SDLib. Twice five folds over the 4,902 users with a rating; ratings have no time.
"""

import numpy as np
import polars as pl
from sets.stages import data_folder, featurized, labelled, prepared, unseen_labels, write
from sets.task import Protocol, Split, Task, set_aside
from sklearn.model_selection import StratifiedKFold

FOLDS = 5
REPEATS = 2


def protocols() -> list[Protocol]:
    """The one protocol."""
    folds = Protocol(
        "amazon",
        "",
        load,
        figures=("auroc", "auprc"),
        published={"auroc": 98.60, "auprc": 97.57},
        source="trees with co-review means, measured",
        bars={"auroc": 99.0, "auprc": 98.2},
    )
    return [folds]


def load() -> Task:
    """Stratified folds over users, twice; rows in order of key."""
    raw = data_folder("amazon_collusive")
    held = pl.read_parquet(raw / "labels.parquet").sort("user")
    write(prepared("amazon_collusive"), "labels.parquet", unseen_labels(held.get_column("user")))
    stored = featurized("amazon_collusive")
    held = held.filter(stored.places(held.get_column("user")) >= 0)
    keys = held.get_column("user")
    label = held.get_column("is_spammer").to_numpy()
    splits = [split for repeat in range(REPEATS) for split in _folds(keys, label, repeat)]
    rows = labelled(stored, keys, label)
    return Task(rows, stored.context, tuple(splits), stored.own, settings=stored.settings)


def _folds(keys: pl.Series, label: np.ndarray, repeat: int) -> list[Split]:
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=repeat).split(label, label)
    found = []
    for number, (rest, test) in enumerate(folds):
        train, valid = set_aside(rest, keys.to_list(), label)
        found.append(Split(f"repeat{repeat}fold{number}", train, valid, test))
    return found

"""Tolokers: crowd workers who took part in the same projects, some of them banned.

Yandex Research, "A critical look at the evaluation of GNNs under heterophily" (Platonov et al.
2023), MIT. Protocol A: the ten official masks. Protocol B: GADBench (Tang et al. 2023), 50/25/25
drawn with seeds 3407 + 10 i.
"""

from functools import cache

import numpy as np
import polars as pl
from sets.stages import Stored, data_folder, featurized, labelled, prepared, unseen_labels, write
from sets.task import Places, Protocol, Split, Task
from sklearn.model_selection import train_test_split

SEEDS = tuple(3407 + 10 * number for number in range(10))


def protocols() -> list[Protocol]:
    """Both protocols."""
    official = Protocol(
        "tolokers",
        "A",
        load_official,
        figures=("auroc", "auprc"),
        published={"auroc": 83.78},
        source="GAT-sep, Platonov et al. 2023",
        bars={"auroc": 86.0},
    )
    gadbench = Protocol(
        "tolokers",
        "B",
        load_gadbench,
        figures=("auroc", "auprc", "recall_at_positives"),
        published={"auroc": 84.14, "auprc": 55.97, "recall_at_positives": 55.79},
        source="RFGraph of GADBench, measured",
        bars={"auprc": 60.5},
    )
    return [official, gadbench]


def load_official() -> Task:
    """The ten masks that come with the set."""
    raw, stored = _stored()
    masks = zip(raw["train_masks"], raw["val_masks"], raw["test_masks"], strict=True)
    splits = [
        Split(f"mask{number}", *(np.flatnonzero(mask) for mask in three))
        for number, three in enumerate(masks)
    ]
    return _task(stored, raw["node_labels"], splits)


def load_gadbench() -> Task:
    """Half trains, a quarter validates, a quarter is the test, stratified by label."""
    raw, stored = _stored()
    label = raw["node_labels"]
    return _task(stored, label, [_drawn(label, seed) for seed in SEEDS])


def _drawn(label: Places, seed: int) -> Split:
    every = np.arange(len(label))
    train, rest = train_test_split(every, train_size=0.5, stratify=label, random_state=seed)
    valid, test = train_test_split(rest, train_size=0.5, stratify=label[rest], random_state=seed)
    return Split(f"seed{seed}", np.sort(train), np.sort(valid), np.sort(test))


@cache
def _stored() -> tuple[dict[str, np.ndarray], Stored]:
    with np.load(data_folder("tolokers") / "tolokers.npz", allow_pickle=False) as file:
        raw = {name: file[name] for name in file.files}
    folder = prepared("tolokers")
    worker = pl.Series("worker", np.arange(len(raw["node_labels"]))).cast(pl.String)
    ends = [pl.Series(raw["edges"][:, side]).cast(pl.String) for side in (0, 1)]
    # Who worked with whom has no direction: each pair is written both ways.
    both = {
        "worker": pl.concat([ends[0], ends[1]]),
        "colleague": pl.concat([ends[1], ends[0]]),
    }
    write(folder, "together.parquet", pl.DataFrame(both))
    known = {
        f"f{number}": column.astype(np.float64)
        for number, column in enumerate(raw["node_features"].T)
    }
    write(folder, "workers.parquet", pl.DataFrame({"worker": worker, **known}))
    write(folder, "labels.parquet", unseen_labels(worker))
    return raw, featurized("tolokers")


def _task(stored: Stored, label: Places, splits: list[Split]) -> Task:
    worker = pl.Series(np.arange(len(label))).cast(pl.String)
    rows = labelled(stored, worker, label)
    own = np.array([name.startswith("worker:") for name in rows.names])
    return Task(rows, stored.context, tuple(splits), own, settings=stored.settings, refit=False)

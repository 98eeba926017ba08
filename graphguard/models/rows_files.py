"""Rows as mapped files, for several processes to share."""

import json
from pathlib import Path

import numpy as np

from graphguard.models.base import Rows, read_json_object

ARRAYS = ("node", "anchor_us", "x", "label")


def write_rows(folder: Path, rows: Rows) -> None:
    """Write rows into `folder`, an array a file."""
    folder.mkdir(parents=True, exist_ok=True)
    held = [name for name in ARRAYS if getattr(rows, name) is not None]
    for name in held:
        np.save(folder / f"{name}.npy", getattr(rows, name))
    facts = {"names": rows.names, "arrays": held}
    (folder / "rows.json").write_text(json.dumps(facts), encoding="utf-8")


def map_rows(folder: Path) -> Rows:
    """Map what `write_rows` wrote; nothing is read yet.

    Raises:
        ArtefactInvalid: `rows.json` is missing or no JSON object.
    """
    facts = read_json_object(folder / "rows.json")
    arrays = {
        name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in facts["arrays"]
    }
    return Rows(names=tuple(facts["names"]), **{"label": None, **arrays})

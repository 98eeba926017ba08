"""A small platform on which only neighbours tell who is bad."""

import sys

import numpy as np
import polars as pl
import pytest

from graphguard.graph.build import EdgeArrays, NodeArrays, write_graph
from graphguard.graph.hetero import HeteroGraph
from graphguard.models.base import GraphContext, Rows
from graphguard.models.rows_files import write_rows

USES = ("user", "uses", "device")
WINDOW, ANCHORS = 10, (20, 40, 60)
USERS, DEVICES = 600, 75
FIT = """
import sys
from pathlib import Path
from graphguard.graph.hetero import HeteroGraph
from graphguard.models.base import GraphContext, Upkeep, open_model
from graphguard.models.rows_files import map_rows
folder = Path(sys.argv[1])
train, valid, known = (map_rows(folder / name) for name in ("train", "valid", "known"))
context = GraphContext(HeteroGraph.open(Path(sys.argv[2])), "user", 10, known)
model = open_model("sage", eval(sys.argv[3]))
model.fit(train, valid, context, Upkeep(folder=folder / "checkpoint"))
model.save(folder / "model")
"""


@pytest.fixture(scope="session")
def platform(tmp_path_factory):
    """Users whose label is whether the OTHER users of their device show a mark; own marks lie."""
    draw = np.random.default_rng(1)
    folder = tmp_path_factory.mktemp("graph")
    home = draw.integers(0, DEVICES, USERS)
    marked = draw.random(DEVICES) < 0.3
    mark = np.where(draw.random(USERS) < 0.9, marked[home], ~marked[home]).astype(float)
    source = np.tile(np.arange(USERS), 3)
    time = np.repeat([15, 35, 55], USERS)
    ones = np.ones(len(source), dtype=np.int64)
    nodes = {
        "user": NodeArrays(pl.Series([f"u{n:03}" for n in range(USERS)]), np.arange(USERS)),
        "device": NodeArrays(pl.Series([f"d{n:03}" for n in range(DEVICES)]), np.arange(DEVICES)),
    }
    edges = EdgeArrays(source, np.tile(home, 3), time, ones)
    write_graph(folder, nodes, [(USES, edges)], {}, 7)
    # The label is the device's secret; a user's own mark is hidden in its own row (column `own`).
    hidden = draw.random(USERS) < 0.5
    own = np.where(hidden, 0.5, mark)
    x = np.stack([own, draw.normal(size=USERS)], axis=1).astype(np.float32)
    label = (marked[home] & hidden).astype(np.int8)
    rows = Rows(
        node=np.tile(np.arange(USERS), 3),
        anchor_us=np.repeat(ANCHORS, USERS),
        x=np.tile(x, (3, 1)),
        names=("own", "noise"),
        label=np.tile(label, 3),
    )
    return GraphContext(HeteroGraph.open(folder), "user", WINDOW, rows), rows


@pytest.fixture
def fit_apart(platform, tmp_path):
    """The command that fits `sage` in a process of its own; checkpoint and model in tmp_path."""
    context, rows = platform
    for name, anchors in (("train", [20]), ("valid", [40]), ("known", ANCHORS)):
        write_rows(tmp_path / name, rows.take(np.isin(rows.anchor_us, anchors)))

    def command(settings):
        return [sys.executable, "-c", FIT, tmp_path, context.graph.folder, repr(settings)]

    return command

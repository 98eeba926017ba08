"""A small platform on which only neighbours tell who is bad."""

import sys

import numpy as np
import polars as pl
import pytest
from lying_marks import ANCHORS, DEVICES, USERS, WINDOW, lying_rows

from graphguard.graph.arrays import EdgeArrays, NodeArrays
from graphguard.graph.build import write_graph
from graphguard.graph.hetero import HeteroGraph
from graphguard.models.base import GraphContext
from graphguard.models.rows_files import write_rows

USES = ("user", "uses", "device")
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
    home, rows = lying_rows(draw)
    source = np.tile(np.arange(USERS), 3)
    time = np.repeat([15, 35, 55], USERS)
    ones = np.ones(len(source), dtype=np.int64)
    nodes = {
        "user": NodeArrays(pl.Series([f"u{n:03}" for n in range(USERS)]), np.arange(USERS)),
        "device": NodeArrays(pl.Series([f"d{n:03}" for n in range(DEVICES)]), np.arange(DEVICES)),
    }
    edges = EdgeArrays(source, np.tile(home, 3), time, ones)
    write_graph(folder, nodes, [(USES, edges)], {}, 7)
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

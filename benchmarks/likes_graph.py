"""What `sampling.py` and `training.py` share: users who like contents, here and in DGL.

Contents are as popular as the square of a uniform number makes them; a tenth of the contents are
bad, and a user is positive if more than three tenths of its likes are of bad ones. A user's own row
says nothing of that, so only neighbours tell: users of bad contents carry a faint mark.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from graphguard.graph.arrays import EdgeArrays, NodeArrays
from graphguard.graph.build import write_graph
from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.interop import edge_ends, import_dgl
from graphguard.models.base import GraphContext, Rows

LIKES, LIKED = ("user", "likes", "content"), ("content", "rev_likes", "user")
ANCHOR, COLUMNS = 1_000_000, 32


@dataclass(frozen=True)
class Platform:
    """A graph, the rows of all its users at one anchor, and their labels."""

    graph: HeteroGraph
    rows: Rows

    @property
    def context(self) -> GraphContext:
        """What a model may look at: every edge lies in the window."""
        return GraphContext(self.graph, "user", ANCHOR, self.rows)

    def draw(self, count: int, seed: int) -> Rows:
        """Rows of some users, without repeats."""
        rng = np.random.default_rng(seed)
        return self.rows.take(np.sort(rng.choice(len(self.rows), count, replace=False)))


def make_platform(folder: Path, edges: int) -> Platform:
    """Write the mapped graph into `folder`; a user and a content for every twenty edges."""
    size = edges // 20
    draw = np.random.default_rng(0)
    user = draw.integers(0, size, edges)
    content = np.minimum((size * draw.random(edges) ** 2).astype(np.int64), size - 1)
    time = draw.integers(0, ANCHOR, edges)
    ones = np.ones(edges, dtype=np.int64)
    nodes = {kind: NodeArrays(names(kind, size), np.arange(size)) for kind in ("user", "content")}
    write_graph(folder, nodes, [(LIKES, EdgeArrays(user, content, time, ones))], {}, 7)
    bad = draw.random(size) < 0.1
    likes = np.maximum(np.bincount(user, minlength=size), 1)
    share = np.bincount(user, weights=bad[content], minlength=size) / likes
    x = draw.normal(size=(size, COLUMNS)).astype(np.float32)
    x[:, 0] += 4 * share
    rows = Rows(
        node=np.arange(size),
        anchor_us=np.full(size, ANCHOR),
        x=x,
        names=tuple(f"column{n:02}" for n in range(COLUMNS)),
        label=(share > 0.15).astype(np.int8),
    )
    return Platform(HeteroGraph.open(folder), rows)


def names(kind: str, size: int) -> pl.Series:
    """Keys in order of their numbers."""
    return pl.select(pl.format("{}{}", pl.lit(kind), pl.int_range(10**9, 10**9 + size))).to_series()


def to_dgl(graph: HeteroGraph) -> Any:
    """Likes both ways as a DGL graph with its sampling format made."""
    dgl = import_dgl("the benchmark")
    user, content = (torch.from_numpy(end) for end in edge_ends(graph, LIKES))
    made = dgl.heterograph(
        {LIKES: (user, content), LIKED: (content, user)}, num_nodes_dict=graph.num_nodes
    )
    made.create_formats_()
    return made


def seconds_text(values: NDArray[np.float64] | list[float]) -> str:
    """Median and range."""
    return f"{np.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"

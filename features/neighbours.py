"""Neighbours: what those are like who touch the same objects, or are touched directly.

Reads the own columns of `features/table.py`, the graph and known labels; writes nothing. Method:
GADBench (Tang et al. 2023) found trees on such aggregates ahead of graph networks. A neighbour
counts with the features it had by the row's anchor, and as bad only if that was known before it.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.config.sections import Config, EdgeConfig
from graphguard.features.catalogue import FeatureColumn, column_catalogue
from graphguard.graph.bad_news import bad_news
from graphguard.graph.hetero import Adjacency, HeteroGraph
from graphguard.graph.propagate import NEVER, SCALE, NeighbourRows, neighbour_means, touches_of

ALWAYS_US = 2**61
"""Window of a log without times: no event is too old."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class NeighbourInputs:
    """What neighbour columns are made from."""

    graph: HeteroGraph
    own: pl.DataFrame
    """`entity`, `anchor_us` and the columns of `feature_table`."""
    bad: pl.DataFrame
    """Who was known to be bad: `entity`, `known_at_us`, `until_us`, one row a span."""
    target: str
    """Entity type of the rows."""


@dataclass(frozen=True)
class Relation:
    """One edge type, seen from the rows' end."""

    scope: str
    edge: EdgeConfig
    received: bool
    """Whether the rows are the edge's targets."""
    direct: bool
    """Whether the other end is of the rows' own type."""
    window_us: int
    columns: tuple[FeatureColumn, ...]
    """The own columns that are averaged."""

    def sides(self, graph: HeteroGraph) -> tuple[Adjacency, Adjacency]:
        """The edges by the rows' end, and by the other."""
        sides = (graph.out(self.edge.name), graph.into(self.edge.name))
        return (sides[1], sides[0]) if self.received else sides


TOUCHED = (
    ("nbr_bad_share", "share of known-bad users among those who share objects"),
    ("nbr_bad_touches", "touches by known-bad users on common objects"),
    ("nbr_other_touches", "touches by others on common objects"),
    ("nbr_fewest_others", "fewest touches by others on a common object"),
    ("nbr_oldest_bad_d", "days since a known-bad user on a common object first came to be known"),
    ("nbr_newest_bad_d", "days since a known-bad user on a common object last came to be known"),
)


def neighbour_table(inputs: NeighbourInputs, config: Config) -> pl.DataFrame:
    """Make the neighbour columns of every row.

    Args:
        inputs: Graph, own columns and known labels.
        config: Graph and training.

    Returns:
        One row per row of `inputs.own`, in its order: the columns of `neighbour_catalogue(config)`,
        float32, null where a row has no neighbour. Means are of sign(x) * log(1 + |x|).

    Cost: O(edges in the windows * columns) per relation; memory one relation's touches.
    """
    rows = _rows(inputs)
    inside = np.flatnonzero(rows.node >= 0)
    seen = NeighbourRows(
        rows.node[inside], rows.anchor_us[inside], rows.values[inside], rows.bad_since_us
    )
    made: dict[str, NDArray[np.float32]] = {}
    place = {name: number for number, name in enumerate(inputs.own.columns[2:])}
    for relation in relations(config):
        columns = [place[column.name] for column in relation.columns]
        found = _relation_columns(relation, inputs.graph, seen, columns)
        names = [column.name for column in _described(relation)]
        for number, name in enumerate(names):
            made[name] = np.full(rows.node.size, np.nan, dtype=np.float32)
            made[name][inside] = found[:, number]
    series = [pl.Series(name, values, nan_to_null=True) for name, values in made.items()]
    return pl.DataFrame(series)


def neighbour_catalogue(config: Config) -> list[FeatureColumn]:
    """Every column that `neighbour_table` makes under `config`, in order."""
    return [column for relation in relations(config) for column in _described(relation)]


def relations(config: Config) -> list[Relation]:
    """The edge types that touch the training target, from the target's end, with their columns.

    Averaged are the columns of all logs together (of the only log, where there is one), of the
    relation itself (both ends, where both are of the target type), of the values and texts of its
    log, and of the entity's own table.
    """
    target = config.training.target
    catalogue = column_catalogue(config)
    scopes = {column.scope for column in catalogue}
    acting = [log for log in config.logs if config.actor_column(log)]
    found: dict[str, Relation] = {}
    for edge in config.graph.edges:
        source_type, name, target_type = edge.name
        sides = [(f"{name}:{target_type}", False)] if source_type == target else []
        if target_type == target:
            sides.append((f"rev_{name}:{source_type}", True))
        base = {"all"} if "all.num_events" in {c.name for c in catalogue} else set(acting)
        for scope, received in sides:
            wanted = base | {target, *(side for side, _ in sides)}
            prefixes = (f"{edge.log}:", f"{target}:")
            columns = tuple(
                column
                for column in catalogue
                if column.scope in wanted
                or (column.theme == "values" and column.scope.startswith(prefixes))
                or (column.theme == "content" and column.scope == edge.log)
            )
            window = ALWAYS_US if config.logs[edge.log].timeless else config.graph.window.us
            direct = source_type == target_type
            if scope in scopes or not received:
                found.setdefault(scope, Relation(scope, edge, received, direct, window, columns))
    return list(found.values())


def _described(relation: Relation) -> list[FeatureColumn]:
    words = relation.scope.replace(":", " ")
    kinds = [("nbr_mean", f"of those who share {words}")]
    if relation.direct:
        kinds.append(("direct_mean", f"of those met directly by {words}"))
    found = [
        FeatureColumn(
            name=f"{relation.scope}.{kind}.{column.name}",
            theme="neighbours",
            scope=relation.scope,
            meaning=f"Mean {whose}: {column.meaning[:1].lower()}{column.meaning[1:]}",
            phrase=f"{column.phrase}, mean {whose}",
        )
        for kind, whose in kinds
        for column in relation.columns
    ]
    for name, meaning in TOUCHED:
        sentence = f"{meaning[:1].upper()}{meaning[1:]}."
        phrase = f"{meaning} ({words})"
        whole = f"{relation.scope}.{name}"
        found.append(FeatureColumn(whole, "neighbours", relation.scope, sentence, phrase))
    return found


def _rows(inputs: NeighbourInputs) -> NeighbourRows:
    """The own rows with dense indices and squeezed values; -1 for an entity outside the graph."""
    storage = inputs.graph.storage(inputs.target)
    entity = inputs.own.get_column("entity").to_numpy()
    values = inputs.own.drop("entity", "anchor_us").cast(pl.Float64).to_numpy()
    values = values.astype(np.float64, copy=False)
    # Heavy tails would drown everybody else in a mean.
    squeezed = np.sign(values) * np.log1p(np.abs(values))
    anchor = inputs.own.get_column("anchor_us").to_numpy()
    return NeighbourRows(_dense(entity, storage), anchor, squeezed, _bad_since(inputs, storage))


def _dense(entity: NDArray[np.int64], storage: NDArray[np.int64]) -> NDArray[np.int64]:
    size = int(max(storage.max(initial=-1), entity.max(initial=-1))) + 1
    dense = np.full(size, -1, dtype=np.int64)
    dense[storage] = np.arange(len(storage))
    return np.asarray(dense[entity])


def _bad_since(inputs: NeighbourInputs, storage: NDArray[np.int64]) -> NDArray[np.int64]:
    """When each node became known as bad, shape [num_nodes]; NEVER where it did not.

    With one anchor for all, those cleared before it do not count. With anchors of their own rows
    look at a neighbour from many times, so its first enforcement counts, cleared or not: a later
    clearing must not be known earlier.
    """
    spans, anchors = inputs.bad, inputs.own.get_column("anchor_us").unique()
    if anchors.len() == 1:
        shared = anchors[0]
        spans = spans.filter((pl.col("known_at_us") < shared) & (pl.col("until_us") >= shared))
    first = spans.group_by("entity").agg(pl.col("known_at_us").min())
    node = _dense(first.get_column("entity").to_numpy(), storage)
    since = np.full(len(storage), NEVER, dtype=np.int64)
    since[node[node >= 0]] = first.get_column("known_at_us").to_numpy()[node >= 0]
    return since


def _relation_columns(
    relation: Relation, graph: HeteroGraph, rows: NeighbourRows, columns: list[int]
) -> NDArray[np.float32]:
    """The relation's columns in order of `_described`, shape [num_rows, columns], NaN = none."""
    out, into = relation.sides(graph)
    chosen = NeighbourRows(rows.node, rows.anchor_us, rows.values[:, columns], rows.bad_since_us)
    around = neighbour_means(out, into, chosen, relation.window_us)
    parts = [around.means]
    if relation.direct:
        parts.append(direct_means(out, chosen, relation.window_us))
    touched = (
        around.bad_share,
        around.bad_touches,
        around.other_touches,
        around.fewest_others,
        *bad_news(into, touches_of(out, chosen, relation.window_us), chosen, relation.window_us),
    )
    return np.concatenate([*parts, np.stack(touched, axis=1)], axis=1)


def direct_means(adjacency: Adjacency, rows: NeighbourRows, window_us: int) -> NDArray[np.float32]:
    """Means over the users that a row's user touched itself, where objects are users.

    Args:
        adjacency: User to user, rows are the rows' users.
        rows: Rows and their values.
        window_us: Length of the window.

    Returns:
        Shape [num_rows, columns], float32; NaN where no neighbour has a value by the row's anchor.
    """
    touches = touches_of(adjacency, rows, window_us)
    row_of = np.full(adjacency.num_rows, -1, dtype=np.int64)
    row_of[rows.node] = np.arange(rows.node.size)
    other = row_of[touches.object]
    visible = other >= 0
    visible &= rows.anchor_us[np.maximum(other, 0)] <= rows.anchor_us[touches.row]
    visible &= other != touches.row
    row, other = touches.row[visible], other[visible]
    means = np.full(rows.values.shape, np.nan, dtype=np.float32)
    for column in range(rows.values.shape[1]):
        value = rows.values[other, column]
        there = np.isfinite(value)
        fixed = np.rint(np.where(there, value, 0.0) * SCALE).astype(np.int64)
        total = np.zeros(rows.node.size, dtype=np.int64)
        np.add.at(total, row, fixed)
        count = np.bincount(row, there, rows.node.size)
        mean = np.divide(total, count, out=np.full(count.size, np.nan), where=count > 0)
        means[:, column] = mean / SCALE
    return means

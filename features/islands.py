"""Islands: how many hang together with a user once the crowded nodes are left out.

Reads the graph; writes nothing. Not among the default themes: it looks at the whole graph at once,
so all rows need one anchor.
"""

import numpy as np
import polars as pl

from graphguard.config.sections import Config
from graphguard.features.catalogue import ISLANDS, FeatureColumn, asks_for
from graphguard.graph.hetero import HeteroGraph
from graphguard.graph.islands import CROWDS, FEW, islands


def island_catalogue(config: Config) -> list[FeatureColumn]:
    """The columns of `island_table`, in order; none where the theme is not listed.

    Raises:
        BadSetting: The theme is listed and rows have anchors of their own.
    """
    if not asks_for(ISLANDS, config):
        return []
    told = [
        (
            f"{kind}_within_{crowd}",
            f"{words} on the island of nodes of up to {crowd} neighbours",
        )
        for crowd in CROWDS
        for kind, words in (("nodes", "Nodes"), ("users", "Known users"))
    ]
    told += [(f"users_met_{few}", f"Known users met over nodes of at most {few}") for few in FEW]
    return [
        FeatureColumn(
            name=f"{ISLANDS}.{name}",
            theme=ISLANDS,
            scope=ISLANDS,
            meaning=f"{words}.",
            phrase=f"{words[:1].lower()}{words[1:]}",
        )
        for name, words in told
    ]


def island_table(
    graph: HeteroGraph, rows: pl.DataFrame, entities: pl.DataFrame | None, config: Config
) -> pl.DataFrame:
    """Sizes of the island of each row's user.

    Args:
        graph: The graph.
        rows: `entity` and `anchor_us`, all of one anchor.
        entities: ENTITIES of the target: those with a version before the anchor are the platform's
            own users. None where there is no such table: then all rows' users are.
        config: Window and target.

    Returns:
        One row a row, the columns of `island_catalogue(config)`, float32; null outside the graph.
    """
    names = [column.name for column in island_catalogue(config)]
    if not rows.height:
        return pl.DataFrame(schema=dict.fromkeys(names, pl.Float32))
    target = config.training.target
    until = int(rows.get_column("anchor_us")[0])
    node = graph.dense(target, rows.get_column("entity").to_numpy())
    own = rows if entities is None else entities.filter(pl.col("time_us") < until)
    known = np.zeros(graph.num_nodes[target], dtype=np.bool_)
    place = graph.dense(target, own.get_column("entity").to_numpy())
    known[place[place >= 0]] = True
    found = islands(graph, target, known, (until - config.graph.window.us, until))
    sizes = [part for crowd in CROWDS for part in (found.nodes[crowd], found.users[crowd])]
    sizes += [found.met[few] for few in FEW]
    there = pl.Series(node >= 0)
    safe = np.maximum(node, 0)
    made = {name: size[safe].astype(np.float32) for name, size in zip(names, sizes, strict=True)}
    frame = pl.DataFrame(made)
    return frame.select(pl.when(there).then(pl.col(name)).alias(name) for name in names)

"""Connected components as relational steps, for graphs that outgrow one machine.

Reads a table of links, writes nothing. Method: Kiveris et al. 2014, "Connected Components in
MapReduce and Beyond": every node's neighbours are tied to the least of them, first the larger ones,
then the smaller ones, until only stars are left. Rounds grow with the logarithm of the longest
path. On one machine `graph/components.py` is faster.
"""

import narwhals as nw

from graphguard.errors import GraphGuardError
from graphguard.tables.engine import Engine, Frame

MOST_ROUNDS = 200
"""Far above the rounds of any graph of 64-bit nodes: reached only if an engine computes wrongly."""


def component_labels(engine: Engine, links: Frame) -> Frame:
    """Find the connected components of an undirected graph.

    Args:
        engine: The engine that made `links`.
        links: Columns `first` and `second`, int64, not null; repeats, both directions and links of
            a node with itself are allowed. A node without any link must have one with itself.

    Returns:
        Columns `node` and `component`, int64: every node once, with the least node of its
        component. Held by the engine.

    Raises:
        GraphGuardError: The rounds do not end, which only an engine that loses rows can cause.

    Cost: about log2 of the longest path rounds, each of two group-bys and joins of the links.
    """
    ends = nw.concat([links.select(node="first"), links.select(node="second")])
    nodes = engine.hold(ends.unique())
    # The larger end comes first from here on, so that a root never stands in `node`.
    oriented = links.select(
        node=nw.max_horizontal("first", "second"), other=nw.min_horizontal("first", "second")
    )
    # Each round is held: were it computed again after a loss, rows could differ between two uses.
    stars = engine.hold(oriented.filter(nw.col("node") > nw.col("other")).unique())
    for _ in range(MOST_ROUNDS):
        if _settled(engine, stars):
            labelled = nodes.join(stars, on="node", how="left")
            component = nw.coalesce(nw.col("other"), nw.col("node"))
            return engine.hold(labelled.select("node", component=component))
        stars = engine.hold(_small_stars(engine.hold(_large_stars(stars))))
    message = f"components: not settled after {MOST_ROUNDS} rounds; the engine's joins lose rows"
    raise GraphGuardError(message)


def _large_stars(links: Frame) -> Frame:
    """Tie each node's larger neighbours to the least of the node and its neighbours."""
    other_way = links.select(node="other", other="node")
    both = nw.concat([links.select("node", "other"), other_way])
    least = both.group_by("node").agg(nw.col("other").min().alias("least"))
    tied = both.join(least, on="node", how="inner").filter(nw.col("other") > nw.col("node"))
    return tied.select(node="other", other=nw.min_horizontal("node", "least")).unique()


def _small_stars(links: Frame) -> Frame:
    """Tie each node and its smaller neighbours to the least of these."""
    least = links.group_by("node").agg(nw.col("other").min().alias("least"))
    tied = links.join(least, on="node", how="inner").filter(nw.col("other") > nw.col("least"))
    neighbours = tied.select(node="other", other="least")
    return nw.concat([neighbours, least.select("node", other="least")]).unique()


def _settled(engine: Engine, stars: Frame) -> bool:
    """Whether every node has one tie, and to a root."""
    ties = stars.group_by("node").agg(nw.len().alias("ties"))
    roots = stars.join(stars.select(other="node").unique(), on="other", how="semi")
    several = ties.filter(nw.col("ties") > 1)
    open_ends = nw.concat([several.select("node"), roots.select("node")])
    return int(engine.collect(open_ends.select(nw.len().alias("n"))).item()) == 0

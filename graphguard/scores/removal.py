"""Take evidence out of a night's tables: acts of users on objects, as if they had never happened.

Reads and returns EVENTS, PAIRS and the graph; writes nothing. Who else touched an object stays as
it is: the question is what one user's score owes to its own acts.
"""

from dataclasses import dataclass

import polars as pl

from graphguard.config.sections import Config
from graphguard.graph.hetero import EdgeType, HeteroGraph
from graphguard.graph.without import Ends, without_edges
from graphguard.rings.evidence import AGAIN, ALIKE, AUDIENCE, CORE, ONCE, SHARED

REMOVED = {"entity": pl.Int64, "type": pl.String, "object": pl.Int64}
"""Columns of what is taken out: storage indices of user and object, and the object's type."""
SETS = (AGAIN, ONCE, ALIKE, CORE, AUDIENCE)
"""What stands before a trace's name in the channels of links that sets of users make."""


def without_acts(config: Config, acts: pl.DataFrame, log: str, rows: pl.LazyFrame) -> pl.LazyFrame:
    """EVENTS of a log without the events in which somebody acts on an object of `acts`."""
    actor = config.actor_column(log)
    if actor is None:
        return rows
    for column, kind in config.entity_columns(log).items():
        gone = acts.filter(pl.col("type") == kind)
        if column != actor and gone.height:
            named = gone.select(pl.col("entity").alias(actor), pl.col("object").alias(column))
            rows = rows.join(named.lazy(), on=[actor, column], how="anti")
    return rows


@dataclass(frozen=True)
class Removal:
    """Acts to leave out.

    Attributes:
        config: The night's config.
        acts: Frame of REMOVED: which users' acts on which objects.
        lost: Frame of REMOVED: the users and objects that no other event joins, those of `acts`
            and what else stood in the same events.
        touched: Frame of REMOVED: everybody who touched an object of `lost`, for PAIRS.
        links: Links that groups are made of, with these acts; None where no model reads groups.
    """

    config: Config
    acts: pl.DataFrame
    lost: pl.DataFrame
    touched: pl.DataFrame
    links: pl.DataFrame | None = None

    def events(self, log: str, rows: pl.LazyFrame) -> pl.LazyFrame:
        """EVENTS of a log without these acts."""
        return without_acts(self.config, self.acts, log, rows)

    def graph(self, graph: HeteroGraph) -> HeteroGraph:
        """The graph without these edges."""
        target = self.config.training.target
        removed: dict[EdgeType, Ends] = {}
        for edge_type in graph.edge_types:
            gone = self.lost.filter(pl.col("type") == edge_type[2])
            if edge_type[0] == target and gone.height:
                source = graph.dense(target, gone.get_column("entity").to_numpy())
                end = graph.dense(edge_type[2], gone.get_column("object").to_numpy())
                known = (source >= 0) & (end >= 0)
                removed[edge_type] = (source[known], end[known])
        return without_edges(graph, removed)

    def pairs(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """PAIRS without what these objects gave them.

        A pair that has lost k of its w objects keeps (w - k) / w of its evidence: surprisal adds up
        over objects about evenly. A pair that has lost all is gone. One that never had any (both
        were with the same others) is gone when either has lost an object of the channel.
        """
        lost = self._no_longer_common(pairs)
        both = pairs.join(lost, on=["user_a", "user_b", "channel"], how="left")
        left = (pl.col("weight") - pl.col("lost").fill_null(0)).clip(0)
        never = pl.col("weight") == 0
        share = pl.when(never).then(1.0).otherwise(left / pl.col("weight"))
        gone = pl.col("weight") <= pl.col("lost").fill_null(0)
        kept = both.filter(never | ~gone).with_columns(
            left.cast(pairs.schema["weight"]).alias("weight"),
            pl.min_horizontal("a_first", left).cast(pairs.schema["a_first"]).alias("a_first"),
            (pl.col("log10_p") * share).alias("log10_p"),
            (pl.col("log10_q") * share).alias("log10_q"),
        )
        losers = self._channels(self.lost).select("entity", "channel").unique()
        for end in ("user_a", "user_b"):
            rows = losers.select(pl.col("entity").alias(end), "channel", pl.lit(0).alias("weight"))
            kept = kept.join(
                rows.cast({"weight": kept.schema["weight"]}),
                on=[end, "channel", "weight"],
                how="anti",
                maintain_order="left",
            )
        return kept.select(pairs.columns)

    @property
    def links_left(self) -> pl.DataFrame:
        """The links that groups are made of, without what these objects gave them.

        Raises:
            ValueError: There are none to take from.
        """
        if self.links is None:
            message = "groups are read, but the removal holds no links"
            raise ValueError(message)
        return self.pairs(self.links)

    def _no_longer_common(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Objects that each pair no longer has in common: `user_a, user_b, channel, lost`."""
        keys = ["entity", "channel", "object"]
        gone = self._channels(self.lost).select(keys).unique()
        touched = self._channels(self.touched).select(keys).unique()
        parts = []
        for mine, theirs in (("user_a", "user_b"), ("user_b", "user_a")):
            sides = pairs.select("user_a", "user_b", "channel", pl.col(mine).alias("entity"))
            met = sides.join(gone, on=["entity", "channel"]).with_columns(
                pl.col(theirs).alias("other")
            )
            common = met.join(
                touched, left_on=["other", "channel", "object"], right_on=keys, how="semi"
            )
            parts.append(common.select("user_a", "user_b", "channel", "object"))
        every = pl.concat(parts).unique()
        return every.group_by("user_a", "user_b", "channel").agg(pl.len().alias("lost"))

    def _channels(self, acts: pl.DataFrame) -> pl.DataFrame:
        """The channels of PAIRS in which an object of each type can be shared."""
        rings = self.config.rings
        found = [(kind, f"{SHARED}{kind}") for kind in rings.shared]
        for trace in rings.traces:
            kind = self.config.entity_columns(trace.log).get(trace.object)
            # Nearly equal texts are of no type: there is no such object to leave out.
            if kind is not None:
                channel = f"{trace.log}.{trace.object}"
                found += [(kind, f"{prefix}{channel}") for prefix in ("", *SETS)]
        names = pl.DataFrame(found, schema={"type": pl.String, "channel": pl.String}, orient="row")
        return acts.join(names, on="type")

"""Reasons by leaving out: what was scored anew without a piece of evidence, or without a link.

Reads frames of what was left out and what came of it, writes nothing.
"""

import polars as pl

from graphguard.scores.reasons import reasons_of

COUNTERFACTUAL = {
    "key": pl.String,
    "words": pl.String,
    "before": pl.Float64,
    "after": pl.Float64,
}
"""Columns of a frame of counterfactuals: the evidence, the risk with it and without it."""

LINKS = {
    "key": pl.String,
    "relation": pl.String,
    "type": pl.String,
    "object": pl.String,
    "push": pl.Float64,
}
"""Columns of a frame of links: a user's relation to an object (null where that is a user, who is
not named), and how far the link moved the network's log-odds."""


def counterfactual_reasons(scored: pl.DataFrame) -> pl.DataFrame:
    """What the risk would be without evidence.

    Args:
        scored: COUNTERFACTUAL.

    Returns:
        Frame of reasons; the weight is the share of the risk that goes with the evidence. What
        lowers no risk is no reason and has no row.
    """
    before, after = (pl.col(name).round_sig_figs(2).cast(pl.String) for name in ("before", "after"))
    text = pl.format("without {}: {} → {}", "words", before, after)
    weight = (pl.col("before") - pl.col("after")) / pl.col("before")
    fell = scored.filter(pl.col("after") < pl.col("before"))
    return reasons_of(fell, "counterfactual", text, weight)


def link_reasons(links: pl.DataFrame, top: int = 2) -> pl.DataFrame:
    """The links that raised each user's score by a network most.

    Args:
        links: LINKS.
        top: Most reasons a user.

    Returns:
        Frame of reasons; the weight is the link's share of all that raised the user's score.
    """
    raised = links.filter(pl.col("push") > 0).sort(
        ["key", "push", "relation", "type", "object"],
        descending=[False, True, False, False, False],
        nulls_last=True,
    )
    best = raised.with_columns((pl.col("push") / pl.col("push").sum().over("key")).alias("share"))
    best = best.group_by("key", maintain_order=True).head(top)
    thing = pl.when(pl.col("object").is_null()).then(pl.lit("another user"))
    named = thing.otherwise(pl.format("{} {}", "type", "object"))
    text = pl.format(
        "{} {}: without it the network's log-odds are {} lower",
        "relation",
        named,
        pl.col("push").round_sig_figs(2).cast(pl.String),
    )
    return reasons_of(best, "model_link", text, pl.col("share"))

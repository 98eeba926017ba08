"""Groups: what strong links make of users before any model looks.

Reads GROUPS, as `jobs/groups.py` makes them; writes nothing. Not among the default themes: sets of
users that meet again and say alike are then looked for at every anchor, not at the last alone.
"""

import polars as pl

from graphguard.config.sections import Config
from graphguard.features.catalogue import GROUPS, FeatureColumn, asks_for

TOLD = {
    "size": "Users of the group that strong links make around the user; 0 without one",
    "ties": "Users of the group that the user itself is linked with; 0 without one",
    "tie_bits": "Evidence in bits of the user's links within its group; 0 without one",
    "density": "Share of the pairs of the user's group that are linked",
    "bits_each": "Evidence in bits within the user's group, by member",
}
"""Columns by what they say."""
ZERO = ("size", "ties", "tie_bits")
"""Columns that are 0, not null, for a user without a group."""
SCHEMA = {"entity": pl.Int64, "group": pl.Int64, **dict.fromkeys(TOLD, pl.Float64)}
"""Columns of GROUPS: one row a user in a group, `entity` its storage index."""


def group_catalogue(config: Config) -> list[FeatureColumn]:
    """The columns of `group_columns`, in order; none where the theme is not listed.

    Raises:
        BadSetting: The theme is listed and rows have anchors of their own.
    """
    if not asks_for(GROUPS, config):
        return []
    return [
        FeatureColumn(
            name=f"{GROUPS}.{name}",
            theme=GROUPS,
            scope=GROUPS,
            meaning=f"{words}.",
            phrase=f"{words[:1].lower()}{words[1:]}".split(";")[0],
        )
        for name, words in TOLD.items()
    ]


def group_columns(groups: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """What its group says of each row's user.

    Args:
        groups: GROUPS of the rows' anchor.
        rows: `entity` and `anchor_us`, all of one anchor.

    Returns:
        One row a row, in order, the columns of `group_catalogue`, float32.
    """
    met = rows.select("entity").join(groups, on="entity", how="left", maintain_order="left")
    zero = [pl.col(name).fill_null(0.0) for name in ZERO]
    return met.with_columns(zero).select(
        pl.col(name).cast(pl.Float32).alias(f"{GROUPS}.{name}") for name in TOLD
    )

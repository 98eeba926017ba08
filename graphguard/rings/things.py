"""What texts are about: the site of a link, or the object itself.

A site that more users write about than a crowd has says nothing: there each link stands for itself.
"""

import polars as pl

SITE = r"^(?i:[a-z][a-z0-9+.-]*://(?:www\.)?)([^/?#]+)"
"""Takes the site out of a link."""
OF_SITE = "site."
"""How the type of a thing begins that is the site of objects of a type."""


def things_of(rows: pl.DataFrame, keys: pl.DataFrame, most: int) -> pl.DataFrame:
    """The thing of each row.

    Args:
        rows: `user` and `object` of what is written.
        keys: `object` and its `key`; what is not among them was erased.
        most: Users of a site above which it is a crowd's.

    Returns:
        `thing`, its name, null where the object was erased, and `whole`, whether that is the
        object's own key and no site; in the order of `rows`.
    """
    site = pl.col("key").str.extract(SITE).str.to_lowercase()
    known = rows.select("user", "object").join(
        keys.select("object", "key", site=site), on="object", how="left", maintain_order="left"
    )
    crowd = pl.col("user").n_unique().over("site") > most
    whole = pl.col("site").is_null() | crowd
    return known.with_columns(whole=whole).select(
        pl.when("whole").then("key").otherwise("site").alias("thing"), "whole"
    )

"""Ring risk: the probability that a ring is abusive, learned from rings whose labels have matured.

Logistic regression with shrinkage on four facts of a ring: the share of members enforced before the
night, their mean risk, its evidence and its size. Below 30 matured rings there is no number: a
guess would be read as a probability.
"""

from collections.abc import Collection
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.ring_schema import RINGS

MIN_MATURED = 30
"""Fewest matured rings to learn from."""
MIN_EACH = 3
"""Fewest of them that are abusive, and fewest that are not."""
BAD_SHARE = 0.5
"""A ring is abusive when this share of its members was enforced in the end."""


def mature_rings(
    rings: pl.DataFrame, members: pl.DataFrame, enforced: Collection[str], night: date
) -> pl.DataFrame:
    """Give the rings of an earlier night the label that has become known since.

    Args:
        rings: RINGS of that night, whose horizon must be over.
        members: RING_MEMBERS of that night.
        enforced: Keys enforced before the present as_of, cleared ones left out.
        night: as_of of that night.

    Returns:
        RINGS and `night`, `bad` (at least half of the members enforced). Put the nights together
        for `ring_risk`.
    """
    known = pl.Series(list(enforced), dtype=pl.String)
    shares = members.group_by("ring_id").agg(pl.col("key").is_in(known.implode()).mean().alias("s"))
    return rings.join(shares, on="ring_id").select(
        *RINGS.columns, pl.lit(night).alias("night"), (pl.col("s") >= BAD_SHARE).alias("bad")
    )


def ring_risk(rings: pl.DataFrame, matured: pl.DataFrame | None = None) -> pl.DataFrame:
    """Probability that each ring is abusive.

    Args:
        rings: RINGS of tonight.
        matured: Rows of `mature_rings`; of a ring seen on several nights the newest counts.

    Returns:
        `ring_id, ring_risk`, sorted by ring. Null for all below 30 matured rings, or where fewer
        than 3 of them are abusive or fewer than 3 are not: nothing can be told apart.

    Cost: a fit of four coefficients.
    """
    names = rings.select("ring_id").sort("ring_id")
    history = _newest(matured)
    bad = history["bad"].sum() if history.height else 0
    if history.height < MIN_MATURED or min(bad, history.height - bad) < MIN_EACH:
        return names.with_columns(pl.lit(None, pl.Float64).alias("ring_risk"))
    known = _facts(history)
    # Where no member has a risk, the ring says nothing by it: it gets the middle of the others.
    middle = np.nan_to_num(np.nanmedian(known[:, 1])) if np.isfinite(known[:, 1]).any() else 0.0
    known = np.where(np.isfinite(known), known, middle)
    mean, scale = known.mean(axis=0), known.std(axis=0)
    scale[scale == 0] = 1.0
    # The penalty keeps the numbers modest where few rings separate the two kinds perfectly.
    # Imported where it is used: half a second that every command would wait for.
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1.0, max_iter=1000)
    model.fit((known - mean) / scale, history["bad"].to_numpy())
    if not rings.height:
        return names.with_columns(pl.lit(None, pl.Float64).alias("ring_risk"))
    tonight = _facts(rings.sort("ring_id"))
    tonight = np.where(np.isfinite(tonight), tonight, middle)
    risk = model.predict_proba((tonight - mean) / scale)[:, 1]
    return names.with_columns(pl.Series("ring_risk", risk, dtype=pl.Float64))


def _newest(matured: pl.DataFrame | None) -> pl.DataFrame:
    if matured is None:
        return pl.DataFrame(schema={"ring_id": pl.String, "bad": pl.Boolean})
    # Sorted before the fit: sums of floats depend on their order.
    return matured.sort("ring_id", "night").unique("ring_id", keep="last", maintain_order=True)


def _facts(rings: pl.DataFrame) -> NDArray[np.float64]:
    """Facts of rings, shape [n, 4]; only column 1, the mean risk, may be NaN."""
    return (
        rings.select(
            (pl.col("known_bad") / pl.col("size")).alias("enforced_share"),
            pl.col("mean_risk").fill_null(float("nan")),
            (pl.col("evidence_bits") / pl.col("size")).clip(0.0).log1p().alias("bits"),
            pl.col("size").cast(pl.Float64).log().alias("log_size"),
        )
        .to_numpy()
        .astype(np.float64)
    )

"""Rings of a past night without some members: what is left is described anew, or is no ring."""

from collections.abc import Collection, Mapping

import polars as pl

from graphguard.erase.doomed import Doomed
from graphguard.rings.describe import RingInputs, member_table
from graphguard.rings.fusion import pair_bits

Tables = dict[str, pl.DataFrame]
WHAT_STANDS = (
    "rings", "ring_members", "ring_evidence", "ring_acts", "ring_sets", "ring_changes",
)  # fmt: skip


def rings_without(tables: Mapping[str, pl.DataFrame], gone: Collection[str], least: int) -> Tables:
    """The tables of `WHAT_STANDS` without the members `gone`.

    Of a ring that loses members, size, density, bits, channels, roles and degrees are counted anew
    from the evidence among those who stay; what tests and scores said of the ring that night
    (`log10_p`, `synchrony_s`, `mean_risk`, `known_bad`, ties' counts) stays as it was said, and so
    does what tests said of sets; of a set of several one alone is nothing. A ring left with fewer
    than `least` members is dissolved: it goes from all tables.

    Args:
        tables: The tables; without evidence only sizes are counted anew.
        gone: Keys of the members that go.
        least: Fewest members of a ring.
    """
    keys = pl.Series(sorted(gone), dtype=pl.String).implode()
    members = tables["ring_members"]
    lost = members.filter(pl.col("key").is_in(keys)).get_column("ring_id").unique()
    if not lost.len():
        return dict(tables)
    kept = members.filter(~pl.col("key").is_in(keys))
    sizes = kept.group_by("ring_id").len()
    small = sizes.filter(pl.col("len") < least).get_column("ring_id")
    empty = members.get_column("ring_id").unique()
    dead = [*small, *set(empty) - set(sizes.get_column("ring_id"))]
    alive = ~pl.col("ring_id").is_in(pl.Series(dead, dtype=pl.String).implode())
    changed = kept.filter(alive & pl.col("ring_id").is_in(lost.implode()))
    found = {name: table.filter(alive) for name, table in tables.items()}
    found["ring_members"] = kept.filter(alive)
    if "ring_acts" in tables:
        found["ring_acts"] = found["ring_acts"].filter(~pl.col("key").is_in(keys))
    if "ring_sets" in tables:
        left = found["ring_sets"].with_columns(without(pl.col("keys"), gone))
        several = pl.min_horizontal("users", pl.lit(2))
        found["ring_sets"] = left.filter(pl.col("keys").list.len() >= several)
    if "ring_evidence" in tables:
        evidence = tables["ring_evidence"].filter(
            alive & ~pl.col("key_a").is_in(keys) & ~pl.col("key_b").is_in(keys)
        )
        found["ring_evidence"] = evidence
        mine = evidence.filter(pl.col("ring_id").is_in(lost.implode()))
        found["ring_members"] = _members(found["ring_members"], changed, mine)
        found["rings"] = _linked(found["rings"], changed, mine)
    else:
        found["rings"] = _sized(found["rings"], changed)
    return found


def without(lists: pl.Expr, gone: Collection[str]) -> pl.Expr:
    """Lists of keys without those that go."""
    return lists.list.filter(
        ~pl.element().is_in(pl.Series(sorted(gone), dtype=pl.String).implode())
    )


def sets_without_objects(sets: pl.DataFrame, doomed: Doomed) -> pl.DataFrame:
    """RING_SETS on no object that is erased, and on none whose name names somebody erased."""
    for kind, keys in sorted(doomed.keys.items()):
        kept = pl.when(pl.col("object_type") == kind).then(without(pl.col("objects"), keys))
        sets = sets.with_columns(kept.otherwise("objects").alias("objects"))
    names = sets.get_column("objects").explode(empty_as_null=False).unique()
    named = [names[place] for place in doomed.mentions.blanked(names)]
    return sets.with_columns(without(pl.col("objects"), named)) if named else sets


def without_rings(frame: pl.DataFrame, names: Collection[str]) -> pl.DataFrame:
    """SCORES or DECISIONS whose users are in none of the named rings any more."""
    if not names or "ring_id" not in frame.columns:
        return frame
    mine = pl.col("ring_id").is_in(pl.Series(sorted(names)).implode()).fill_null(value=False)
    if not frame.select(mine.any()).item():
        return frame
    return frame.with_columns(
        pl.when(~mine).then(pl.col(name)).alias(name) for name in ("ring_id", "ring_risk")
    )


def _named(evidence: pl.DataFrame) -> pl.DataFrame:
    return evidence.rename({"ring_id": "ring", "key_a": "user_a", "key_b": "user_b"})


def _members(table: pl.DataFrame, changed: pl.DataFrame, evidence: pl.DataFrame) -> pl.DataFrame:
    """RING_MEMBERS with role, degree and bits of the changed rings counted anew."""
    users = changed.select(pl.col("ring_id").alias("ring"), pl.col("key").alias("user"))
    none = pl.DataFrame()
    inputs = RingInputs(users, none, none, none, none, 1.0)
    new = member_table(inputs, _named(evidence))
    new = new.rename({"ring": "ring_id", "user": "key"})
    values = ["role", "degree", "evidence_bits"]
    joined = table.join(
        new, on=["ring_id", "key"], how="left", suffix=" new", maintain_order="left"
    )
    return joined.select(
        *(pl.coalesce(f"{name} new", name).alias(name) if name in values else pl.col(name)
          for name in table.columns)
    )  # fmt: skip


def _linked(rings: pl.DataFrame, changed: pl.DataFrame, evidence: pl.DataFrame) -> pl.DataFrame:
    """RINGS with size, density, bits and channels of the changed rings counted anew."""
    named = _named(evidence)
    home = named.select("ring", "user_a", "user_b").unique()
    pairs = pair_bits(named).join(home, on=["user_a", "user_b"]).sort("ring", "user_a", "user_b")
    linked = pairs.group_by("ring").agg(
        pl.len().cast(pl.Int64).alias("links"), pl.col("bits").sum().alias("evidence_bits new")
    )
    strength = (
        named.group_by("ring", "channel")
        .agg(pl.col("bits").sum())
        .sort(["ring", "bits", "channel"], descending=[False, True, False])
        .group_by("ring", maintain_order=True)
        .agg(pl.col("channel").str.join(",").alias("channels new"))
    )
    facts = linked.join(strength, on="ring", how="full", coalesce=True).rename({"ring": "ring_id"})
    sizes = changed.group_by("ring_id").agg(pl.len().cast(pl.Int64).alias("size new"))
    joined = rings.join(
        sizes.join(facts, on="ring_id", how="left"), on="ring_id", how="left", maintain_order="left"
    )
    size = pl.col("size new")
    new = size.is_not_null()
    density = pl.col("links").fill_null(0) / (size * (size - 1) / 2)
    return joined.with_columns(
        pl.coalesce("size new", "size").alias("size"),
        pl.when(new).then(density).otherwise(pl.col("density")).alias("density"),
        pl.when(new)
        .then(pl.col("evidence_bits new").fill_null(0.0))
        .otherwise(pl.col("evidence_bits"))
        .alias("evidence_bits"),
        pl.when(new)
        .then(pl.col("channels new").fill_null(""))
        .otherwise(pl.col("channels"))
        .alias("channels"),
    ).select(rings.columns)


def _sized(rings: pl.DataFrame, changed: pl.DataFrame) -> pl.DataFrame:
    sizes = changed.group_by("ring_id").agg(pl.len().cast(pl.Int64).alias("new"))
    joined = rings.join(sizes, on="ring_id", how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("new", "size").alias("size")).select(rings.columns)

"""Facts that reasons are made of: what a user shares, and with whom it acts.

Reads links between users and objects and RING_EVIDENCE, writes nothing.
"""

from collections.abc import Collection, Mapping

import polars as pl

from graphguard.rings.evidence import LIKENESS, SHARED, acts_channel

NOT_ACTS = (SHARED, *LIKENESS)
"""Channels of RING_EVIDENCE that start so are no acts in time."""


def touched_objects(links: pl.DataFrame, flagged: Collection[str], max_users: int) -> pl.DataFrame:
    """Every object that users have, and who else has it.

    Args:
        links: `key, entity_type, entity`: which user has which object; repeats count once.
        flagged: Keys of users known bad before as_of.
        max_users: Objects of more users say nothing of one of them and are passed over.

    Returns:
        `key, entity_type, entity, others, flagged`, the two numbers without the user itself;
        within a user and type those with most flagged others first, then the rarest, then by key.

    Cost: one sort of the links.
    """
    bad = pl.DataFrame({"key": list(flagged)}, schema={"key": pl.String}).unique()
    distinct = (
        links.select("key", "entity_type", "entity")
        .unique()
        .join(bad.with_columns(pl.lit(1).alias("own")), on="key", how="left")
        .with_columns(pl.col("own").fill_null(0))
    )
    thing = ["entity_type", "entity"]
    users = distinct.group_by(thing).agg(pl.len().alias("users"), pl.col("own").sum().alias("bad"))
    return (
        distinct.join(users.filter(pl.col("users") <= max_users), on=thing)
        .select(
            "key",
            *thing,
            (pl.col("users").cast(pl.Int64) - 1).alias("others"),
            (pl.col("bad") - pl.col("own")).cast(pl.Int64).alias("flagged"),
        )
        .sort(
            ["key", "entity_type", "flagged", "others", "entity"],
            descending=[False, False, True, False, False],
        )
    )


def shared_facts(objects: pl.DataFrame) -> pl.DataFrame:
    """The most telling object of each type that a user shares.

    Args:
        objects: As `touched_objects` makes them.

    Returns:
        Those with a flagged other user, at most one row per user and type: the one with most of
        them, then the rarest, then by key. Sorted by key and type.
    """
    shared = objects.filter(pl.col("flagged") > 0)
    return shared.unique(["key", "entity_type"], keep="first", maintain_order=True)


def coaction_facts(
    evidence: pl.DataFrame, acts: Mapping[str, tuple[str, str]] | None = None
) -> pl.DataFrame:
    """The strongest true sentence about each user and channel of coordinated acts.

    Args:
        evidence: RING_EVIDENCE; channels that are no acts are left out.
        acts: Verb and plural noun by channel, as `{"likes.content_id": ("liked", "posts")}`;
            otherwise `acted on` and the channel's name.

    Returns:
        `key, channel, verb, noun, objects, window_us, users, log10_p`, sorted by key and channel:
        with each of `users` others the user has at least `objects` objects in common within
        `window_us` (the widest of these pairs). Of all such sentences the one with most
        objects times users; `log10_p` is that of the strongest pair.

    Cost: one sort of the evidence.
    """
    trace = ~pl.any_horizontal([pl.col("channel").str.starts_with(one) for one in NOT_ACTS])
    facts = ["channel", "window_us", "weight", "log10_p"]
    # Who were with the same others, and never together, have nothing in common to tell.
    both = evidence.filter(trace, pl.col("weight") > 0)
    sides = [
        both.select(pl.col(mine).alias("key"), pl.col(theirs).alias("other"), *facts)
        for mine, theirs in (("key_a", "key_b"), ("key_b", "key_a"))
    ]
    group = ["key", "channel"]
    # A pair may stand in several rings: it is still one pair.
    ranked = (
        pl.concat(sides)
        .sort([*group, "other", "weight", "window_us", "log10_p"])
        .unique([*group, "other"], keep="last", maintain_order=True)
        .sort([*group, "weight", "other"], descending=[False, False, True, False])
        .with_columns(
            (pl.int_range(pl.len()).over(group) + 1).alias("users"),
            pl.col("window_us").cum_max().over(group),
            pl.col("log10_p").cum_min().over(group),
        )
    )
    size = (pl.col("users") * pl.col("weight")).alias("size")
    best = ranked.sort([*group, size, "users"], descending=[False, False, True, True]).unique(
        group, keep="first", maintain_order=True
    )
    words = acts or {}
    plain = acts_channel(pl.col("channel"))
    verbs = {name: verb for name, (verb, _) in words.items()}
    nouns = {name: noun for name, (_, noun) in words.items()}
    return best.select(
        "key",
        "channel",
        plain.replace_strict(verbs, default="acted on", return_dtype=pl.String).alias("verb"),
        plain.replace_strict(nouns, default=plain, return_dtype=pl.String).alias("noun"),
        pl.col("weight").alias("objects"),
        "window_us",
        "users",
        "log10_p",
    )

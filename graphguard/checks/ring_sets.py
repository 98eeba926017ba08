"""Recompute what the sets behind a night's rings say: their q from terms, links from sets."""

import json
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np
import polars as pl

from graphguard.checks.numbers import CLOSE, far, told
from graphguard.rings.beside import BESIDE_TEST, HALF, last_us
from graphguard.rings.cores import TIES
from graphguard.rings.earlier import EARLIER_TEST
from graphguard.rings.evidence import SETS, acts_channel
from graphguard.rings.joining import LEAST_MEMBERS
from graphguard.rings.known import KNOWN_TEST, OWN
from graphguard.rings.set_numbers import TESTS
from graphguard.rings.set_terms import OF_SET

SET = ["ring_id", "channel", "number"]
PAIR = ["ring_id", "channel", "key_a", "key_b"]
BURSTS = ("again", "once")
"""Tests of sets whose users were together within the window, on each object."""
CORE, COMPANY, AUDIENCE = "core", "company", "audience"
JOINS = (KNOWN_TEST, BESIDE_TEST)
"""Tests of one who joins, in the order in which they are made."""


def sets_differ(sets: pl.DataFrame, acts: pl.DataFrame) -> Iterator[str]:
    """Sets whose q does not follow from their terms, or that did not meet on what they say.

    Args:
        sets: RING_SETS.
        acts: RING_ACTS.
    """
    for row in sets.iter_rows(named=True):
        where = f"set {row['number']} of {row['channel']} in {row['ring_id']}"
        if len(row["keys"]) > row["users"]:
            yield f"{where}: {len(row['keys'])} of its {row['users']} users are in the ring"
        terms = json.loads(row["terms"])
        try:
            numbers = TESTS[row["test"]](row["users"], terms)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            yield f"{where}: no number follows from its terms ({type(error).__name__}: {error})"
            continue
        for place, again in numbers.items():
            held = row["log10_q"] if place == OF_SET else reduce(_at, place, terms)
            if not np.isclose(held, again, rtol=CLOSE, atol=CLOSE):
                name = ".".join(map(str, place)) or "log10_q"
                yield f"{where}: {name} is {held}, recomputed {again}"
    yield from _apart(sets, acts)


def common_differs(sets: pl.DataFrame, acts: pl.DataFrame) -> Iterator[str]:
    """Pairs of objects with fewer users in common than the ring's own acts show."""
    seen = _users_of(acts)
    for row in sets.filter(pl.col("test") == AUDIENCE).iter_rows(named=True):
        trace = row["channel"].split(".", 1)[1]
        for pair in json.loads(row["terms"]).get("pairs", []):
            ends = [(row["ring_id"], trace, row["objects"][end]) for end in pair["ends"]]
            both = len(seen.get(ends[0], set()) & seen.get(ends[1], set()))
            if both > pair["common"]:
                names = " and ".join(repr(one[2]) for one in ends)
                yield f"{names} share {pair['common']} users, {both} of the ring alone"


def earlier_differs(sets: pl.DataFrame, acts: pl.DataFrame) -> Iterator[str]:
    """Sets of an earlier group on an object that has not as many users as their terms say.

    Args:
        sets: RING_SETS.
        acts: RING_ACTS.
    """
    place = ["ring_id", "trace", "object"]
    held = acts.select("ring_id", "object", trace="channel", held="users").unique(place)
    mine = _placed(sets.filter(pl.col("test") == EARLIER_TEST)).unique([*SET, "object"])
    said = pl.col("terms").str.json_path_match("$.users").cast(pl.Float64)
    seen = mine.join(held, on=place).with_columns(said.alias("said"))
    for row in seen.filter(pl.col("said") != pl.col("held")).sort(*SET).iter_rows(named=True):
        where = f"set {row['number']} of {row['channel']} in {row['ring_id']}"
        yield f"{where}: {row['object']} has {row['said']} users, {row['held']} by its acts"


def set_links_differ(
    links: pl.DataFrame, sets: pl.DataFrame, acts: pl.DataFrame, num_pairs: float
) -> Iterator[str]:
    """Links that are not those of the sets: pairs, objects in common, p and q.

    Args:
        links: RING_EVIDENCE.
        sets: RING_SETS.
        acts: RING_ACTS.
        num_pairs: All pairs of users: a link's p is its set's q on their scale.
    """
    mine = links.filter(pl.col("channel").str.contains(SETS))
    mine = mine.with_columns(
        key_a=pl.min_horizontal("key_a", "key_b"), key_b=pl.max_horizontal("key_a", "key_b")
    )
    made = pl.concat([_met(sets, acts), _cores(sets, mine), _joined(sets, acts)])
    best = made.group_by(PAIR).agg(pl.col("weight").max(), pl.col("log10_q").min())
    both = mine.join(best, on=PAIR, how="full", suffix="_set", coalesce=True)
    for lacking, reason in (("log10_q_set", "is of no set"), ("log10_q", "is in no evidence")):
        for row in both.filter(pl.col(lacking).is_null()).select(PAIR).sort(PAIR).iter_rows():
            yield f"{', '.join(row)}: the link {reason}"
    held = both.drop_nulls(["log10_q", "log10_q_set"]).sort(PAIR)
    again = held.get_column("weight_set")
    wrong = (held.get_column("weight") != again) & again.is_not_null()
    yield from told(held.filter(wrong), "weight", again.filter(wrong))
    yield from far(held, "log10_q", held.get_column("log10_q_set"))
    on_scale = held.get_column("log10_q_set") - np.log10(max(num_pairs, 1.0))
    yield from far(held, "log10_p", on_scale)


def _at(value: Any, place: str | int) -> Any:
    return value[place]


def _users_of(acts: pl.DataFrame) -> dict[tuple[str, str, str], set[str]]:
    """Members who acted on each object of a ring and channel."""
    place = ("ring_id", "channel", "object")
    found = acts.group_by(place).agg(pl.col("key").unique())
    return {(ring, channel, thing): set(keys) for ring, channel, thing, keys in found.iter_rows()}


def _placed(sets: pl.DataFrame) -> pl.DataFrame:
    """Each user of a set and each of its objects, with the channel of its acts (`trace`)."""
    return (
        sets.with_columns(acts_channel(pl.col("channel")).alias("trace"))
        .explode("objects", empty_as_null=False)
        .explode("keys", empty_as_null=False)
        .rename({"objects": "object", "keys": "key"})
    )


def _first(acts: pl.DataFrame) -> pl.DataFrame:
    """When each member first acted on an object."""
    place = ["ring_id", "channel", "object", "key"]
    first = acts.group_by(place).agg(pl.col("time_us").min().alias("first_us"))
    return first.rename({"channel": "trace"})


def _apart(sets: pl.DataFrame, acts: pl.DataFrame) -> Iterator[str]:
    """Users of a set who did not act on an object of it, or were not together there in time."""
    whole = sets.filter(pl.col("test").is_in([*BURSTS, "alike", EARLIER_TEST, *JOINS]))
    place = ["ring_id", "trace", "object", "key"]
    seen = _placed(whole).join(_first(acts), on=place, how="left").sort(*SET, "object", "key")
    for row in seen.filter(pl.col("first_us").is_null()).iter_rows(named=True):
        yield f"{row['key']} of {row['channel']} in {row['ring_id']} has no act on {row['object']}"
    bursts = seen.filter(pl.col("test").is_in(BURSTS))
    span = pl.col("first_us").max() - pl.col("first_us").min()
    spans = bursts.group_by(*SET, "object", "window_us", maintain_order=True).agg(span)
    for row in spans.filter(pl.col("first_us") > pl.col("window_us")).iter_rows(named=True):
        yield (
            f"set {row['number']} of {row['channel']} in {row['ring_id']} was on {row['object']} "
            f"within {row['first_us'] / 1e6:g} s, not {row['window_us'] / 1e6:g} s"
        )


def _met(sets: pl.DataFrame, acts: pl.DataFrame) -> pl.DataFrame:
    """The pairs inside sets that met, with the objects that they have in common and the least q."""
    met = sets.filter(~pl.col("test").is_in([CORE, COMPANY, *JOINS]))
    there = _placed(met).join(
        _first(acts), on=["ring_id", "trace", "object", "key"], how="inner"
    ).select(*SET, "object", "key", "log10_q")  # fmt: skip
    inside = there.join(there, on=[*SET, "object"], suffix="_b").filter(
        pl.col("key") < pl.col("key_b")
    )
    weight = pl.col("object").n_unique().cast(pl.Int64).alias("weight")
    named = inside.rename({"key": "key_a"})
    pairs = named.group_by(PAIR).agg(weight, pl.col("log10_q").min())
    # Who were in no burst together are linked by the company they kept.
    company = _pairs(sets.filter(pl.col("test") == COMPANY))
    apart = company.join(pairs, on=PAIR, how="anti").with_columns(
        pl.lit(0, dtype=pl.Int64).alias("weight")
    )
    return pl.concat([pairs, apart.select(pairs.columns)])


def _joined(sets: pl.DataFrame, acts: pl.DataFrame) -> pl.DataFrame:
    """Who joins, with all of the ring who are on the same; of two who join the greater q."""
    seen = _with_others(sets, acts).filter(pl.col("other") != pl.col("key"))
    weight = pl.col("object").n_unique().cast(pl.Int64).alias("weight")
    ends = seen.with_columns(
        key_a=pl.min_horizontal("key", "other"), key_b=pl.max_horizontal("key", "other")
    )
    return ends.group_by(PAIR).agg(weight, pl.col("log10_q").max())


def _with_others(sets: pl.DataFrame, acts: pl.DataFrame) -> pl.DataFrame:
    """Who joins on each object, and each of the ring (`other`) who is there, at `first_us`."""
    joins = _placed(sets.filter(pl.col("test").is_in(JOINS)))
    there = _first(acts).rename({"key": "other"})
    return joins.join(there, on=["ring_id", "trace", "object"], how="inner")


def strangers_join(sets: pl.DataFrame, acts: pl.DataFrame) -> Iterator[str]:
    """Users who join by what is not largely the ring's own, or when no member was there.

    Args:
        sets: RING_SETS.
        acts: RING_ACTS.
    """
    for place, test in enumerate(JOINS):
        # Who joins by a later test was no member yet.
        yet = _joining(sets, JOINS[place:])
        mine = with_spans(sets, acts).filter(pl.col("test") == test)
        yield from _strange(mine, acts, yet, HALF if test == BESIDE_TEST else OWN)


def with_spans(sets: pl.DataFrame, acts: pl.DataFrame) -> pl.DataFrame:
    """Sets with when the ring was on what users came to beside it: `begin_us`, `end_us`, or null.

    Args:
        sets: RING_SETS.
        acts: RING_ACTS.
    """
    mine = sets.filter(pl.col("test") == BESIDE_TEST)
    members = _with_others(mine, acts).join(
        _joining(sets, [BESIDE_TEST]), on=["ring_id", "other"], how="anti"
    )
    step_us = pl.col("terms").str.json_path_match("$.step_us").cast(pl.Int64).first()
    spans = members.group_by(SET).agg(
        begin_us=pl.col("first_us").min(), end_us=last_us(pl.col("first_us").max(), step_us)
    )
    return sets.join(spans, on=SET, how="left", maintain_order="left")


def campaigns_differ(sets: pl.DataFrame) -> Iterator[str]:
    """Calls of one ring that were asked together, of which its sets say different things.

    Args:
        sets: RING_SETS.
    """
    mine = sets.filter(pl.col("test") == BESIDE_TEST).with_columns(
        pl.col("terms").str.json_path_match("$.calls").alias("calls"),
        pl.col("terms").str.json_path_match("$.at").alias("at"),
        pl.col("objects").list.first().alias("object"),
    )
    whole = mine.filter(pl.col("calls").is_not_null())
    every = pl.col("calls").n_unique() > 1
    places = pl.struct("at", "object").n_unique() != pl.col("at").n_unique()
    of = ["ring_id", "channel"]
    for ring, channel in (
        whole.group_by(of).agg(bad=every | places).filter("bad").sort(of)[of].iter_rows()
    ):
        yield f"{channel} of {ring}: its sets do not say the same of all calls together"


def _joining(sets: pl.DataFrame, tests: Sequence[str]) -> pl.DataFrame:
    """Who joins each ring (`other`) by some tests."""
    every = sets.filter(pl.col("test").is_in(tests)).explode("keys", empty_as_null=False)
    return every.select("ring_id", other="keys").unique()


def _strange(
    sets: pl.DataFrame, acts: pl.DataFrame, joining: pl.DataFrame, least_share: float
) -> Iterator[str]:
    users = acts.select("ring_id", "object", "users", trace="channel").unique()
    seen = _with_others(sets, acts)
    here, place = ["ring_id", "trace", "object"], [*SET, "object"]
    own = seen.filter(pl.col("other") == pl.col("key")).select(
        *place, "key", "test", "trace", "window_us", "terms", "begin_us", "end_us", at_us="first_us"
    )
    members = seen.join(joining, on=["ring_id", "other"], how="anti").join(
        own.select(*place, "at_us"), on=place
    )
    apart = (pl.col("first_us") - pl.col("at_us")).abs().min().alias("apart_us")
    held = members.group_by(place).agg(pl.len().alias("members"), apart)
    held = own.join(users, on=here).join(held, on=place, how="left")
    number = pl.col("members").fill_null(0)
    few = (number < LEAST_MEMBERS) | (number < least_share * pl.col("users"))
    # Who comes beside a ring comes while it is there, however long that is.
    far_off = (pl.col("apart_us") > pl.col("window_us")) & (pl.col("test") != BESIDE_TEST)
    late = far_off.fill_null(value=False)
    late |= (~pl.col("at_us").is_between("begin_us", "end_us")).fill_null(value=False)
    for row in held.filter(few | late).sort(place).iter_rows(named=True):
        yield (
            f"{row['key']} joins {row['ring_id']} on {row['object']}, where {row['members'] or 0} "
            f"of {row['users']} users are members, the nearest {(row['apart_us'] or 0) / 1e6:g} s "
            "away"
        )
    beside = held.filter((pl.col("test") == BESIDE_TEST) & (number >= LEAST_MEMBERS))
    for row in beside.sort(place).iter_rows(named=True):
        said = json.loads(row["terms"]).get("members")
        if said != row["members"]:
            where = f"set {row['number']} of {row['channel']} in {row['ring_id']}"
            yield f"{where}: members is {said}, {row['members']} by its acts"


def _pairs(sets: pl.DataFrame) -> pl.DataFrame:
    """All pairs inside sets, with the least q of these."""
    users = sets.select(*SET, "keys", "log10_q").explode("keys", empty_as_null=False)
    users = users.rename({"keys": "key_a"})
    both = users.join(users.rename({"key_a": "key_b"}).drop("log10_q"), on=SET)
    inside = both.filter(pl.col("key_a") < pl.col("key_b"))
    return inside.group_by(PAIR).agg(pl.col("log10_q").min())


def _cores(sets: pl.DataFrame, links: pl.DataFrame) -> pl.DataFrame:
    """The pairs of cores that are linked: in a core not all are, so its links name themselves."""
    cores = sets.filter(pl.col("test") == CORE)
    inside = _pairs(cores).join(links.select(PAIR), on=PAIR, how="semi")
    unlinked = pl.lit(None, dtype=pl.Int64).alias("weight")
    return inside.with_columns(unlinked).select(*PAIR, "weight", "log10_q")


def untied(sets: pl.DataFrame, links: pl.DataFrame) -> Iterator[str]:
    """Users of sets without a link of them, or with fewer than a core needs that is in the ring.

    Args:
        sets: RING_SETS.
        links: RING_EVIDENCE.
    """
    ends = pl.concat(
        [links.select("ring_id", "channel", pl.col(one).alias("key")) for one in ("key_a", "key_b")]
    )
    ties = ends.group_by("ring_id", "channel", "key").agg(pl.len().alias("ties"))
    members = sets.with_columns(pl.col("keys").list.len().alias("held"))
    members = members.explode("keys", empty_as_null=False).rename({"keys": "key"})
    found = members.join(ties, on=["ring_id", "channel", "key"], how="left")
    whole = (pl.col("test") == CORE) & (pl.col("held") == pl.col("users"))
    least = pl.when(whole).then(TIES).otherwise(1)
    few = found.with_columns(pl.col("ties").fill_null(0), least.alias("least"))
    for row in few.filter(pl.col("ties") < pl.col("least")).sort(*SET, "key").iter_rows(named=True):
        yield (
            f"{row['key']} has {row['ties']} links of {row['channel']} in {row['ring_id']}, "
            f"not {row['least']}"
        )

"""Network: what a user touches, who was there before, and how quickly the user followed.

Reads the object columns of `features/rows.py` and PAIRS; writes nothing. `Others` are the users
that touched the same object earlier in the row's window; in a log without times, all others.
Sharing weighs an object by its rarity, as in Adamic and Adar 2003, "Friends and neighbors on the
Web".
"""

import narwhals as nw

from graphguard.features.exact import fixed, log1p, real, share, total

MICRO = 1e6
LINKED_LOG10_Q = -2.0
"""A pair of users counts as linked from this false discovery rate down (1%)."""
EVIDENCE_CAP = 300.0
"""Largest -log10 p that counts: beyond it a probability underflows on some machines."""


def num_objects() -> nw.Expr:
    """Number of distinct objects touched.

    The user's degree: mass action touches many, a one-purpose account a single one.
    """
    return nw.col("object").n_unique()


def objects_per_event() -> nw.Expr:
    """Distinct objects per event.

    Near 1 for accounts that hit each target once, small for those that keep at one.
    """
    return nw.col("object").n_unique().cast(nw.Float64) / nw.len()


def top_object_share() -> nw.Expr:
    """Share of the events on the user's commonest object.

    Near 1 for accounts that were made for one target.
    """
    return nw.col("object_tally").max().cast(nw.Float64) / nw.len()


def mean_log_popularity() -> nw.Expr:
    """Mean logarithm of 1 + others on the object at the time of the event.

    Paid engagement goes to objects that nobody else looks at, spam to those that all see.
    """
    return real(log1p(nw.col("earlier_users")).sum()) / nw.col("earlier_users").count()


def max_popularity() -> nw.Expr:
    """Largest number of others on an object at the time of the event.

    A device or address with many earlier users is a farm, a café or a proxy.
    """
    return nw.col("earlier_users").max()


def untouched_share() -> nw.Expr:
    """Share of the events on objects that no other had touched.

    High for original work and for private devices; low for followers and shared machines.
    """
    return share(nw.col("earlier_users") == 0)


def few_others_share() -> nw.Expr:
    """Share of the events on objects that one to three others had touched.

    Rings share what few others have.
    """
    return share((nw.col("earlier_users") >= 1) & (nw.col("earlier_users") <= 3))


def rare_sharing() -> nw.Expr:
    """Sum over shared objects of 1 / log(2 + others).

    Two accounts on one rare object say more than a thousand on a famous one.
    """
    others = nw.col("earlier_users").cast(nw.Float64)
    counts = nw.col("first_touch") & (nw.col("earlier_users") > 0)
    return real(nw.when(counts).then(fixed(1.0 / (others + 2.0).log())).sum())


def median_follow_s() -> nw.Expr:
    """Median seconds since the last other touched the object; null where none had.

    Members of a ring act minutes after one another, strangers days.
    """
    return nw.col("follow_us").median() / MICRO


def min_follow_s() -> nw.Expr:
    """Smallest number of seconds since the last other touched the object; null where none had.

    One instant reaction is chance; see the share for a habit of them.
    """
    return nw.col("follow_us").min().cast(nw.Float64) / MICRO


def follows_within_10s_share() -> nw.Expr:
    """Share of the events at most 10 seconds after another's on the same object.

    Accounts driven by one script fire together.
    """
    return share(nw.col("follow_us").fill_null(-1).is_between(0, 10_000_000))


def follows_within_60s_share() -> nw.Expr:
    """Share of the events at most 60 seconds after another's on the same object.

    Paid crowds answer a call within a minute.
    """
    return share(nw.col("follow_us").fill_null(-1).is_between(0, 60_000_000))


def median_object_age_s() -> nw.Expr:
    """Median seconds since the first other touched the object; null where none had.

    Boosters come while an object is young, readers at any time.
    """
    return nw.col("object_age_us").median() / MICRO


def crowd_share() -> nw.Expr:
    """Share of the events on the user's objects that others had made before.

    Who adds one act to a thousand is in a crowd; who makes the most of an object owns it.
    """
    others = nw.col("earlier_events").sum().cast(nw.Float64)
    return others / (others + nw.len())


def linked_users() -> nw.Expr:
    """Number of users linked at a false discovery rate of 1% or less.

    Links that chance does not explain are the fabric of rings.
    """
    return total(nw.col("log10_q") <= LINKED_LOG10_Q)


def max_link_evidence() -> nw.Expr:
    """Largest -log10 p of a pair with the user.

    One pair beyond chance is enough to look.
    """
    return real(nw.col("evidence").max())


def sum_link_evidence() -> nw.Expr:
    """Sum of -log10 p over the pairs with the user.

    Many weak links together tell as much as a strong one.
    """
    return real(nw.col("evidence").sum())


def max_link_weight() -> nw.Expr:
    """Largest number of objects shared with one user within the window of the link.

    Ring members meet again and again.
    """
    return nw.col("weight").max()


def first_share() -> nw.Expr:
    """Share of the common objects on which the user acted first.

    Leaders go first, followers never; null for links without an order.
    """
    ordered = nw.col("ordered_weight").sum().cast(nw.Float64)
    return nw.col("firsts").sum().cast(nw.Float64) / ordered


TIMELESS_COLUMNS = (
    num_objects,
    objects_per_event,
    top_object_share,
    mean_log_popularity,
    max_popularity,
    untouched_share,
    few_others_share,
    rare_sharing,
    crowd_share,
)
OBJECT_COLUMNS = (
    *TIMELESS_COLUMNS,
    median_follow_s,
    min_follow_s,
    follows_within_10s_share,
    follows_within_60s_share,
    median_object_age_s,
)
PAIR_COLUMNS = (linked_users, max_link_evidence, sum_link_evidence)
SHARED_PAIR_COLUMNS = (*PAIR_COLUMNS, max_link_weight)
TRACE_PAIR_COLUMNS = (*SHARED_PAIR_COLUMNS, first_share)
COLUMNS = (*OBJECT_COLUMNS, *TRACE_PAIR_COLUMNS)
COUNTS = (num_objects, rare_sharing, *SHARED_PAIR_COLUMNS)

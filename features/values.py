"""Values: level and spread of what a log's events carry, and what is usual for their object.

Reads columns made in `features/rows.py` and `features/profiles.py` (numbers in fixed point); writes
nothing.
"""

import math

import narwhals as nw

from graphguard.features.exact import entropy_bits, mean_fixed, real, share, spread_fixed
from graphguard.schema import FIXED_POINT

FAR_ABOVE = round(math.log2(3.0) * FIXED_POINT)
"""Three times what is usual, in doublings (fixed point)."""


def mean_value() -> nw.Expr:
    """Mean value.

    The usual level of the user: test payments are small, frauds large.
    """
    return mean_fixed(nw.col("value"))


def sd_value() -> nw.Expr:
    """Standard deviation of the values.

    Machines repeat one value, people vary.
    """
    return spread_fixed(nw.col("value"))


def min_value() -> nw.Expr:
    """Smallest value.

    A tiny first payment tries a stolen card.
    """
    return real(nw.col("value").min())


def max_value() -> nw.Expr:
    """Largest value.

    One large act can be all the harm.
    """
    return real(nw.col("value").max())


def last_value() -> nw.Expr:
    """Value of the last event; the mean where several are last.

    What the user does now, before its history dilutes it.
    """
    return mean_fixed(nw.when(nw.col("is_last")).then(nw.col("value")))


def last_deviation() -> nw.Expr:
    """Last value minus the user's own mean.

    A jump away from the own habit follows a change of hands.
    """
    return last_value() - mean_value()


def same_value_share() -> nw.Expr:
    """Share of the events with the user's commonest value.

    Paid raters give the same stars to all.
    """
    return nw.col("value_tally").max().cast(nw.Float64) / nw.col("value").count()


def whole_value_share() -> nw.Expr:
    """Share of the values that are whole numbers.

    Prices end in odd cents, invented sums do not.
    """
    return share(nw.col("value") % FIXED_POINT == 0)


def mean_deviation() -> nw.Expr:
    """Mean of value minus the object's mean by others; null where no other had acted.

    Tells who is always above or below what is usual for the object.
    """
    return mean_fixed(nw.col("deviation"))


def mean_abs_deviation() -> nw.Expr:
    """Mean distance between value and the object's mean by others; null where none had acted.

    Honest values agree with others on the same object, bought ones push against them.
    """
    return mean_fixed(nw.col("deviation").abs())


def max_abs_deviation() -> nw.Expr:
    """Largest distance between value and the object's mean by others; null where none had acted.

    One payment far above what the terminal usually sees is worth a look.
    """
    return real(nw.col("deviation").abs().max())


def deviation_spread() -> nw.Expr:
    """Standard deviation of value minus the object's mean by others; null where none had acted.

    Random raters scatter, honest ones stay close.
    """
    return spread_fixed(nw.col("deviation"))


def mean_log_ratio() -> nw.Expr:
    """Mean doublings of the value over the object's mean by others; null where none had acted.

    A payment of five times the card's usual tells more than one of five more.
    """
    return mean_fixed(nw.col("log_ratio"))


def max_log_ratio() -> nw.Expr:
    """Most doublings of a value over the object's mean by others; null where none had acted.

    As the mean, where one act is the harm.
    """
    return real(nw.col("log_ratio").max())


def far_above_share() -> nw.Expr:
    """Share of the values at least three times the object's mean by others.

    Its mean over those who share an object tells how often that object saw such a value lately.
    """
    return share(nw.col("log_ratio") >= FAR_ABOVE)


def num_categories() -> nw.Expr:
    """Number of distinct categories used.

    Stolen means are tried through every channel there is.
    """
    return nw.col("category").n_unique()


def top_category_share() -> nw.Expr:
    """Share of the events with the user's commonest category.

    Scripts know one way, people use several.
    """
    return nw.col("category_tally").max().cast(nw.Float64) / nw.len()


def category_entropy() -> nw.Expr:
    """Entropy in bits of the categories used.

    Spread over the categories: low for single-purpose accounts.
    """
    return entropy_bits(nw.col("category_tally"))


def mean_category_rarity() -> nw.Expr:
    """Mean bits of surprise at the category, judged by others' events before.

    Rare client versions, countries and channels mark tools and their makers.
    """
    return mean_fixed(nw.col("rarity"))


def last_category_rarity() -> nw.Expr:
    """Bits of surprise at the last event's category, judged by others' events before.

    As the mean, but of what the user does now.
    """
    return mean_fixed(nw.when(nw.col("is_last")).then(nw.col("rarity")))


def category_share() -> nw.Expr:
    """Share of the events with this category; without one counts as another.

    What a user mostly does: who only ever sells, or only ever writes in one corner of the platform.
    """
    return share(nw.col("matches"))


def last_category_share() -> nw.Expr:
    """Share of the last event's category being this one: 0 or 1, but for several at one time.

    What the user does now, beside what it mostly does.
    """
    return share(nw.when(nw.col("is_last")).then(nw.col("matches")))


def attribute() -> nw.Expr:
    """The number that the entity's own table holds.

    What the platform knows about the user beside its acts.
    """
    return real(nw.col("value").max())


def attribute_rarity() -> nw.Expr:
    """Bits of surprise at the entity's category among all entities known by then.

    Rare countries, clients and plans mark those who pretend.
    """
    return real(nw.col("rarity").max())


TIMELESS_NUMERIC_COLUMNS = (
    mean_value,
    sd_value,
    min_value,
    max_value,
    same_value_share,
    whole_value_share,
)
NUMERIC_COLUMNS = (*TIMELESS_NUMERIC_COLUMNS, last_value, last_deviation)
DEVIATION_COLUMNS = (
    mean_deviation,
    mean_abs_deviation,
    max_abs_deviation,
    deviation_spread,
    mean_log_ratio,
    max_log_ratio,
    far_above_share,
)
TIMELESS_CATEGORY_COLUMNS = (
    num_categories,
    top_category_share,
    category_entropy,
    mean_category_rarity,
)
CATEGORY_COLUMNS = (*TIMELESS_CATEGORY_COLUMNS, last_category_rarity)
TIMELESS_SHARE_COLUMNS = (category_share,)
SHARE_COLUMNS = (*TIMELESS_SHARE_COLUMNS, last_category_share)
ATTRIBUTE_COLUMNS = (attribute,)
ATTRIBUTE_CATEGORY_COLUMNS = (attribute_rarity,)
COLUMNS = (
    *NUMERIC_COLUMNS,
    *DEVIATION_COLUMNS,
    *CATEGORY_COLUMNS,
    *SHARE_COLUMNS,
    *ATTRIBUTE_COLUMNS,
    *ATTRIBUTE_CATEGORY_COLUMNS,
)
COUNTS = (num_categories,)

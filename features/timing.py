"""Timing: the rhythm of a user's acts, where machines give themselves away.

Reads the row columns of `features/rows.py`; writes nothing. Burstiness as in Goh and Barabási 2008,
"Burstiness and memory in complex systems".
"""

from collections.abc import Callable

import narwhals as nw

from graphguard.features.exact import entropy_bits, share

MICRO = 1e6


def median_gap_s() -> nw.Expr:
    """Median seconds between one user's events; null below two events.

    A bot on a timer shows small, steady gaps.
    """
    return nw.col("gap_us").median() / MICRO


def min_gap_s() -> nw.Expr:
    """Smallest number of seconds between two events; null below two events.

    Hands need a second or more between two acts, scripts do not.
    """
    return nw.col("gap_us").min().cast(nw.Float64) / MICRO


def max_gap_s() -> nw.Expr:
    """Largest number of seconds between two events; null below two events.

    Whoever never pauses for a night is not one person.
    """
    return nw.col("gap_us").max().cast(nw.Float64) / MICRO


def gap_burstiness() -> nw.Expr:
    """(sd - mean) / (sd + mean) of the gaps: -1 steady, 0 random, 1 in bursts; null below 3 events.

    People act in bursts, timers steadily, and pools of paid workers at random.
    """
    count = nw.col("gap_ticks").count().cast(nw.Float64)
    mean = nw.col("gap_ticks").sum().cast(nw.Float64) / count
    square = (nw.col("gap_ticks") * nw.col("gap_ticks")).sum().cast(nw.Float64) / count
    variance = square - mean * mean
    # The difference of two large numbers may fall a hair below zero.
    sd = nw.when(variance > 0).then(variance).otherwise(nw.lit(0.0)).sqrt()
    return nw.when(count >= 2).then((sd - mean) / (sd + mean))


def gaps_below_10s_share() -> nw.Expr:
    """Share of the gaps below 10 seconds; null below two events.

    Fast sequences are the mark of scripts and of vandals in a hurry.
    """
    return share(nw.col("gap_us") < 10_000_000)


def gaps_below_60s_share() -> nw.Expr:
    """Share of the gaps below 60 seconds; null below two events.

    As below 10 seconds, for acts that take a person some time.
    """
    return share(nw.col("gap_us") < 60_000_000)


def same_gap_share() -> nw.Expr:
    """Share of the gaps that have the commonest length in whole seconds; null below two events.

    A timer repeats one gap; people never do.
    """
    return nw.col("gap_tally").max().cast(nw.Float64) / nw.col("gap_us").count()


def hour_entropy() -> nw.Expr:
    """Entropy in bits of the hour of day (UTC); at most 4.58.

    People sleep; accounts run by shifts or machines spread over the whole clock.
    """
    return entropy_bits(nw.col("hour_tally"))


def night_share() -> nw.Expr:
    """Share of the events between 0 and 6 o'clock (UTC).

    Tells accounts that work in another time zone than most of the platform.
    """
    return share(nw.col("hour") < 6)


def morning_share() -> nw.Expr:
    """Share of the events between 6 and 12 o'clock (UTC).

    With the next two it tells when a user is at work, at school or at home, where that is one zone.
    """
    return share((nw.col("hour") >= 6) & (nw.col("hour") < 12))


def afternoon_share() -> nw.Expr:
    """Share of the events between 12 and 18 o'clock (UTC).

    As in the morning.
    """
    return share((nw.col("hour") >= 12) & (nw.col("hour") < 18))


def evening_share() -> nw.Expr:
    """Share of the events between 18 and 24 o'clock (UTC).

    As in the morning.
    """
    return share(nw.col("hour") >= 18)


def weekday_entropy() -> nw.Expr:
    """Entropy in bits of the day of the week; at most 2.81.

    Office work skips weekends, machines do not, campaigns fall on one day.
    """
    return entropy_bits(nw.col("weekday_tally"))


def weekend_share() -> nw.Expr:
    """Share of the events on Saturday or Sunday (UTC).

    Paid work keeps office days, leisure does not.
    """
    return share(nw.col("weekday") >= 5)


def same_second_share() -> nw.Expr:
    """Share of the events on the commonest second of the minute.

    A scheduled job always starts on the same second.
    """
    return nw.col("second_tally").max().cast(nw.Float64) / nw.len()


def same_minute_share() -> nw.Expr:
    """Share of the events on the commonest minute of the hour.

    An hourly job always starts on the same minute.
    """
    return nw.col("minute_tally").max().cast(nw.Float64) / nw.len()


def round_minute_share() -> nw.Expr:
    """Share of the events at most 2 seconds from a full minute.

    Schedulers fire on full minutes: far above the 8% of chance means a scheduler.
    """
    return share((nw.col("second") <= 1) | (nw.col("second") >= 58))


COLUMNS = (
    median_gap_s,
    min_gap_s,
    max_gap_s,
    gap_burstiness,
    gaps_below_10s_share,
    gaps_below_60s_share,
    same_gap_share,
    hour_entropy,
    night_share,
    morning_share,
    afternoon_share,
    evening_share,
    weekday_entropy,
    weekend_share,
    same_second_share,
    same_minute_share,
    round_minute_share,
)
COUNTS: tuple[Callable[[], nw.Expr], ...] = ()

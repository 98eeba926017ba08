"""Activity: how much a user does, on how many days, and what changed lately.

Reads the row columns of `features/rows.py` and `features/profiles.py`; writes nothing.
"""

import narwhals as nw

from graphguard.config.values import DAY_US
from graphguard.features.exact import share, total


def num_events() -> nw.Expr:
    """Number of events in the window.

    Abuse that pays by volume shows up as volume.
    """
    return nw.len().cast(nw.Int64)


def active_days() -> nw.Expr:
    """Number of days with an event.

    People come back over weeks; throw-away accounts live a day or two.
    """
    return nw.col("day").n_unique()


def events_per_active_day() -> nw.Expr:
    """Events per day that has any.

    The pace while at work: scripts act far more on the days they run.
    """
    return nw.len().cast(nw.Float64) / nw.col("day").n_unique()


def busiest_day_share() -> nw.Expr:
    """Share of the events that fall on the busiest day.

    A campaign is a burst; a habit is spread out.
    """
    return nw.col("day_tally").max().cast(nw.Float64) / nw.len()


def last_day_share() -> nw.Expr:
    """Share of the events in the last 24 hours before the anchor.

    A sleeper that wakes has nearly all of its activity here.
    """
    return share(nw.col("age_us") <= DAY_US)


def last_3_days_share() -> nw.Expr:
    """Share of the events in the last 3 days before the anchor.

    As the last day's share, but steadier for users with few events.
    """
    return share(nw.col("age_us") <= 3 * DAY_US)


def recent_change() -> nw.Expr:
    """Doublings of the pace in the window's last quarter against the three before.

    A hijacked or sold account changes its pace; a settled user keeps it.
    """
    recent = total(nw.col("is_recent")).cast(nw.Float64)
    before = nw.len().cast(nw.Float64) - recent
    return (recent * 3 + 1).log(2) - (before + 1).log(2)


def first_event_age_d() -> nw.Expr:
    """Days from the first event in the window to the anchor.

    Small for accounts that have only just begun.
    """
    return nw.col("age_us").max().cast(nw.Float64) / DAY_US


def last_event_age_d() -> nw.Expr:
    """Days from the last event to the anchor.

    Large for users that are gone, among them campaigns that are over.
    """
    return nw.col("age_us").min().cast(nw.Float64) / DAY_US


def repeat_share() -> nw.Expr:
    """Share of the events on an object that the user had touched before.

    Real interest returns to the same objects; paid acts touch each once.
    """
    distinct = nw.col("object").n_unique().cast(nw.Float64)
    return 1.0 - distinct / nw.len()


def stay_share() -> nw.Expr:
    """Share of the steps from one event to the next that stay on the object; null below two events.

    Who works on a thing stays with it, who runs down a list moves on with every act.
    """
    stays = nw.col("return_us").fill_null(-1) == nw.col("step_us")
    return share(nw.when(~nw.col("step_us").is_null()).then(stays))


def median_return_s() -> nw.Expr:
    """Median seconds until the user is back on an object; null where it never is.

    Minutes for those who mend their own work, days for readers with a habit.
    """
    return nw.col("return_us").median() / 1e6


def median_move_s() -> nw.Expr:
    """Median seconds of the steps to another object; null where there is none.

    Seconds between different objects leave no time to look at them.
    """
    moves = nw.col("return_us").fill_null(-1) != nw.col("step_us")
    return nw.when(moves).then(nw.col("step_us")).median() / 1e6


def recent_new_objects() -> nw.Expr:
    """Number of objects first touched in the window's last quarter.

    New devices and addresses all at once mean that somebody else holds the account.
    """
    return total(nw.col("first_touch") & nw.col("is_recent"))


def recent_new_share() -> nw.Expr:
    """Share of the last quarter's events on objects that are new to the user then.

    After a hijack nearly every recent log-in comes from a device never seen before.
    """
    recent = total(nw.col("is_recent")).cast(nw.Float64)
    return total(nw.col("is_recent") & nw.col("is_new_object")) / recent


def newest_object_age_d() -> nw.Expr:
    """Days from the newest first touch of an object to the anchor.

    Tells when the user last widened its range.
    """
    new = nw.when(nw.col("first_touch")).then(nw.col("age_us"))
    return new.min().cast(nw.Float64) / DAY_US


def account_age_d() -> nw.Expr:
    """Days from the account's birth to the anchor; null where unknown.

    Most abuse comes from accounts days old.
    """
    return nw.col("born_age_us").max().cast(nw.Float64) / DAY_US


def births_within_hour() -> nw.Expr:
    """Number of other accounts born in the hour before this one.

    Rings are registered in batches.
    """
    return nw.col("births_before").max()


TIMELESS_COLUMNS = (num_events,)
EVENT_COLUMNS = (
    num_events,
    active_days,
    events_per_active_day,
    busiest_day_share,
    last_day_share,
    last_3_days_share,
    recent_change,
    first_event_age_d,
    last_event_age_d,
)
TIMELESS_OBJECT_COLUMNS = (repeat_share,)
OBJECT_COLUMNS = (
    repeat_share,
    stay_share,
    median_return_s,
    median_move_s,
    recent_new_objects,
    recent_new_share,
    newest_object_age_d,
)
PROFILE_COLUMNS = (account_age_d, births_within_hour)
COLUMNS = (*EVENT_COLUMNS, *OBJECT_COLUMNS, *PROFILE_COLUMNS)
COUNTS = (num_events, active_days, recent_new_objects)

"""Anchors: the past days (or, with event anchors, periods) that a run learns from."""

from dataclasses import dataclass
from datetime import date, timedelta

from graphguard.config.sections import Config
from graphguard.config.values import day_us
from graphguard.errors import TooLittleHistory

EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Anchors:
    """Calendar anchors of a run, and the span of log they need."""

    train: tuple[date, ...]
    select: date
    calibrate: date
    score: date
    """The cutoff itself."""
    window_days: int
    first_day: date
    """First day of the earliest anchor's window."""

    def all(self) -> tuple[date, ...]:
        """Every anchor, ascending, the scored one last."""
        return (*self.train, self.select, self.calibrate, self.score)


def calendar_anchors(config: Config, as_of: date) -> Anchors:
    """Lay the run's anchors on the absolute grid of days since 1970.

    The newest usable anchor ends its horizon at or before the cutoff. All but the newest two train.
    """
    settings = config.training
    every = settings.anchor_every.days
    newest = (as_of - EPOCH).days - settings.horizon.days
    newest -= newest % every
    days = [EPOCH + timedelta(days=newest - every * back) for back in range(settings.anchors)]
    window = config.graph.window.days
    return Anchors(
        train=tuple(days[:1:-1]),
        select=days[1],
        calibrate=days[0],
        score=as_of,
        window_days=window,
        first_day=days[-1] - timedelta(days=window),
    )


def check_history(anchors: Anchors, first_log_day: date, as_of: date) -> None:
    """Refuse logs that begin after the first day an anchor's window needs.

    Raises:
        TooLittleHistory: They do; the error says how many days are needed and found.
    """
    needed, found = (as_of - anchors.first_day).days, max(0, (as_of - first_log_day).days)
    if not found:
        advice = f"the logs begin on {first_log_day}, so give a later as_of"
        raise TooLittleHistory(needed, found, advice)
    if found < needed:
        advice = (
            f"deliver the log from {anchors.first_day} on, or lower training.anchors or "
            f"graph.window"
        )
        raise TooLittleHistory(needed, found, advice)


@dataclass(frozen=True)
class EventPeriods:
    """Half-open ranges of event anchors by what they are for, microseconds since 1970 UTC."""

    train: tuple[int, int]
    select: tuple[int, int]
    calibrate: tuple[int, int]
    score: tuple[int, int]


def event_periods(config: Config, as_of: date) -> EventPeriods:
    """Cut the past into periods of `anchor_every`, counted back from the last mature anchor.

    Rows younger than the horizon are scored; the newest mature period calibrates, the one before
    selects, and `anchors - 2` older ones train.
    """
    settings = config.training
    every = settings.anchor_every.us
    end = day_us(as_of) - settings.horizon.us
    # An event anchor lies one microsecond after its event, so a range of anchors is shifted too.
    marks = [end + 1 - every * back for back in (settings.anchors, 2, 1, 0)]
    first = max(marks[0], day_us(config.limits.earliest))
    return EventPeriods(
        (first, marks[1]), (marks[1], marks[2]), (marks[2], marks[3]), (marks[3], day_us(as_of) + 1)
    )

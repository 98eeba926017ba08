"""Which anchors of a run train, select, calibrate and are scored, as ranges of microseconds."""

from dataclasses import dataclass
from datetime import date

from graphguard.config.anchors import calendar_anchors, event_periods
from graphguard.config.sections import Config
from graphguard.config.values import day_us
from graphguard.errors import BadSetting
from graphguard.models.dataset import Span


@dataclass(frozen=True)
class Slices:
    """Ranges of anchors by what they are for."""

    train: tuple[Span, ...]
    select: Span
    calibrate: Span
    score: Span


def slices(config: Config, as_of: date) -> Slices:
    """The run's slices, with calendar or event anchors.

    Raises:
        BadSetting: The anchor is static: rows have no order in time to train and judge by.
    """
    if config.training.static:
        reason = (
            "is 'static', which has no earlier and later rows to train and judge by; stop with "
            "`--to featurize` and split the rows yourself (docs/models.md, Static snapshots)"
        )
        raise BadSetting(str(config.root), "training.anchor", reason)
    if config.training.event is not None:
        periods = event_periods(config, as_of)
        return Slices((periods.train,), periods.select, periods.calibrate, periods.score)
    anchors = calendar_anchors(config, as_of)
    return Slices(
        tuple(_point(day) for day in anchors.train),
        _point(anchors.select),
        _point(anchors.calibrate),
        _point(anchors.score),
    )


def _point(day: date) -> Span:
    return day_us(day), day_us(day) + 1

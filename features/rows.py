"""Which events a row sees, and the columns of events that all themes share.

Reads events; writes nothing. Made once per log or relation: gaps, hours, tallies, first touches and
what others had done to the object before (`features/history.py`).
"""

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.config.values import DAY_US
from graphguard.features.exact import fixed
from graphguard.features.history import ObjectHistory, Touches
from graphguard.features.texts import measure_texts, same_text
from graphguard.schema import FIXED_POINT

Ints = NDArray[np.int64]
Frame = nw.LazyFrame[Any]
HOUR_US = 3_600_000_000
SECOND_US = 1_000_000


@dataclass(frozen=True)
class RowWindows:
    """The rows to make, by entity.

    `row_of` has shape [largest entity + 1], -1 where an entity has no row; `anchor_us` has shape
    [num_rows].
    """

    row_of: Ints
    anchor_us: Ints
    window_us: int

    @classmethod
    def of(cls, rows: pl.DataFrame, window_us: int) -> "RowWindows":
        """Index `rows` (`entity`, `anchor_us`) by entity.

        Raises:
            ValueError: An entity has two rows.
        """
        entity = rows.get_column("entity").to_numpy()
        if rows.get_column("entity").n_unique() < rows.height:
            twice = rows.get_column("entity").filter(rows.get_column("entity").is_duplicated())
            message = f"rows: entity {twice[0]} has more than one row; make one table per anchor"
            raise ValueError(message)
        row_of = np.full(int(entity.max()) + 1 if entity.size else 0, -1, dtype=np.int64)
        row_of[entity] = np.arange(entity.size)
        return cls(row_of, rows.get_column("anchor_us").to_numpy(), window_us)

    @property
    def span_us(self) -> tuple[int, int]:
        """Earliest start and latest end of all windows."""
        if not self.anchor_us.size:
            return 0, 0
        return int(self.anchor_us.min()) - self.window_us, int(self.anchor_us.max())

    def rows_of(self, entity: Ints) -> Ints:
        """Row of each entity, -1 where it has none; same shape as `entity`."""
        if not self.row_of.size:
            return np.full(entity.shape, -1, dtype=np.int64)
        inside = (entity >= 0) & (entity < self.row_of.size)
        return np.where(inside, self.row_of[np.where(inside, entity, 0)], -1)


@dataclass(frozen=True)
class Acts:
    """The events of one log within the span of all rows, seen from one side.

    `events` has `time_us` and the log's columns; `asked` are the positions of the events that some
    row counts, `row` the row of each of these; both of shape [num_asked].
    """

    events: pl.DataFrame
    actor: Ints
    asked: Ints
    row: Ints
    windows: RowWindows
    timeless: bool

    @classmethod
    def of(cls, events: pl.DataFrame, actor: str, windows: RowWindows, *, timeless: bool) -> "Acts":
        """Match the events with the rows of the entities in column `actor`."""
        # A null entity (a column that is an end of other edges only) is nobody's act.
        known = events.drop_nulls(actor)
        user = known.get_column(actor).to_numpy()
        row = windows.rows_of(user)
        counts = row >= 0
        if not timeless and windows.anchor_us.size:
            anchor = windows.anchor_us[np.maximum(row, 0)]
            time = known.get_column("time_us").to_numpy()
            counts &= (time < anchor) & (time >= anchor - windows.window_us)
        asked = np.flatnonzero(counts)
        return cls(known, user, asked, row[asked], windows, timeless)

    def frame(self) -> pl.DataFrame:
        """The events that rows count: `row`, `time_us`, `age_us` (anchor - time)."""
        time = self.events.get_column("time_us").to_numpy()[self.asked]
        age = self.windows.anchor_us[self.row] - time
        return pl.DataFrame({"row": self.row, "time_us": time, "age_us": age})

    def touches(self, item: Ints) -> Touches:
        """Events as touches of `item`, shape [num_events]."""
        return Touches(
            user=self.actor,
            object=item,
            time_us=self.events.get_column("time_us").to_numpy(),
            asked=self.asked,
            since_us=self.windows.anchor_us[self.row] - self.windows.window_us,
            timeless=self.timeless,
        )

    def with_known(self, column: str) -> "Acts":
        """The same without the events whose `column` is null."""
        missing = self.events.get_column(column).is_null().to_numpy()
        if not missing.any():
            return self
        kept = self.asked[~missing[self.asked]]
        moved = np.cumsum(~missing) - 1
        return Acts(
            self.events.drop_nulls(column),
            self.actor[~missing],
            moved[kept],
            self.row[~missing[self.asked]],
            self.windows,
            self.timeless,
        )


def tally(*columns: str) -> nw.Expr:
    """How many events share these columns' values with the event."""
    return nw.len().over(*columns).cast(nw.Int64)


def tick_us(window_us: int) -> int:
    """Unit of gaps when squared: the finest power of ten whose squares cannot overflow.

    >>> tick_us(30 * DAY_US)
    10000
    """
    tick = 1
    # Gaps of one row add up to the window at most, so their squares to its square.
    while (window_us // tick) ** 2 >= 2**62:
        tick *= 10
    return tick


def acts_of_rows(
    events: Frame, actor: str, rows: Frame, window_us: int | None, value: str | None = None
) -> Frame:
    """The relational form of `Acts.frame`, for events that no one process holds.

    Args:
        events: EVENTS of one log.
        actor: Column of the log that holds the rows' entity.
        rows: `entity`, `anchor_us` and `row`, one row per entity.
        window_us: Length of the window; None for a log without times, where every event counts.
        value: Column to keep as `value`; events without one are left out.

    Returns:
        Columns `row`, `time_us`, `age_us` (and `value`) of the events that rows count, in no order.
    """
    kept = [] if value is None else [nw.col(value).alias("value")]
    acts = events.select(nw.col(actor).alias("entity"), "time_us", *kept)
    if value is not None:
        acts = acts.drop_nulls("value")
    age = nw.col("anchor_us") - nw.col("time_us")
    seen = acts.join(rows, on="entity", how="inner").with_columns(age_us=age)
    if window_us is not None:
        seen = seen.filter((nw.col("age_us") > 0) & (nw.col("age_us") <= window_us))
    return seen.select("row", "time_us", "age_us", *(["value"] if kept else []))


def event_rows(lazy: Frame, window_us: int) -> Frame:
    """Add the time columns that activity and timing share.

    Args:
        lazy: Columns `row`, `time_us`, `age_us`. On one machine windows are found sooner in a
            frame sorted by row and time; the result is the same in any order.
        window_us: Length of the window.

    Returns:
        Also `day`, `hour`, `weekday` (Monday 0), `second`, `is_recent` (last quarter of the
        window), `gap_us` (to the row's previous event, null for its first), `gap_ticks`, and
        tallies of each within the row.
    """
    time = nw.col("time_us")
    with_gaps = lazy.with_columns(
        day=time // DAY_US,
        hour=(time // HOUR_US) % 24,
        weekday=(time // DAY_US + 3) % 7,
        minute=(time // (60 * SECOND_US)) % 60,
        second=(time // SECOND_US) % 60,
        is_recent=nw.col("age_us") <= window_us // 4,
        gap_us=time.diff().over("row", order_by="time_us"),
    )
    gap = nw.col("gap_us")
    with_ticks = with_gaps.with_columns(gap_ticks=gap // tick_us(window_us), gap_s=gap // SECOND_US)
    gap_tally = nw.when(~gap.is_null()).then(tally("row", "gap_s"))
    return with_ticks.with_columns(
        gap_tally=gap_tally,
        **{f"{name}_tally": tally("row", name) for name in ("day", "hour", "weekday")},
        **{f"{name}_tally": tally("row", name) for name in ("minute", "second")},
    )


def object_rows(acts: Acts, column: str) -> Frame:
    """Add what a row's user and others did to the object in `column`.

    Returns:
        One row per counted event: `row`, `age_us`, `is_recent`, `object`, `object_tally`,
        `first_touch`, `is_new_object` (the user first touched it in the window's last quarter),
        `earlier_users`, `earlier_events` (others before), `follow_us` (since the last other),
        `object_age_us` (since the first other); both null where no other was before. `return_us`
        and `step_us`: since the user's own event before on this object, and on any.
    """
    acts = acts.with_known(column)
    item = acts.events.get_column(column).to_numpy()
    history = ObjectHistory(acts.touches(item))
    anywhere = acts.touches(np.zeros_like(item))
    frame = acts.frame().with_columns(
        pl.Series("object", item[acts.asked]),
        pl.Series("first_touch", history.first_touch()),
        pl.Series("earlier_users", history.num_users()),
        pl.Series("earlier_events", history.num_events()),
        pl.Series("previous_us", history.previous_us()),
        pl.Series("first_us", history.first_us()),
        pl.Series("own_first_us", history.own_first_us()),
        pl.Series("own_previous_us", history.own_previous_us()),
        pl.Series("step_from_us", ObjectHistory(anywhere).own_previous_us()),
    )
    since = acts.windows.anchor_us[acts.row] - acts.windows.window_us // 4
    lazy: Frame = nw.from_native(frame.with_columns(pl.Series("quarter_us", since)).lazy())
    there = nw.col("earlier_events") > 0
    returns, steps = nw.col("own_previous_us") >= 0, nw.col("step_from_us") >= 0
    return lazy.with_columns(
        is_recent=nw.col("time_us") >= nw.col("quarter_us"),
        is_new_object=nw.col("own_first_us") >= nw.col("quarter_us"),
        follow_us=nw.when(there).then(nw.col("time_us") - nw.col("previous_us")),
        object_age_us=nw.when(there).then(nw.col("time_us") - nw.col("first_us")),
        return_us=nw.when(returns).then(nw.col("time_us") - nw.col("own_previous_us")),
        step_us=nw.when(steps).then(nw.col("time_us") - nw.col("step_from_us")),
        object_tally=tally("row", "object"),
    )


def numeric_rows(acts: Acts, column: str) -> Frame:
    """The values of a numeric column: `row`, `value`, `value_tally`, `is_last`; no nulls."""
    acts = acts.with_known(column)
    value = acts.events.get_column(column).gather(acts.asked)
    return value_rows(nw.from_native(acts.frame().with_columns(value.alias("value")).lazy()))


def value_rows(lazy: Frame) -> Frame:
    """Add `value_tally` and `is_last` to `row`, `age_us` and `value`."""
    return lazy.with_columns(
        value_tally=tally("row", "value"),
        is_last=nw.col("age_us") == nw.col("age_us").min().over("row"),
    )


def deviation_rows(acts: Acts, column: str, target: str) -> Frame:
    """Values held against the object's mean by others before.

    Returns:
        `row`, `deviation` (the difference, fixed point) and `log_ratio` (doublings over the mean,
        fixed point, null unless both are above 0).
    """
    acts = acts.with_known(column).with_known(target)
    value = acts.events.get_column(column).to_numpy()
    history = ObjectHistory(acts.touches(acts.events.get_column(target).to_numpy()))
    count, sums = history.num_events(), history.total(value)
    # Whole steps of 2^-20, rounded down: an integer, so the sums to come are exact.
    usual = sums // np.maximum(count, 1)
    deviation = pl.Series("deviation", value[acts.asked] - usual)
    own = value[acts.asked]
    above = (own > 0) & (usual > 0)
    doublings = np.log2(np.where(above, own, 1)) - np.log2(np.where(above, usual, 1))
    ratio = pl.Series("log_ratio", np.rint(doublings * FIXED_POINT).astype(np.int64))
    ratio = ratio.to_frame().select(pl.when(pl.Series(above)).then("log_ratio")).to_series()
    frame = acts.frame().with_columns(deviation, ratio).filter(pl.Series(count > 0))
    lazy: Frame = nw.from_native(frame.lazy())
    return lazy


def category_rows(acts: Acts, column: str) -> Frame:
    """The categories of a column: `row`, `category`, `category_tally`, `is_last`, `rarity`.

    `rarity` is log2((2 + others' events before) / (1 + those with the category)), fixed point.
    """
    acts = acts.with_known(column)
    code = acts.events.get_column(column).rank("dense").cast(pl.Int64).to_numpy()
    frame = acts.frame().with_columns(
        pl.Series("category", code[acts.asked]),
        pl.Series("alike", ObjectHistory(acts.touches(code)).num_events()),
        pl.Series("others", ObjectHistory(acts.touches(np.zeros_like(code))).num_events()),
    )
    lazy: Frame = nw.from_native(frame.lazy())
    odds = (nw.col("others").cast(nw.Float64) + 2) / (nw.col("alike").cast(nw.Float64) + 1)
    return lazy.with_columns(
        rarity=fixed(odds.log(2)),
        category_tally=tally("row", "category"),
        is_last=nw.col("age_us") == nw.col("age_us").min().over("row"),
    )


def share_rows(acts: Acts, column: str, category: str) -> Frame:
    """Whether each event has a category: `row`, `matches`, `is_last`."""
    matches = (acts.events.get_column(column) == category).fill_null(value=False)
    frame = acts.frame().with_columns(matches.gather(acts.asked).alias("matches"))
    lazy: Frame = nw.from_native(frame.lazy())
    return lazy.with_columns(is_last=nw.col("age_us") == nw.col("age_us").min().over("row"))


def text_rows(acts: Acts, column: str) -> Frame:
    """The texts of a column, measured: `row`, `text_code`, `copied_users` and the measures."""
    acts = acts.with_known(column)
    text = acts.events.get_column(column)
    code = same_text(text)
    history = ObjectHistory(acts.touches(code.to_numpy()))
    frame = acts.frame().with_columns(
        code.gather(acts.asked),
        pl.Series("copied_users", history.num_users()),
    )
    measures = measure_texts(text.gather(acts.asked))
    lazy: Frame = nw.from_native(frame.hstack(measures).lazy())
    return lazy

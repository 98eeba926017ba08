"""The feature table: every column a config asks for, for each (entity, anchor).

Reads EVENTS, ENTITIES and PAIRS; writes nothing. A row sees events of its entity in
[anchor - window, anchor), all events of a log without times, and of others what came before those.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.config.sections import Config
from graphguard.errors import ColumnMissing
from graphguard.features import profiles, rows
from graphguard.features.catalogue import COUNTS, Block, Source, blocks
from graphguard.features.catalogue import FeatureColumn as FeatureColumn
from graphguard.features.catalogue import column_catalogue as column_catalogue
from graphguard.features.engine_rows import RELATIONAL, EngineEvents, engine_frames
from graphguard.features.rows import Acts, Frame, RowWindows
from graphguard.features.words import row_texts
from graphguard.schema import EVENT_TEXT, ROW_TEXT

Columns = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class FeatureInputs:
    """What features are made from."""

    rows: pl.DataFrame
    """`entity` (storage index) and `anchor_us`, one row per entity."""
    events: dict[str, pl.LazyFrame]
    """EVENTS per log; a log that is absent has no events."""
    entities: pl.DataFrame | None = None
    """ENTITIES of the target type."""
    pairs: pl.DataFrame | None = None
    """PAIRS of the rows' anchor."""
    there: EngineEvents | None = None
    """The same events on an engine, which then makes of them what is relational."""


def feature_table(inputs: FeatureInputs, config: Config) -> pl.DataFrame:
    """Make the features of every row.

    Args:
        inputs: Rows and what they are made from. Events outside the rows' windows change nothing.
        config: Logs, graph, traces and themes.

    Returns:
        One row per row of `inputs.rows`, in its order: `entity`, `anchor_us`, then the columns of
        `column_catalogue(config)`, float32, null where a column has no meaning for the row.

    Raises:
        BadSetting: `features` names a theme that does not exist.
        ColumnMissing: A log's events lack a column the config names.
        ValueError: An entity has two rows.

    Cost: a few sorts of the windows' events per relation; memory one log's events.
    """
    windows = RowWindows.of(inputs.rows, config.graph.window.us)
    wanted = blocks(config)
    made: Columns = {}
    for block in wanted:
        # A log without an event in the window still counts zero.
        known = block.source.kind != "pairs" or inputs.pairs is not None
        made |= _empty(block, windows.anchor_us.size, known=known)
    here = wanted
    if inputs.there is not None:
        here = [block for block in wanted if block.source.kind not in RELATIONAL]
        _aggregate_there(inputs, config, wanted, made)
    for source, frame in _frames(inputs, config, windows, here):
        native = frame.collect().lazy()
        for block in here:
            if block.source == source:
                _fill(block_columns(native, block).collect().to_native(), block, made)
    series = [
        pl.Series(f"{block.scope}.{feature.__name__}", made[f"{block.scope}.{feature.__name__}"])
        for block in wanted
        for feature in block.features
    ]
    finite = [one.set(~one.is_finite(), None) for one in series]
    return inputs.rows.select("entity", "anchor_us").hstack(finite)


def _empty(block: Block, num_rows: int, *, known: bool) -> Columns:
    return {
        f"{block.scope}.{feature.__name__}": np.full(
            num_rows, 0.0 if known and feature in COUNTS else np.nan, dtype=np.float32
        )
        for feature in block.features
    }


def text_column(inputs: FeatureInputs, config: Config) -> pl.Series:
    """The texts that each row saw, strings, in order of `inputs.rows`; see `features/words.py`."""
    windows = RowWindows.of(inputs.rows, config.graph.window.us)
    acts = [
        _acts(inputs.events[log], config, windows, (log, actor))
        for log, settings in config.logs.items()
        if settings.text and log in inputs.events and (actor := config.actor_column(log))
    ]
    return row_texts(acts, inputs.rows.height).alias(ROW_TEXT)


def source_frames(inputs: FeatureInputs, config: Config) -> Iterator[tuple[Source, Frame]]:
    """The rows that the blocks of `config` are aggregated from, source by source."""
    windows = RowWindows.of(inputs.rows, config.graph.window.us)
    return _frames(inputs, config, windows, blocks(config))


def block_columns(frame: Frame, block: Block) -> Frame:
    """Send a block's columns through one group_by.

    Args:
        frame: Rows of the block's source, as `features/rows.py` and `features/profiles.py` make
            them, of any engine.
        block: The columns.

    Returns:
        Column `row` and one column per feature, named as its function; not finite where a feature
        has no meaning for the row.
    """
    columns = [feature().alias(feature.__name__) for feature in block.features]
    return frame.group_by("row").agg(*columns)


def _aggregate_there(
    inputs: FeatureInputs, config: Config, wanted: list[Block], made: Columns
) -> None:
    """Put the columns of relational sources into `made`; one row a user comes from the engine."""
    if inputs.there is None:
        return
    sources = list(dict.fromkeys(block.source for block in wanted))
    for source, frame in engine_frames(inputs.there, config, inputs.rows, sources):
        for block in wanted:
            if block.source == source:
                _fill(inputs.there.engine.collect(block_columns(frame, block)), block, made)


def _fill(grouped: pl.DataFrame, block: Block, made: Columns) -> None:
    """Put a block's columns, one row a user, into the arrays of `made`."""
    row = grouped.get_column("row").to_numpy()
    for feature in block.features:
        values = grouped.get_column(feature.__name__).cast(pl.Float64).to_numpy()
        made[f"{block.scope}.{feature.__name__}"][row] = values.astype(np.float32)


def _frames(
    inputs: FeatureInputs, config: Config, windows: RowWindows, wanted: list[Block]
) -> Iterator[tuple[Source, Frame]]:
    """The rows of every source that has any, one at a time, log by log."""
    sources = list(dict.fromkeys(block.source for block in wanted))
    joint = Source("events") in sources
    together: list[pl.DataFrame] = []
    for log in config.logs:
        if log not in inputs.events:
            continue
        of_log = [source for source in sources if source.log == log]
        for actor in dict.fromkeys(source.actor for source in of_log):
            acts = _acts(inputs.events[log], config, windows, (log, actor))
            for source in of_log:
                if source.actor == actor:
                    yield source, _log_frame(acts, source)
            if joint and actor == config.actor_column(log) and not acts.timeless:
                together.append(acts.frame())
    if together:
        yield Source("events"), _event_rows(pl.concat(together), windows.window_us)
    for source in sources:
        frame = _profile_frame(inputs, windows, source)
        if frame is not None:
            yield source, frame


def _acts(events: pl.LazyFrame, config: Config, windows: RowWindows, side: tuple[str, str]) -> Acts:
    """The events of one log within the span of all rows, matched with the rows by `side`."""
    log, actor = side
    settings = config.logs[log]
    wanted = [
        "time_us",
        *config.entity_columns(log),
        *settings.numeric,
        *settings.categorical,
        *([EVENT_TEXT] if settings.text else []),
    ]
    found = events.collect_schema().names()
    for column in wanted:
        if column not in found:
            table = f"events/{log}"
            raise ColumnMissing(table, column, found)
    seen = events.select(list(dict.fromkeys(wanted)))
    if not settings.timeless:
        since, until = windows.span_us
        seen = seen.filter(pl.col("time_us").is_between(since, until, closed="left"))
    return Acts.of(seen.collect(engine="streaming"), actor, windows, timeless=settings.timeless)


def _log_frame(acts: Acts, source: Source) -> Frame:
    if source.kind == "events":
        return _event_rows(acts.frame(), acts.windows.window_us)
    if source.kind == "objects":
        return rows.object_rows(acts, source.column)
    if source.kind == "numbers":
        return rows.numeric_rows(acts, source.column)
    if source.kind == "deviations":
        return rows.deviation_rows(acts, source.column, source.target)
    if source.kind == "categories":
        return rows.category_rows(acts, source.column)
    if source.kind == "shares":
        return rows.share_rows(acts, source.column, source.category)
    return rows.text_rows(acts, source.column)


def _event_rows(acts: pl.DataFrame, window_us: int) -> Frame:
    # Sorting first makes the window functions run on sorted groups.
    return rows.event_rows(nw.from_native(acts.sort("row", "time_us").lazy()), window_us)


def _profile_frame(inputs: FeatureInputs, windows: RowWindows, source: Source) -> Frame | None:
    if source.kind == "pairs" and inputs.pairs is not None:
        return profiles.pair_rows(inputs.pairs, source.column or None, windows)
    if inputs.entities is None:
        return None
    if source.kind == "births":
        return profiles.birth_rows(inputs.entities, windows)
    if source.kind == "attributes":
        return profiles.attribute_rows(inputs.entities, source.column, windows)
    if source.kind == "attribute_categories":
        return profiles.attribute_category_rows(inputs.entities, source.column, windows)
    return None

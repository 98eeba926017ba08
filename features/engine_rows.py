"""The rows of the sources that are relational from the events on, on an engine.

Reads EVENTS as tables of the engine, writes nothing. No event comes here. The other sources follow
what others did to an object before, event by event (`features/history.py`): that is no join.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import narwhals as nw
import polars as pl

from graphguard.config.sections import Config
from graphguard.features import rows
from graphguard.features.catalogue import Source
from graphguard.features.rows import Frame
from graphguard.tables.engine import Engine

RELATIONAL = ("events", "numbers")
"""Kinds of sources that `engine_frames` makes."""


@dataclass(frozen=True)
class EngineEvents:
    """EVENTS per log on an engine; a log that is absent has no events."""

    engine: Engine
    logs: dict[str, Frame]


def engine_frames(
    events: EngineEvents, config: Config, asked: pl.DataFrame, sources: Sequence[Source]
) -> Iterator[tuple[Source, Frame]]:
    """The rows of every source among `sources` that is relational and has events.

    Args:
        events: The logs.
        config: Logs and the window.
        asked: `entity` and `anchor_us`, one row per entity; their place is the `row`.
        sources: What is wanted; other kinds are passed over.

    Returns:
        As `features/table.source_frames`, held by the engine.
    """
    wanted = [source for source in sources if source.kind in RELATIONAL]
    numbered = asked.select("entity", "anchor_us").with_row_index("row").cast({"row": pl.Int64})
    table = events.engine.table(numbered)
    window = config.graph.window.us
    for source in wanted:
        logs = [source.log] if source.log else _timed(config)
        acts = []
        for log in logs:
            actor = source.actor or config.actor_column(log)
            if actor is None or log not in events.logs:
                continue
            span = None if config.logs[log].timeless else window
            value = source.column if source.kind == "numbers" else None
            acts.append(rows.acts_of_rows(events.logs[log], actor, table, span, value))
        if acts:
            every = nw.concat(acts)
            made = rows.value_rows(every) if source.column else rows.event_rows(every, window)
            yield source, events.engine.hold(made)


def _timed(config: Config) -> list[str]:
    return [name for name, log in config.logs.items() if not log.timeless]

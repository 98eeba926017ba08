"""Count again in the log what sets of users say of all users of their objects.

Of near texts and pictures this is not asked: which of them are one object is not told by the log.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.checks.ring_sets import with_spans
from graphguard.config.sections import Config, TraceConfig
from graphguard.config.values import day_us
from graphguard.rings.beside import BESIDE_TEST, PRESENT
from graphguard.rings.evidence import acts_channel
from graphguard.rings.gatherings import SIDE
from graphguard.tables.events import scan_events
from graphguard.tables.workspace import Run

COUNTED = ("again", "once", "audience", BESIDE_TEST)
"""Tests of sets whose terms count users of objects."""
TOUCHES = {"key": pl.String, "object": pl.String, "time_us": pl.Int64}
Touches = Mapping[str, Mapping[str, int]]
"""When each user first touched an object, by object."""


def counts_differ(
    config: Config, run: Run, sets: pl.DataFrame, acts: pl.DataFrame
) -> Iterator[str]:
    """Sets that count other users of their objects than the log holds.

    Args:
        config: Says which columns are users and objects.
        run: The night.
        sets: RING_SETS.
        acts: RING_ACTS.

    Cost: one pass over the events of each trace.
    """
    counted = with_spans(sets, acts).filter(pl.col("test").is_in(COUNTED))
    named = counted.with_columns(acts_channel(pl.col("channel")).alias("trace"))
    for trace in config.rings.traces if named.height else ():
        mine = named.filter(pl.col("trace") == f"{trace.log}.{trace.object}")
        if mine.height and trace.near is None:
            objects = mine.get_column("objects").explode(empty_as_null=False).unique()
            yield from users_differ(mine, _touches(config, run, trace, objects))


def users_differ(sets: pl.DataFrame, touches: pl.DataFrame) -> Iterator[str]:
    """Sets that count other users than first touched their objects, and when.

    Args:
        sets: RING_SETS of the tests COUNTED, as `with_spans` leaves them.
        touches: TOUCHES: who touched the objects of the sets, once each, and when first.
    """
    seen: dict[str, dict[str, int]] = {}
    for key, thing, time_us in touches.select(list(TOUCHES)).iter_rows():
        seen.setdefault(thing, {})[key] = time_us
    for row in sets.iter_rows(named=True):
        where = f"set {row['number']} of {row['channel']} in {row['ring_id']}"
        for name, (held, again) in _counts(row, seen).items():
            if held != again:
                yield f"{where}: {name} is {held}, {again} in the log"


def _counts(row: Mapping[str, Any], seen: Touches) -> dict[str, tuple[Any, Any]]:
    """What a set counted and what the log says, by name."""
    terms = json.loads(row["terms"])
    on = [seen.get(thing, {}) for thing in row["objects"]]
    if row["test"] == "again":
        return {"timing.crowd": (terms["timing"]["crowd"], len(on[0].keys() & on[1].keys()))}
    if row["test"] == "audience":
        return {
            f"pairs.{place}.common": (pair["common"], len(on[one].keys() & on[other].keys()))
            for place, pair in enumerate(terms["pairs"])
            for one, other in [pair["ends"]]
        }
    if row["test"] == BESIDE_TEST:
        begin, end = row["begin_us"] or 0, row["end_us"] or 0
        there = sum(begin <= time_us <= end for time_us in on[0].values())
        return {"present": (sum(terms[name] for name in PRESENT), there)}
    counts: dict[str, tuple[Any, Any]] = {"others": (sum(terms["others"]), len(on[0]) - 1)}
    # When a burst began and ended is only known where all of it is in the ring.
    times = [on[0][key] for key in row["keys"] if key in on[0]]
    if len(times) == row["users"]:
        every = np.array(sorted(on[0].values()), dtype=np.int64)
        counts["sides"] = (terms["sides"], _sides(every, times, SIDE * row["window_us"]))
    return counts


def _sides(every: NDArray[np.int64], times: list[int], span_us: int) -> list[int]:
    """Touches in the span before a burst and after it."""
    begin, end = min(times), max(times)
    before = (every >= begin - span_us) & (every < begin)
    after = (every > end) & (every <= end + span_us)
    return [int(before.sum()), int(after.sum())]


def _touches(config: Config, run: Run, trace: TraceConfig, objects: pl.Series) -> pl.DataFrame:
    """TOUCHES of a trace on some objects, in the window before the cutoff."""
    until = day_us(date.fromisoformat(run.facts()["as_of"]))
    events = scan_events(run, trace.log, until - config.graph.window.us, until)
    actor, kind = config.actor_column(trace.log), config.entity_columns(trace.log)[trace.object]
    if events is None or actor is None:
        return pl.DataFrame(schema=TOUCHES)
    things = run.workspace.ids(kind)
    asked = things.codes(objects).drop_nulls().implode()
    acts = events.select(user=actor, thing=trace.object, time_us="time_us").drop_nulls()
    on = acts.filter(pl.col("thing").is_in(asked))
    first = on.group_by("user", "thing").agg(pl.col("time_us").min()).collect()
    named = run.workspace.ids(config.training.target).decode(first, "user", "key")
    return things.decode(named, "thing", "object").select(list(TOUCHES))

"""What members of sets that say the same wrote: two of their texts, read in the log.

Reads RING_SETS, RING_ACTS and events, writes nothing; texts are stored nowhere but in the log.
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from graphguard.schema import EVENT_TEXT
from graphguard.tables.events import scan_events
from graphguard.tables.workspace import Run

SAID = "alike"
MOST = 2
"""Texts of a set that are quoted."""
SCHEMA = {
    "ring_id": pl.String,
    "channel": pl.String,
    "number": pl.Int64,
    "object": pl.String,
    "key": pl.String,
    "time_us": pl.Int64,
    "text": pl.String,
}


def quotes(
    run: Run, settings: Mapping[str, Any], sets: pl.DataFrame, acts: pl.DataFrame
) -> pl.DataFrame:
    """Texts of two users of each set that says the same, different ones if there are.

    Args:
        run: The night.
        settings: Its frozen config.
        sets: RING_SETS; only those asked about.
        acts: RING_ACTS.

    Returns:
        The columns of `SCHEMA`, by set, then by time.

    Cost: one pass over the times of each log that a set speaks of.
    """
    target = settings["training"]["target"]
    said = sets.filter(pl.col("test") == SAID)
    asked = said.explode("objects", empty_as_null=False).explode("keys", empty_as_null=False)
    asked = asked.rename({"objects": "object", "keys": "key"})
    place = ["ring_id", "channel", "object", "key"]
    wrote = asked.join(acts.select(*place, "time_us", "event_id"), on=place, how="inner")
    wrote = wrote.with_columns(log=pl.col("event_id").str.extract(r"^(.*):[0-9a-f]{16}$"))
    parts = [pl.DataFrame(schema=SCHEMA)]
    for (log,), mine in wrote.group_by("log", maintain_order=True):
        actor = _actor(settings, str(log), target)
        when = mine.get_column("time_us").to_numpy()
        events = scan_events(run, str(log), int(when.min()), int(when.max()) + 1)
        if actor is None or events is None:
            continue
        held = events.filter(pl.col("time_us").is_in(pl.Series(when).unique().implode()))
        texts = held.select(user=actor, time_us="time_us", text=EVENT_TEXT).drop_nulls().collect()
        named = run.workspace.ids(target).decode(texts, "user", "key").drop("user")
        parts.append(mine.join(named, on=["key", "time_us"], how="inner").select(list(SCHEMA)))
    one = ["ring_id", "channel", "number"]
    every = pl.concat(parts).sort(*one, "time_us", "key", "text")
    by_user = every.unique([*one, "key"], keep="first", maintain_order=True)
    # Two that differ say more than one that is said twice.
    repeated = pl.int_range(pl.len()).over(*one, "text").alias("repeated")
    ranked = by_user.with_columns(repeated).sort(*one, "repeated", "time_us", "key")
    return ranked.group_by(one, maintain_order=True).head(MOST).select(list(SCHEMA))


def _actor(settings: Mapping[str, Any], log: str, target: str) -> str | None:
    """The column of a log that holds the acting user, by a frozen config of any age."""
    for edge in settings["graph"]["edges"]:
        if edge["log"] == log and edge["name"][0] == target:
            return str(edge["source"])
    return None

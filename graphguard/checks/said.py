"""Read again what sets of users wrote: which texts are near, and how many trees these are."""

import json
from collections.abc import Iterator
from datetime import date

import numpy as np
import polars as pl

from graphguard.checks.numbers import CLOSE
from graphguard.config.sections import Config, TraceConfig
from graphguard.config.values import day_us
from graphguard.near.texts import PlainTexts, TextRules
from graphguard.rings.alike import Sayings, near_around, near_sayings, texts_of, tied_sets
from graphguard.rings.evidence import ALIKE
from graphguard.rings.things import things_of
from graphguard.schema import EVENT_TEXT
from graphguard.tables.events import scan_events
from graphguard.tables.workspace import Run

SAID = "alike"
"""Test of sets that say nearly the same."""


def texts_differ(config: Config, run: Run, sets: pl.DataFrame) -> Iterator[str]:
    """Sets that say the same whose terms are not what the log's texts say.

    Args:
        config: Says which columns are users, objects and texts.
        run: The night.
        sets: RING_SETS.

    Cost: reads the texts about the things of the sets, and compares those about one thing.
    """
    said = sets.filter(pl.col("test") == SAID)
    for (channel,), mine in said.group_by("channel", maintain_order=True):
        name = str(channel).removeprefix(ALIKE)
        traces = [one for one in config.rings.traces if f"{one.log}.{one.object}" == name]
        written = _written(config, run, traces[0], mine) if traces else None
        if written is None:
            yield f"{channel}: the log has no texts"
            continue
        for row in mine.iter_rows(named=True):
            about = written.filter(pl.col("thing") == row["objects"][0])
            where = f"set {row['number']} of {channel} in {row['ring_id']}"
            for difference in _set_differs(config, row, about):
                yield f"{where}: {difference}"


def _set_differs(config: Config, row: dict[str, object], about: pl.DataFrame) -> Iterator[str]:
    """What one set says of itself otherwise than the texts about its thing do."""
    terms = json.loads(str(row["terms"]))
    rules = TextRules(similarity=terms["similarity"], seed=config.training.seed)
    known = PlainTexts.of(about.get_column("text"))
    rows = about.select("user", "key", text=pl.Series(known.place)).unique()
    rows = rows.sort("user", "text")
    user, text = (rows.get_column(name).to_numpy() for name in ("user", "text"))
    one = np.zeros(len(rows), dtype=np.int64)
    said = Sayings(user, one, text, one, known, None)
    pairs = near_sayings(said, rules)
    keys = rows.get_column("key").to_list()
    members = set(row["keys"])  # type: ignore[call-overload]
    mine = [
        (part, trees)
        for part, trees in zip(*tied_sets(said, pairs), strict=True)
        if members <= {keys[place] for place in part.tolist()}
    ]
    if not mine:
        yield "near texts do not connect its users"
        return
    part, trees = mine[0]
    chance = terms["chances"]
    around = near_around([part], said, pairs, chance["anywhere"])[0]
    found = {
        "users": (row["users"], len(np.unique(user[part]))),
        "among": (terms["among"], len(np.unique(user))),
        "log_trees": (terms["log_trees"], trees),
        "chances.around": (chance["around"], around),
    }
    for name, (held, again) in found.items():
        if not np.isclose(held, again, rtol=CLOSE, atol=CLOSE):
            yield f"{name} is {held}, {again} by the texts"
    texts = np.sort(texts_of(user[part])).tolist()
    if texts != terms["texts"]:
        yield f"texts is {terms['texts']}, {texts} in the log"


def _written(
    config: Config, run: Run, trace: TraceConfig, sets: pl.DataFrame
) -> pl.DataFrame | None:
    """`user`, `key`, `thing` and `text` of all that was written about the things of sets."""
    actor = config.actor_column(trace.log)
    until = day_us(date.fromisoformat(run.facts()["as_of"]))
    events = scan_events(run, trace.log, until - config.graph.window.us, until)
    if actor is None or events is None:
        return None
    wrote = events.filter(pl.col(EVENT_TEXT).is_not_null())
    rows = wrote.select(user=actor, object=trace.object).drop_nulls().unique().collect()
    kind = config.entity_columns(trace.log)[trace.object]
    keys = run.workspace.ids(kind).decode(rows.select("object").unique(), "object", "key")
    about = rows.with_columns(things_of(rows, keys, config.rings.max_burst).get_column("thing"))
    asked = sets.get_column("objects").explode(empty_as_null=False).unique().implode()
    about = about.filter(pl.col("thing").is_in(asked))
    texts = wrote.select(user=actor, object=trace.object, text=EVENT_TEXT).drop_nulls()
    found = texts.join(about.lazy(), on=["user", "object"], how="inner").collect()
    return run.workspace.ids(config.training.target).decode(found, "user", "key")

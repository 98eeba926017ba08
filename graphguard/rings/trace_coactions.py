"""The pairs of a trace, found on an engine and brought here for the tests of significance.

Reads acts as a table of the engine, writes nothing. What comes here grows with the distinct (user,
object) and the pairs, not with the acts.
"""

from dataclasses import dataclass

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.rings.coaction import Acts, Coactions
from graphguard.rings.coaction_buckets import PAIR, TOUCHED, CoactionTables, coaction_tables
from graphguard.rings.link import LinkRules
from graphguard.tables.engine import Engine, Frame


@dataclass(frozen=True)
class TraceCoactions:
    """What `rings/link.linked` needs of a trace; objects are places in `objects`.

    Attributes:
        touched: Each user and object once, at the first act.
        found: Pairs and totals.
        objects: Index of each object, ascending, shape [num_objects].
    """

    touched: Acts
    found: Coactions
    objects: NDArray[np.int64]


def trace_coactions(
    engine: Engine, acts: Frame, rules: LinkRules, buckets: int = 64
) -> TraceCoactions:
    """Pair acts on the engine and bring here what was found.

    Args:
        engine: The engine that made `acts`.
        acts: As for `coaction_tables`; users are places in `rules.user_hash`.
        rules: Windows and bounds.
        buckets: Parts that objects are spread over.
    """
    acts = engine.hold(acts)
    tables = coaction_tables(engine, acts, rules.windows_us, rules.max_burst, buckets)
    first = engine.collect(acts.group_by("user", "object").agg(nw.col("time_us").min()))
    objects, place = np.unique(_column(first, "object"), return_inverse=True)
    touched = Acts(_column(first, "user"), place.astype(np.int64), _column(first, "time_us"))
    return TraceCoactions(touched, _coactions(engine, tables, rules, objects), objects)


def _coactions(
    engine: Engine, tables: CoactionTables, rules: LinkRules, objects: NDArray[np.int64]
) -> Coactions:
    number = len(rules.windows_us)
    columns = [f"{name}_{n}" for name in ("weight", "a_first") for n in range(number)]
    pairs, touches = engine.collect(tables.pairs), engine.collect(tables.touches)
    met = np.searchsorted(objects, _column(touches, "object"))
    slots = np.zeros((number, len(rules.user_hash)), dtype=np.int64)
    table = engine.collect(tables.slots)
    slots[_column(table, "window"), _column(table, "user")] = _column(table, "slots")
    slot_pairs = np.zeros(number, dtype=np.int64)
    table = engine.collect(tables.slot_pairs)
    slot_pairs[_column(table, "window")] = _column(table, "slot_pairs")
    bursts = np.searchsorted(objects, _column(engine.collect(tables.burst_objects), "object"))
    return Coactions(
        pairs.select(*PAIR, *columns).sort(*PAIR),
        # In the order of one process, so that what is summed in real numbers comes out the same.
        touches.with_columns(pl.Series("object", met)).select(TOUCHED).sort(*PAIR, "object"),
        slots,
        slot_pairs,
        np.sort(bursts),
    )


def _column(table: pl.DataFrame, name: str) -> NDArray[np.int64]:
    return table.get_column(name).to_numpy()

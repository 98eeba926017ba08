"""The pairs of a trace, found on an engine and brought here for the tests of significance.

Reads acts as a table of the engine, writes nothing. What comes here are the pairs, and each act
once: who comes back to an object is likelier to meet somebody there.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.rings.coaction import Coactions
from graphguard.rings.coaction_buckets import PAIR, CoactionTables, coaction_tables
from graphguard.rings.link import LinkRules
from graphguard.rings.meetings import TOUCHED, Acts, Meetings
from graphguard.tables.engine import Engine, Frame


@dataclass(frozen=True)
class TraceCoactions:
    """What `rings/link.linked` needs of a trace; objects are places in `objects`.

    Attributes:
        touched: Each user, object and time once.
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
    each = engine.collect(acts.select("user", "object", "time_us").unique())
    objects, place = np.unique(_column(each, "object"), return_inverse=True)
    touched = Acts(_column(each, "user"), place.astype(np.int64), _column(each, "time_us"))
    return TraceCoactions(touched, _coactions(engine, tables, rules, objects), objects)


def _coactions(
    engine: Engine, tables: CoactionTables, rules: LinkRules, objects: NDArray[np.int64]
) -> Coactions:
    number = len(rules.windows_us)
    columns = [f"{name}_{n}" for name in ("weight", "a_first") for n in range(number)]
    pairs, touches = engine.collect(tables.pairs), engine.collect(tables.touches)
    met_on = np.searchsorted(objects, _column(touches, "object"))
    visits, visit_pairs = (np.zeros(size, np.int64) for size in (len(rules.user_hash), number))
    table = engine.collect(tables.visits)
    visits[_column(table, "user")] = _column(table, "visits")
    table = engine.collect(tables.visit_pairs)
    visit_pairs[_column(table, "window")] = _column(table, "visit_pairs")
    bursts = np.searchsorted(objects, _column(engine.collect(tables.burst_objects), "object"))
    return Coactions(
        pairs.select(*PAIR, *columns).sort(*PAIR),
        touches.with_columns(pl.Series("object", met_on)).select(TOUCHED),
        _meetings(engine.collect(tables.meetings), objects),
        visits,
        visit_pairs,
        np.sort(bursts),
    )


def _meetings(table: pl.DataFrame, objects: NDArray[np.int64]) -> Meetings:
    """Meetings whose acts are told by object and time alone: who acted does not matter there."""
    table = table.sort("object", "first_us", "gap_us")
    first, number = _column(table, "first_us"), table.height
    acts = Acts(
        np.zeros(2 * number, dtype=np.int64),
        np.repeat(np.searchsorted(objects, _column(table, "object")), 2),
        np.stack([first, first + _column(table, "gap_us")], axis=1).reshape(-1),
    )
    places = np.arange(2 * number).reshape(number, 2)
    return Meetings(acts, places[:, 0], places[:, 1])


def _column(table: pl.DataFrame, name: str) -> NDArray[np.int64]:
    return table.get_column(name).to_numpy()

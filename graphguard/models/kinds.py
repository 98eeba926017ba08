"""Which rows are of newcomers, and which of users who do little: the kinds a report tells apart."""

import numpy as np
from numpy.typing import NDArray

from graphguard.models.base import Rows

COUNT = ".num_events"
"""Ending of the columns that count a user's events."""
LITTLE = 0.25
"""Share of the rows that do least."""


def kinds_of_rows(rows: Rows, earlier: Rows) -> dict[str, NDArray[np.bool_]]:
    """Tell newcomers and the least active apart from the others.

    Args:
        rows: Rows to tell apart.
        earlier: All rows of anchors before theirs, also of enforced users.

    Returns:
        Mask by kind, each of shape [n]: `new` had no row before, `known` had; `low activity` is the
        quarter with fewest events (ties included), `higher activity` the rest. The latter two are
        left out where no column counts events.
    """
    known = np.isin(rows.node, earlier.node)
    kinds = {"new": ~known, "known": known}
    counts = [name for name in rows.names if name.endswith(COUNT) and name.count(".") == 1]
    whole = [name for name in counts if name == f"all{COUNT}"] or counts
    if whole:
        places = [rows.names.index(name) for name in whole]
        events = np.nansum(rows.x[:, places], axis=1)
        low = events <= np.quantile(events, LITTLE) if len(events) else np.zeros(0, dtype=np.bool_)
        kinds |= {"low activity": low, "higher activity": ~low}
    return kinds

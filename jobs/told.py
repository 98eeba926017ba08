"""What a search for sets of users hands on: links of a channel, and the sets they come from."""

from dataclasses import dataclass

import polars as pl

from graphguard.jobs.object_names import Names
from graphguard.rings.set_terms import ToldSet


@dataclass(frozen=True)
class Told:
    """A channel whose p is that of sets of users.

    Attributes:
        channel: Its name.
        links: Evidence of pairs, as `set_evidence` makes it.
        sets: Where the links come from.
        window_us: Within which the sets met; None where each link has a window of its own.
        names: What the objects of the sets are called.
        acts: Of a channel that rests on no acts of a trace, the acts of its sets: `user`, `object`
            (as in the sets), `users` (of the object), `time_us` and `log`.
    """

    channel: str
    links: pl.DataFrame
    sets: list[ToldSet]
    window_us: int | None
    names: Names
    acts: pl.DataFrame | None = None

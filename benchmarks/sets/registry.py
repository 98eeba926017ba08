"""Every protocol of every set, in the order of the table."""

from sets import amazon, hop, tolokers
from sets.task import Protocol


def every_protocol() -> list[Protocol]:
    """All protocols."""
    return [*tolokers.protocols(), *amazon.protocols(), *hop.protocols()]

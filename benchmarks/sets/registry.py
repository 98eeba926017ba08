"""Every protocol of every set, in the order of the table."""

from sets import amazon, fdh, hop, tolokers, wikipedia, youtube
from sets.task import Protocol

SETS = (tolokers, amazon, hop, fdh, wikipedia, youtube)


def every_protocol() -> list[Protocol]:
    """All protocols."""
    return [protocol for one in SETS for protocol in one.protocols()]

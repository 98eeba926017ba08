"""GraphGuard: graph-based detection of abusive users and coordinated rings.

The package's front door is `open_run`, which reads what a nightly run has left. Everything else is
imported by its full name, so that importing `graphguard` stays cheap.

>>> import graphguard
>>> callable(graphguard.open_run)
True
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphguard.investigate.run import open_run as open_run

__all__ = ["open_run"]


def __getattr__(name: str) -> object:
    if name == "open_run":
        from graphguard.investigate.run import open_run

        return open_run
    message = f"module 'graphguard' has no attribute '{name}'"
    raise AttributeError(message)

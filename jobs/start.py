"""What the `graphguard` command runs: the command line, with memory and imports set up for it.

All that an import makes stays to the end; going over it again and again for garbage took a tenth of
a start.
"""

import ctypes
import gc
import os

ARENA_MAX = -8
"""`M_ARENA_MAX` of glibc's malloc.h."""


def main() -> None:
    """Import the command line and run it."""
    _share_memory()
    gc.disable()
    try:
        from graphguard.jobs.cli import main as run
    finally:
        gc.enable()
    run()


def _share_memory() -> None:
    """Have what one thread or library gives up serve the next; a fifth less at a night's peak.

    Arrow takes memory from where NumPy does, and as many threads as there are processors, not eight
    times as many, have a place of their own to take it from. Settings of the environment stand.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None and "MALLOC_ARENA_MAX" not in os.environ:
        set_option(ARENA_MAX, os.cpu_count() or 1)

"""What the `graphguard` command runs: the command line, imported without collecting garbage.

All that an import makes stays to the end; going over it again and again took a tenth of a start.
"""

import gc


def main() -> None:
    """Import the command line and run it."""
    gc.disable()
    try:
        from graphguard.jobs.cli import main as run
    finally:
        gc.enable()
    run()

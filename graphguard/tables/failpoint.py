"""Named points at which a test can kill the process, to prove that a killed run loses nothing.

`GRAPHGUARD_KILL_AT=NAME` sends SIGKILL to the process at the point of that name;
`GRAPHGUARD_FAILPOINT_LOG=FILE` appends the name of every point passed. Without either, a point is
one dictionary lookup.
"""

import os
import signal
from pathlib import Path


def failpoint(name: str) -> None:
    """Die here if a test asks for it."""
    log = os.environ.get("GRAPHGUARD_FAILPOINT_LOG")
    if log:
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(name + "\n")
    if os.environ.get("GRAPHGUARD_KILL_AT") == name:
        os.kill(os.getpid(), signal.SIGKILL)

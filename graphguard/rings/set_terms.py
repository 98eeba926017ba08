"""Sets of users as they are told, and the terms from which the q of each follows.

A test of sets has one home, its own module, and says there which terms its answer follows from: the
search calls its formulas on what it counted, and a check calls them again on what was stored. Terms
are plain values and name no user.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphguard.rings.significance import log10_q_at, q_steps

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Terms = dict[str, Any]
Numbers = dict[tuple[str | int, ...], float]
"""Numbers that follow from terms, by their place in these."""
OF_SET = ()
"""Place of the q of the set itself."""
DIGITS = 12
"""To which terms are stored: the last bits of a sum follow the numbering of objects."""


@dataclass(frozen=True)
class ToldSet:
    """A set of users that is told.

    Attributes:
        test: Name of its test in `rings/set_numbers.py`.
        users: Those whom it links, sorted.
        objects: What they met on, as the search numbers them.
        size: Users that the test counted: of a core those beside it too.
        log10_q: Of the set.
        terms: What it follows from.
    """

    test: str
    users: Ints
    objects: Ints
    size: int
    log10_q: float
    terms: Terms = field(default_factory=dict)


def standing(log10_p: Floats, num_tests: float, chosen: Ints) -> list[Terms]:
    """Where chosen tests stand among all: own log10 p and q, number of tests, the step to q.

    Args:
        log10_p: Of the tests, shape [n].
        num_tests: All tests made, seen or not.
        chosen: Places of those that are asked about.
    """
    steps, ranks = q_steps(log10_p, num_tests)
    log10_q = log10_q_at(steps, num_tests, ranks)
    return [
        {
            "log10_p": float(log10_p[at]),
            "log10_q": float(log10_q[at]),
            "tests": float(num_tests),
            "step": [float(steps[at]), int(ranks[at])],
        }
        for at in chosen.tolist()
    ]


def stood(log10_p: float, stands: Mapping[str, Any], *place: str | int) -> Numbers:
    """The p of a test, and the q that it has where `standing` said it stands, by their place."""
    return {
        (*place, "log10_p"): log10_p,
        (*place, "log10_q"): log10_q_of(log10_p, stands),
    }


def log10_q_of(log10_p: float, stands: Mapping[str, Any]) -> float:
    """log10 q of a test with this p that stands where `standing` said.

    >>> log10_q_of(-6.0, {"tests": 100.0, "step": [-5.0, 10]})
    -4.0
    """
    step, rank = stands["step"]
    # A step that is less likely than the test itself is none.
    least = np.array([max(log10_p, float(step))])
    return float(log10_q_at(least, float(stands["tests"]), np.array([rank]))[0])


def plain(value: Any) -> Any:
    """Terms as values of JSON, numbers to `DIGITS` digits.

    >>> plain({"chances": np.array([1 / 3]), "tests": np.int64(3)})
    {'chances': [0.333333333333], 'tests': 3}
    """
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (str, bool)):
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, Sequence):
        return [plain(one) for one in value]
    message = f"terms are numbers, words and lists of them, got {type(value).__name__}"
    raise TypeError(message)

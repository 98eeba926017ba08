"""What the stored terms of a set of users say again: its q, and the p's on the way to it."""

from collections.abc import Callable, Mapping
from typing import Any

from graphguard.rings.alike import alike_numbers
from graphguard.rings.audiences import audience_numbers
from graphguard.rings.beside import BESIDE_TEST, beside_numbers
from graphguard.rings.cores import core_numbers
from graphguard.rings.earlier import EARLIER_TEST, earlier_numbers
from graphguard.rings.gatherings import company_numbers, once_numbers
from graphguard.rings.known import KNOWN_TEST, known_numbers
from graphguard.rings.recurrence import again_numbers
from graphguard.rings.set_terms import Numbers

TESTS: dict[str, Callable[[int, Mapping[str, Any]], Numbers]] = {
    "again": again_numbers,
    "once": once_numbers,
    "company": company_numbers,
    "core": core_numbers,
    "audience": audience_numbers,
    "alike": alike_numbers,
    KNOWN_TEST: known_numbers,
    BESIDE_TEST: beside_numbers,
    EARLIER_TEST: earlier_numbers,
}
"""Each test of sets by its name in `ring_sets`: takes the users it counted, and the terms."""

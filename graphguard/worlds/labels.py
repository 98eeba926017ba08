"""Decisions: late, incomplete, and a little wrong; a decided user acts no more."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphguard.worlds.people import NORMAL, SOLO, People, Ring
from graphguard.worlds.spec import DAY_S, WorldSpec

NEVER_SEEN = 0.12
"""Share of rings that nobody ever finds."""


@dataclass(frozen=True)
class Decisions:
    """Rows of the label file, in order of time; seconds count from the first day of the logs."""

    user: NDArray[np.int64]
    bad: NDArray[np.bool_]
    second: NDArray[np.float64]
    source: NDArray[np.object_]


def draw_decisions(spec: WorldSpec, people: People, rings: list[Ring]) -> Decisions:
    """Decide, and end the lives of those decided in `people.banned_at_s`."""
    rng = spec.chance("labels")
    user, second = [], []
    chance = min(1.0, spec.decided_share / (1 - NEVER_SEEN))
    for ring in rings:
        seen = rng.random() >= NEVER_SEEN
        decided = ring.members[rng.random(len(ring.members)) < chance] if seen else ring.members[:0]
        # A reviewer finds a ring, then members one after the other.
        found = max(ring.first, 0) + np.exp(rng.normal(np.log(6.0), 0.8))
        user.append(decided)
        second.append((found + rng.exponential(2.5, len(decided))) * DAY_S)
    solo = np.flatnonzero(people.ring == SOLO)
    solo = solo[rng.random(len(solo)) < spec.decided_share]
    user.append(solo)
    second.append(rng.uniform(0, spec.days, len(solo)) * DAY_S)
    users, seconds = np.concatenate(user), np.concatenate(second)
    wrong = rng.choice(
        np.flatnonzero(people.ring == NORMAL), _wrong(spec, len(users)), replace=False
    )
    at = rng.uniform(0, spec.days, len(wrong)) * DAY_S
    people.banned_at_s[users], people.banned_at_s[wrong] = seconds, at
    cleared = rng.random(len(wrong)) < 0.4
    back = at[cleared] + rng.uniform(1, 10, int(cleared.sum())) * DAY_S
    everyone = np.concatenate([users, wrong, wrong[cleared]])
    every = np.concatenate([seconds, at, back])
    bad = np.concatenate([np.ones(len(users) + len(wrong), bool), np.zeros(len(back), bool)])
    source = np.where(bad, rng.choice(["reviewer", "report"], len(bad), p=[0.6, 0.4]), "appeal")
    order = np.lexsort((everyone, every))
    known = order[every[order] < spec.days * DAY_S]
    return Decisions(everyone[known], bad[known], every[known], source.astype(object)[known])


def _wrong(spec: WorldSpec, decided: int) -> int:
    return round(decided * spec.wrong_share / (1 - spec.wrong_share))

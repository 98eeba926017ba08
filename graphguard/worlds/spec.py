"""What a world is made of: its size, its shares of abuse, and the streams of chance it draws from.

Any part of a world is drawn from a generator keyed by (seed, stream, day), so the same seed gives
the same bytes, and adding a stream moves no other.
"""

from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np

from graphguard.errors import BadSetting

WORLD_VERSION = 1
"""Raised when the same seed gives another world; figures of older versions are then void."""

END = date(2026, 1, 29)
"""Last day's end: a multiple of 14 days since 1970, where two-week anchors lie."""
KINDS = ("device_farm", "like_burst", "copy_paste", "sleeper", "camouflaged", "hijacked")
STREAMS = (
    "traits",
    "homes",
    "devices",
    "clubs",
    "rings",
    "labels",
    "posts",
    "captions",
    "likes",
    "follows",
    "logins",
    "campaigns",
)
DAY_S = 86_400


@dataclass(frozen=True)
class WorldSpec:
    """A world; equal specs give equal bytes.

    Raises:
        BadSetting: A number is impossible.
    """

    users: int = 20_000
    days: int = 70
    seed: int = 7
    ring_share: float = 0.03
    """Share of users in rings, spread evenly over the six kinds."""
    solo_share: float = 0.01
    """Share of users that abuse alone."""
    decided_share: float = 0.6
    """Share of the abusive that is ever decided."""
    wrong_share: float = 0.02
    """Share of decisions that hit a normal user."""

    def __post_init__(self) -> None:
        for name, low, high in (("users", 500, 10**8), ("days", 7, 10_000), ("seed", 0, 2**31)):
            value = getattr(self, name)
            if not low <= value <= high:
                place = "world"
                reason = f"must lie between {low} and {high}, got {value}"
                raise BadSetting(place, name, reason)
        for name in ("ring_share", "solo_share", "decided_share", "wrong_share"):
            value = getattr(self, name)
            if not 0 <= value <= 0.9:
                place = "world"
                reason = f"must lie between 0 and 0.9, got {value}"
                raise BadSetting(place, name, reason)
        if self.ring_share + self.solo_share > 0.5:
            place, reason = "world", "and solo_share must leave half of the users normal"
            raise BadSetting(place, "ring_share", reason)

    @property
    def start(self) -> date:
        """First day of the logs."""
        return END - timedelta(days=self.days)

    def chance(self, stream: str, day: int = 0) -> np.random.Generator:
        """The generator of one stream on one day."""
        key = (self.seed << 32) + STREAMS.index(stream)
        return np.random.Generator(np.random.Philox(key=[key, day]))


@dataclass
class WorldSummary:
    """What was written."""

    users: int
    days: int
    events: dict[str, int] = field(default_factory=dict)
    abusive: int = 0
    rings: int = 0
    decided: int = 0

    def __str__(self) -> str:
        total = sum(self.events.values())
        parts = ", ".join(f"{name} {count:,}" for name, count in self.events.items())
        return (
            f"{self.users:,} users, {self.days} days, {total:,} events ({parts}), "
            f"{self.abusive:,} abusive users, {self.rings} rings, {self.decided:,} decided"
        )

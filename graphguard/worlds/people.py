"""Who lives in a world: traits of all users, drawn once; memory follows users, not events."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphguard.worlds.spec import KINDS, WorldSpec

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

NORMAL, SOLO = -1, -2
FOREVER = 10**6
LEAST_ACTIVITY = {"camouflaged": 1.6, "like_burst": 1.1}
"""Rings that hide among normal acts keep up at least so much of them."""


@dataclass
class People:
    """Traits, shape [users] each; days count from the first day of the logs.

    Attributes:
        community: Whose posts a user mostly sees.
        zone_h: Hours ahead of UTC.
        activity: Factor on all rates, mean about 1, heavy-tailed.
        signup: Day of birth, negative before the logs.
        leaves: Day after which the user is gone (churn).
        home: Address at home; households share one.
        device: Main device; some households share one.
        second: Second device, or -1.
        handover: Day on which the main device passes on to `next_device` (second-hand), or FOREVER.
        next_device: Device from then on.
        carrier: Address of the carrier, shared by hundreds.
        cafe: Address of a café, shared by hundreds.
        cafe_share: Share of the logins made there; regulars come often.
        publisher: Group of scheduled publishers, or -1.
        minute: Minute of the day at which a publisher posts.
        shares_links: Share of the user's posts that carry a link.
        ring: Number of the ring, or NORMAL, or SOLO.
        banned_at_s: Second, from the first day, at which a decision ends the user's life.
    """

    community: Ints
    zone_h: Ints
    activity: Floats
    signup: Ints
    leaves: Ints
    home: Ints
    device: Ints
    second: Ints
    handover: Ints
    next_device: Ints
    carrier: Ints
    cafe: Ints
    cafe_share: Floats
    publisher: Ints
    minute: Ints
    shares_links: Floats
    ring: Ints
    banned_at_s: Floats


@dataclass(frozen=True)
class Club:
    """A fan club: an idol and those who like its posts soon after they appear."""

    idol: int
    fans: Ints


@dataclass(frozen=True)
class Ring:
    """A ring's campaign; days count from the first day of the logs."""

    number: int
    kind: str
    members: Ints
    first: int
    last: int
    topic: int


def draw_people(spec: WorldSpec) -> People:
    """Draw every user's traits."""
    rng = spec.chance("traits")
    n = spec.users
    communities = max(4, n // 250)
    weight = rng.pareto(1.2, communities) + 0.3
    community = rng.choice(communities, n, p=weight / weight.sum())
    zone = rng.choice([-8, -5, 0, 1, 3, 5, 8, 9], communities)[community]
    activity = np.exp(rng.normal(-0.55, 1.05, n)).clip(0.02, 40)
    signup = np.where(rng.random(n) < 0.7, -rng.integers(1, 1500, n), -rng.integers(0, 60, n))
    newcomers = rng.random(n) < 0.15
    signup = np.where(newcomers, rng.integers(0, max(spec.days, 1), n), signup)
    leaves = np.where(rng.random(n) < 0.25, rng.integers(1, 3 * spec.days, n), FOREVER)
    home, device, second = _homes(spec, community)
    places = spec.chance("homes", 1)
    carrier = n + places.integers(0, max(2, n // 400), n)
    cafe = 2 * n + places.integers(0, max(2, n // 250), n)
    handover, next_device = _second_hand(spec, device)
    cafe_share = np.where(places.random(n) < 0.12, 0.45, 0.08)
    publisher, minute = _publishers(spec)
    return People(
        community, zone, activity, signup, np.maximum(leaves, signup + 2), home, device, second,
        handover, next_device, carrier, cafe, cafe_share, publisher, minute,
        spec.chance("traits", 1).beta(0.9, 1.1, n),
        np.full(n, NORMAL, dtype=np.int64), np.full(n, np.inf),
    )  # fmt: skip


def _homes(spec: WorldSpec, community: Ints) -> tuple[Ints, Ints, Ints]:
    """Households of one to five in one community; a tenth of the larger share a device."""
    rng = spec.chance("homes")
    n = spec.users
    order = np.lexsort((rng.random(n), community))
    sizes = rng.choice([1, 2, 3, 4, 5], n, p=[0.55, 0.25, 0.1, 0.07, 0.03])
    household = np.repeat(np.arange(n), sizes)[:n]
    home = np.empty(n, dtype=np.int64)
    home[order] = household
    device = np.arange(n)
    shared = (rng.random(n) < 0.1)[home]
    first = np.full(n, n, dtype=np.int64)
    np.minimum.at(first, home, np.arange(n))
    device = np.where(shared, first[home], device)
    second = np.where(rng.random(n) < 0.3, n + np.arange(n), -1)
    return home, device, second


def _second_hand(spec: WorldSpec, device: Ints) -> tuple[Ints, Ints]:
    """Three users in a hundred take over the device of a stranger some day."""
    rng = spec.chance("devices")
    n = spec.users
    takes = rng.random(n) < 0.03
    day = np.where(takes, rng.integers(0, max(spec.days, 1), n), FOREVER)
    return day, np.where(takes, device[rng.integers(0, n, n)], device)


def _publishers(spec: WorldSpec) -> tuple[Ints, Ints]:
    """One user in a hundred posts by schedule, in groups of four to eight with one scheduler."""
    rng = spec.chance("clubs", 1)
    n = spec.users
    chosen = rng.choice(n, max(4, n // 100), replace=False)
    sizes = rng.integers(4, 9, len(chosen))
    group = np.repeat(np.arange(len(chosen)), sizes)[: len(chosen)]
    publisher, minute = np.full(n, -1, dtype=np.int64), np.zeros(n, dtype=np.int64)
    publisher[chosen] = group
    minute[chosen] = rng.integers(0, 24, len(chosen))[group] * 60
    return publisher, minute


def draw_clubs(spec: WorldSpec, people: People) -> list[Club]:
    """Fan clubs of 20 to 60 within a community, with an idol each."""
    rng = spec.chance("clubs")
    clubs = []
    for _ in range(max(2, spec.users // 400)):
        home = people.community[rng.integers(0, spec.users)]
        local = np.flatnonzero(people.community == home)
        size = min(int(rng.integers(20, 61)), max(len(local) - 1, 1))
        chosen = rng.choice(local, size + 1 if len(local) > size else len(local), replace=False)
        clubs.append(Club(int(chosen[0]), np.sort(chosen[1:])))
    return clubs


def draw_rings(spec: WorldSpec, people: People) -> list[Ring]:
    """Rings of all kinds and lone abusers; marks them in `people.ring`."""
    rng = spec.chance("rings")
    each = round(spec.users * spec.ring_share / len(KINDS))
    free = rng.permutation(spec.users)
    old = people.signup[free] < -200
    rings: list[Ring] = []
    for kind in KINDS:
        left = each
        while left > 0:
            size = min(int(np.exp(rng.uniform(np.log(5), np.log(60.999)))), max(left, 5))
            pool = free[old] if kind == "hijacked" else free
            members = np.sort(pool[:size])
            taken = np.isin(free, members)
            free, old = free[~taken], old[~taken]
            first = int(rng.integers(-8, max(spec.days - 4, 1)))
            last = first + int(rng.integers(16, 40))
            rings.append(Ring(len(rings), kind, members, first, last, int(rng.integers(0, 10**6))))
            people.ring[members] = rings[-1].number
            # A ring's accounts are there when it needs them.
            people.signup[members] = np.minimum(people.signup[members], min(first - 1, 0))
            people.leaves[members] = FOREVER
            least = LEAST_ACTIVITY.get(kind, 0.0)
            people.activity[members] = np.maximum(people.activity[members], least)
            left -= len(members)
    people.ring[free[: round(spec.users * spec.solo_share)]] = SOLO
    return rings

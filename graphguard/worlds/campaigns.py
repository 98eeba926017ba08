"""What rings do on a day, kind by kind, beside the normal life of their members."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from graphguard.worlds.acts import Likes, Logins
from graphguard.worlds.captions import spam
from graphguard.worlds.people import SOLO, People, Ring
from graphguard.worlds.posts import Posts, alive
from graphguard.worlds.spec import DAY_S, WorldSpec

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
JOINS = {
    "like_burst": 0.75,
    "camouflaged": 0.55,
    "sleeper": 0.7,
    "hijacked": 0.6,
    "device_farm": 0.3,
}
CALLS = {"camouflaged": 0.4}
"""Posts that a ring is called to a day."""
SPREAD_S = {
    "like_burst": 60.0,
    "camouflaged": 60.0,
    "sleeper": 72_000.0,
    "hijacked": 60.0,
    "device_farm": 7_200.0,
}
FARM_DEVICES = 10**8
"""Devices and addresses of rings are numbered from here, ring by ring."""


@dataclass
class Doings:
    """Acts of all campaigns on a day, to be put together with the normal ones."""

    likes: list[Likes] = field(default_factory=list)
    logins: list[Logins] = field(default_factory=list)
    posts: list[Posts] = field(default_factory=list)


def spam_posts(spec: WorldSpec, people: People, rings: list[Ring], day: int) -> list[Posts]:
    """Posts of copy-paste rings, hijacked users and lone spammers."""
    rng = spec.chance("campaigns", 2 * day)
    here = alive(people, day)
    parts = []
    for ring in rings:
        rate = {"copy_paste": 0.1, "hijacked": 0.1}.get(ring.kind, 0.0)
        if rate and ring.first <= day <= ring.last:
            members = ring.members[here[ring.members] & (rng.random(len(ring.members)) < rate)]
            parts.append(_spam(rng, members, ring.topic, day))
    lone = np.flatnonzero(here & (people.ring == SOLO) & (rng.random(spec.users) < 0.06))
    parts += [
        _spam(rng, lone[place : place + 1], int(lone[place]), day) for place in range(len(lone))
    ]
    return parts


def _spam(rng: np.random.Generator, members: Ints, topic: int, day: int) -> Posts:
    """Posts over the waking hours; the domain is one, its paths are few."""
    count = len(members)
    second = rng.uniform(6 * 3600, 23 * 3600, count)
    paths = np.where(rng.random(count) < 0.7, 0, rng.integers(1, 4, count))
    links = np.array([f"https://deal{topic % 9973}.example/{path}" for path in paths], dtype=object)
    pull = rng.pareto(1.3, count) + 0.05
    return Posts(members, second, spam(rng, count, topic), links, pull, day)


def ring_acts(
    spec: WorldSpec, people: People, rings: list[Ring], memory: list[Posts], day: int
) -> Doings:
    """Likes and logins of every active ring."""
    rng = spec.chance("campaigns", 2 * day + 1)
    here = alive(people, day)
    doings = Doings()
    for ring in rings:
        if not ring.first <= day <= ring.last:
            continue
        members = ring.members[here[ring.members]]
        if ring.kind in JOINS:
            for _ in range(rng.poisson(CALLS.get(ring.kind, 0.75))):
                doings.likes.append(_join(rng, ring.kind, members, memory))
        if ring.kind in ("device_farm", "hijacked"):
            doings.logins.append(_farm(rng, ring, members))
    return doings


def _join(rng: np.random.Generator, kind: str, members: Ints, memory: list[Posts]) -> Likes:
    """Members like one ordinary post, within the kind's spread of each other."""
    none = np.zeros(0, dtype=np.int64)
    age = int(rng.integers(0, len(memory)))
    posts = memory[age]
    if not len(posts.author):
        return Likes(none, none, none, np.zeros(0))
    ordinary = np.flatnonzero(posts.pull <= np.quantile(posts.pull, 0.9))
    post = int(ordinary[rng.integers(0, len(ordinary))])
    spread = SPREAD_S[kind]
    earliest = posts.second[post] + 60.0 if age == 0 else 0.0
    latest = max(DAY_S - spread - 1, earliest)
    start = rng.uniform(earliest, latest)
    joined = members[rng.random(len(members)) < JOINS[kind]]
    second = start + rng.uniform(0, spread, len(joined))
    kept = second < DAY_S
    ones = np.ones(int(kept.sum()), dtype=np.int64)
    return Likes(joined[kept], age * ones, post * ones, second[kept])


def _farm(rng: np.random.Generator, ring: Ring, members: Ints) -> Logins:
    """Logins from the ring's rack: any member on any device of a pool of a third its size."""
    farm = ring.kind == "device_farm"
    pool = max(3, len(ring.members) // (3 if farm else 5))
    logged = members[rng.random(len(members)) < (0.55 if farm else 0.2)]
    number = rng.integers(0, pool, len(logged))
    first = FARM_DEVICES + ring.number * 1000
    second = rng.uniform(0, DAY_S, len(logged))
    # Addresses come from a rented pool that several rings draw from.
    address = FARM_DEVICES + rng.integers(0, 40 + len(ring.members) // 2, len(logged))
    return Logins(logged, first + number, address, second)

"""Normal acts of a day: logins, likes, follows; fans, publishers, cafés and second-hand devices."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphguard.worlds.people import Club, People
from graphguard.worlds.posts import Posts, alive, hours_of_day
from graphguard.worlds.spec import DAY_S, WorldSpec

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Likes:
    """Likes of a day: user, place of the post in the memory (day offset, place), second."""

    user: Ints
    age: Ints
    place: Ints
    second: Floats


@dataclass(frozen=True)
class Logins:
    """Logins of a day; devices and addresses are numbers."""

    user: Ints
    device: Ints
    address: Ints
    second: Floats


@dataclass(frozen=True)
class Follows:
    """Follows of a day."""

    user: Ints
    target: Ints
    second: Floats


def draw_logins(spec: WorldSpec, people: People, day: int) -> Logins:
    """Logins from home, over the carrier, from cafés; on the main, second or taken-over device."""
    rng = spec.chance("logins", day)
    count = rng.poisson(np.where(alive(people, day), 0.45 * np.sqrt(people.activity), 0.0))
    user = np.repeat(np.arange(spec.users), count)
    where = rng.random(len(user))
    address = np.where(where < 0.55, people.home[user], people.carrier[user])
    address = np.where(where > 1 - people.cafe_share[user], people.cafe[user], address)
    device = np.where(people.handover[user] <= day, people.next_device[user], people.device[user])
    other = (people.second[user] >= 0) & (rng.random(len(user)) < 0.3)
    device = np.where(other, people.second[user], device)
    return Logins(user, device, address, hours_of_day(rng, people.zone_h[user]))


def draw_follows(spec: WorldSpec, people: People, day: int) -> Follows:
    """Follows, mostly within one's community and of active users."""
    rng = spec.chance("follows", day)
    lone = people.ring == -2
    rate = 0.07 * people.activity * np.where(lone, 2.0, 1.0)
    count = rng.poisson(np.where(alive(people, day), rate, 0.0))
    user = np.repeat(np.arange(spec.users), count)
    order = np.lexsort((np.arange(spec.users), people.community))
    sizes = np.bincount(people.community)
    starts = np.cumsum(sizes) - sizes
    mine = people.community[user]
    # Squares of uniform draws prefer the first of a community: its known faces.
    near = order[starts[mine] + (rng.random(len(user)) ** 2 * sizes[mine]).astype(np.int64)]
    far = rng.integers(0, spec.users, len(user))
    target = np.where(rng.random(len(user)) < 0.75, near, far)
    kept = target != user
    second = hours_of_day(rng, people.zone_h[user])
    return Follows(user[kept], target[kept], second[kept])


def draw_likes(
    spec: WorldSpec, people: People, clubs: list[Club], memory: list[Posts], day: int
) -> Likes:
    """Likes of the last days' posts; `memory[0]` is today.

    A like of today's post comes after it, log-normally late; of an older one by the daily rhythm.
    """
    rng = spec.chance("likes", day)
    lone = people.ring == -2
    rate = 0.75 * people.activity * np.where(lone, 1.6, 1.0)
    count = rng.poisson(np.where(alive(people, day), rate, 0.0))
    user = np.repeat(np.arange(spec.users), count)
    age, place = _choose(rng, people, memory, user)
    second = hours_of_day(rng, people.zone_h[user])
    today = age == 0
    born = memory[0].second[place[today]]
    late = born + np.exp(rng.normal(np.log(5400.0), 1.6, int(today.sum())))
    # What would come tomorrow comes somewhen in what is left of today.
    left = born + rng.random(len(born)) * (DAY_S - born)
    second[today] = np.where(late < DAY_S, late, left)
    parts = [
        Likes(user, age, place, second),
        _fans(rng, people, clubs, memory[0], day),
        _schedulers(rng, people, memory[0], day),
    ]
    return Likes(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("user", "age", "place", "second")
        )
    )


def _choose(
    rng: np.random.Generator, people: People, memory: list[Posts], user: Ints
) -> tuple[Ints, Ints]:
    """A post for each like: by popularity and freshness, mostly of one's community."""
    pull = np.concatenate([part.pull * 0.4**age for age, part in enumerate(memory)])
    age = np.repeat(np.arange(len(memory)), [len(part.author) for part in memory])
    place = np.concatenate([np.arange(len(part.author)) for part in memory])
    home = people.community[np.concatenate([part.author for part in memory])]
    order = np.argsort(home, kind="stable")
    running = np.cumsum(pull[order])
    num = int(people.community.max()) + 1
    ends = np.searchsorted(home[order], np.arange(num), side="right")
    starts = np.searchsorted(home[order], np.arange(num), side="left")
    before = np.concatenate([[0.0], running])
    mine = people.community[user]
    local = (rng.random(len(user)) < 0.7) & (ends[mine] > starts[mine])
    low = np.where(local, before[starts[mine]], 0.0)
    high = np.where(local, before[ends[mine]], running[-1])
    drawn = low + rng.random(len(user)) * (high - low)
    found = order[np.minimum(np.searchsorted(running, drawn, side="right"), len(running) - 1)]
    return age[found], place[found]


def _fans(
    rng: np.random.Generator, people: People, clubs: list[Club], today: Posts, day: int
) -> Likes:
    """Each fan likes each of the idol's posts with chance .4, minutes after it appears."""
    here = alive(people, day)
    users, places, seconds = [], [], []
    for club in clubs:
        for post in np.flatnonzero(today.author == club.idol):
            fans = club.fans[here[club.fans] & (rng.random(len(club.fans)) < 0.4)]
            delay = np.exp(rng.normal(7.1, 1.3, len(fans)))
            users.append(fans)
            places.append(np.full(len(fans), post))
            seconds.append(today.second[post] + delay)
    return _today(users, places, seconds)


def _schedulers(rng: np.random.Generator, people: People, today: Posts, day: int) -> Likes:
    """Publishers of one group like each other's scheduled posts within half a minute."""
    here = alive(people, day)
    users, places, seconds = [], [], []
    on_time = np.flatnonzero(people.publisher[today.author] >= 0)
    on_time = on_time[
        np.abs(today.second[on_time] - people.minute[today.author[on_time]] * 60.0) < 10
    ]
    for post in on_time:
        group = people.publisher[today.author[post]]
        peers = np.flatnonzero((people.publisher == group) & here)
        peers = peers[(peers != today.author[post]) & (rng.random(len(peers)) < 0.7)]
        users.append(peers)
        places.append(np.full(len(peers), post))
        seconds.append(today.second[post] + rng.uniform(1, 30, len(peers)))
    return _today(users, places, seconds)


def _today(users: list[Ints], places: list[Ints], seconds: list[Floats]) -> Likes:
    none = np.zeros(0, dtype=np.int64)
    user, place = np.concatenate([none, *users]), np.concatenate([none, *places])
    second = np.concatenate([np.zeros(0), *seconds])
    kept = second < DAY_S
    return Likes(user[kept], np.zeros(int(kept.sum()), np.int64), place[kept], second[kept])

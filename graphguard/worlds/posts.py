"""Posts of a day and the short memory of them that likes choose from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphguard.worlds.captions import everyday
from graphguard.worlds.people import People
from graphguard.worlds.spec import DAY_S, WorldSpec

MEMORY_DAYS = 3
"""Posts older than this are liked no more, so memory holds a few days and not the log."""
HOURS = np.array([2, 1, 1, 1, 1, 2, 4, 6, 7, 7, 7, 8, 9, 8, 7, 7, 8, 9, 11, 13, 14, 13, 9, 5.0])


@dataclass
class Posts:
    """Posts of one day, in order of time; seconds count from the day's start.

    Attributes:
        author: Shape [n].
        second: Shape [n].
        caption: Shape [n], strings.
        link: Shape [n], strings; empty for none.
        pull: Popularity, shape [n].
        day: Day since the first.
    """

    author: NDArray[np.int64]
    second: NDArray[np.float64]
    caption: NDArray[np.object_]
    link: NDArray[np.object_]
    pull: NDArray[np.float64]
    day: int

    def take(self, rows: NDArray[Any]) -> "Posts":
        """The posts at these positions, or where a mask holds."""
        return Posts(
            self.author[rows],
            self.second[rows],
            self.caption[rows],
            self.link[rows],
            self.pull[rows],
            self.day,
        )


def alive(people: People, day: int) -> NDArray[np.bool_]:
    """Users who live on a day; a ban is cut to the second later."""
    banned = people.banned_at_s >= day * DAY_S
    return (people.signup <= day) & (people.leaves > day) & banned


def hours_of_day(rng: np.random.Generator, zone_h: NDArray[np.int64]) -> NDArray[np.float64]:
    """A second of the UTC day for each act, by the daily rhythm of the actor's zone."""
    share = np.cumsum(HOURS) / HOURS.sum()
    hour = np.searchsorted(share, rng.random(len(zone_h)), side="right")
    return ((hour - zone_h) % 24) * 3600.0 + rng.random(len(zone_h)) * 3600.0


def draw_posts(spec: WorldSpec, people: People, day: int) -> Posts:
    """Ordinary posts, those of publishers on their minute, and a viral one or two."""
    rng = spec.chance("posts", day)
    here = alive(people, day)
    week = 1.25 if day % 7 in (5, 6) else 0.9
    count = rng.poisson(np.where(here, 0.09 * people.activity * week, 0.0))
    author = np.repeat(np.arange(spec.users), count)
    second = hours_of_day(rng, people.zone_h[author])
    scheduled = np.flatnonzero(here & (people.publisher >= 0) & (rng.random(spec.users) < 0.85))
    on_time = people.minute[scheduled] * 60.0 + rng.uniform(0, 8, len(scheduled))
    author = np.concatenate([author, scheduled])
    second = np.concatenate([second, on_time])
    pull = rng.pareto(1.3, len(author)) + 0.05
    if len(author):
        viral = rng.integers(0, len(author), 1 + spec.users // 20_000)
        pull[viral] += 0.012 * spec.users
    caption = everyday(spec.chance("captions", day), len(author))
    link = np.full(len(author), "", dtype=object)
    linked = rng.random(len(author)) < people.shares_links[author]
    link[linked] = _links(rng, author[linked])
    return Posts(author, second, caption, link, pull, day)


def _links(rng: np.random.Generator, author: NDArray[np.int64]) -> list[str]:
    """What people link to: the news that many share, more often pages of their own small corner."""
    sites = rng.zipf(1.6, len(author)) % 5000
    pages = rng.integers(0, 4, len(author))
    own = rng.random(len(author)) < 0.85
    return [
        f"https://corner{user // 6}.example/{page}" if mine else f"https://site{site}.example/news"
        for user, site, page, mine in zip(author, sites, pages, own, strict=True)
    ]


def merged(parts: list[Posts]) -> Posts:
    """Posts of several sources of one day, in order of time."""
    author = np.concatenate([part.author for part in parts])
    second = np.concatenate([part.second for part in parts])
    order = np.lexsort((author, second))
    caption = np.concatenate([part.caption for part in parts])
    link = np.concatenate([part.link for part in parts])
    pull = np.concatenate([part.pull for part in parts])
    return Posts(author, second, caption, link, pull, parts[0].day).take(order)


def post_names(posts: Posts, place: NDArray[np.int64]) -> NDArray[np.object_]:
    """Ids of posts by their place in the day."""
    return np.array([f"p{posts.day:04d}{number:07d}" for number in place], dtype=object)

"""Write a world day by day: memory follows users and the last days' posts, never all events."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from graphguard.worlds.acts import draw_follows, draw_likes, draw_logins
from graphguard.worlds.campaigns import Doings, ring_acts, spam_posts
from graphguard.worlds.labels import Decisions, draw_decisions
from graphguard.worlds.people import (
    NORMAL,
    SOLO,
    Club,
    People,
    Ring,
    draw_clubs,
    draw_people,
    draw_rings,
)
from graphguard.worlds.posts import MEMORY_DAYS, Posts, draw_posts, merged, post_names
from graphguard.worlds.spec import DAY_S, WORLD_VERSION, WorldSpec, WorldSummary

TIME = pa.timestamp("us", tz="UTC")
COUNTRIES = {-8: "us", -5: "us", 0: "gb", 1: "de", 3: "ke", 5: "pk", 8: "ph", 9: "jp"}


def write_world(
    spec: WorldSpec, out: Path, progress: Callable[[int, int], None] | None = None
) -> WorldSummary:
    """Write logs, tables, labels and truth below `out`.

    Args:
        spec: The world.
        out: Folder; files in it are overwritten.
        progress: Told days done and days in all.

    Returns:
        Counts of what was written.

    Cost: O(users) memory; about a second per hundred thousand events.
    """
    people = draw_people(spec)
    rings = draw_rings(spec, people)
    clubs = draw_clubs(spec, people)
    decisions = draw_decisions(spec, people, rings)
    summary = WorldSummary(spec.users, spec.days, {name: 0 for name in _LOGS})
    memory: list[Posts] = []
    acted: dict[str, list[np.ndarray]] = {"user": [], "day": []}
    for day in range(spec.days):
        today = merged([draw_posts(spec, people, day), *spam_posts(spec, people, rings, day)])
        today = _before_ban(today, people)
        memory = [today, *memory][:MEMORY_DAYS]
        for name, columns in _day_tables(spec, people, (clubs, rings), memory, acted).items():
            folder = out / "logs" / name / f"dt={(spec.start + timedelta(days=day)).isoformat()}"
            summary.events[name] += _write(folder / "part-0.parquet", columns)
            _write_sums(folder / "part-0.parquet")
        if progress is not None:
            progress(day + 1, spec.days)
    _write(out / "tables" / "users.parquet", _users(spec, people))
    _write(out / "labels" / "decisions.parquet", _labels(spec, decisions))
    _write_sums(out / "tables" / "users.parquet")
    _write_sums(out / "labels" / "decisions.parquet")
    summary.abusive = int((people.ring != NORMAL).sum())
    summary.rings, summary.decided = len(rings), int(decisions.bad.sum())
    _write_truth(spec, people, (clubs, rings), out / "truth", summary)
    _write(out / "truth" / "acts.parquet", _acts(spec, acted))
    return summary


_LOGS = ("logins", "posts", "likes", "follows")


def _day_tables(
    spec: WorldSpec,
    people: People,
    groups: tuple[list[Club], list[Ring]],
    memory: list[Posts],
    acted: dict[str, list[np.ndarray]],
) -> dict[str, dict[str, Any]]:
    """The four logs of a day as columns, in order of time, without acts after a ban."""
    clubs, rings = groups
    day = memory[0].day
    start = spec.start + timedelta(days=day)
    doings = ring_acts(spec, people, rings, memory, day)
    likes = _together([draw_likes(spec, people, clubs, memory, day), *doings.likes])
    logins = _together([draw_logins(spec, people, day), *doings.logins])
    follows = _together([draw_follows(spec, people, day)])
    tables: dict[str, dict[str, Any]] = {}
    _count_acts(people, doings, memory[0], day, acted)
    acts = _ordered(logins, people, day)
    tables["logins"] = {
        "user_id": _user_names(acts["user"]),
        "device_id": _numbered("d", acts["device"]),
        "address": _numbered("a", acts["address"]),
        "ts": _times(start, acts["second"]),
    }
    today = memory[0]
    names = post_names(today, np.arange(len(today.author)))
    tables["posts"] = {
        "post_id": pa.array(names, pa.string()),
        "user_id": _user_names(today.author),
        "content_id": pa.array(names, pa.string()),
        "caption": pa.array(today.caption, pa.string()),
        "link": pa.array([link or None for link in today.link], pa.string()),
        "created_at": _times(start, today.second),
    }
    acts = _ordered(likes, people, day)
    content = np.empty(len(acts["user"]), dtype=object)
    for age, posts in enumerate(memory):
        mine = acts["age"] == age
        content[mine] = post_names(posts, acts["place"][mine])
    tables["likes"] = {
        "user_id": _user_names(acts["user"]),
        "content_id": pa.array(content, pa.string()),
        "ts": _times(start, acts["second"]),
    }
    acts = _ordered(follows, people, day)
    tables["follows"] = {
        "user_id": _user_names(acts["user"]),
        "target_id": _user_names(acts["target"]),
        "ts": _times(start, acts["second"]),
    }
    return tables


def _count_acts(
    people: People, doings: Doings, today: Posts, day: int, acted: dict[str, list[np.ndarray]]
) -> None:
    """Note who of a ring did something for it on a day: the truth about who can be found."""
    made = [(part.user, part.second) for part in doings.likes]
    made += [(part.user, part.second) for part in doings.logins]
    users = [user[_allowed(people, user, second, day)] for user, second in made]
    spam = np.array([link.startswith("https://deal") for link in today.link], dtype=np.bool_)
    every = np.concatenate([np.zeros(0, np.int64), *users, today.author[spam]])
    acted["user"].append(every)
    acted["day"].append(np.full(len(every), day))


def _acts(spec: WorldSpec, acted: dict[str, list[np.ndarray]]) -> dict[str, Any]:
    """Acts for a ring by user and day."""
    day = np.concatenate(acted["day"]).astype(np.int64)
    user = np.concatenate(acted["user"]).astype(np.int64)
    both, counts = np.unique(np.stack([user, day]), axis=1, return_counts=True)
    days = [spec.start + timedelta(days=int(one)) for one in both[1]]
    return {
        "user_id": _user_names(both[0]),
        "day": pa.array(days, pa.date32()),
        "acts": pa.array(counts, pa.int64()),
    }


def _allowed(people: People, user: np.ndarray, second: np.ndarray, day: int) -> np.ndarray:
    """Whether an act comes before its user's ban, and within the day."""
    before = day * DAY_S + second < people.banned_at_s[user]
    return np.asarray(before & (second < DAY_S))


def _together(parts: list[Any]) -> dict[str, Any]:
    names = list(vars(parts[0]))
    return {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}


def _ordered(acts: dict[str, Any], people: People, day: int) -> dict[str, Any]:
    """Acts in order of time and user, those after the actor's ban left out."""
    order = np.flatnonzero(_allowed(people, acts["user"], acts["second"], day))
    order = order[np.lexsort((acts["user"][order], acts["second"][order]))]
    return {name: values[order] for name, values in acts.items()}


def _before_ban(posts: Posts, people: People) -> Posts:
    kept = posts.day * DAY_S + posts.second < people.banned_at_s[posts.author]
    return posts.take(kept)


def _user_names(numbers: np.ndarray) -> pa.Array:
    return _numbered("u", numbers)


def _numbered(letter: str, numbers: np.ndarray) -> pa.Array:
    """`u0000012`, `d0000345`; the numbers are scrambled, so that a name tells nothing."""
    mixed = (numbers.astype(np.uint64) * np.uint64(2654435761) + np.uint64(12345)) % np.uint64(
        2**32
    )
    text = pa.array(mixed).cast(pa.string())
    return pc.binary_join_element_wise(letter, pc.utf8_lpad(text, 10, "0"), "")


def _times(day: date, second: np.ndarray) -> pa.Array:
    start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000
    return pa.array(start + (second * 1e6).astype(np.int64), pa.int64()).cast(TIME)


def _write(path: Path, columns: dict[str, Any]) -> int:
    table = pa.table(columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)
    return int(table.num_rows)


def _write_sums(path: Path) -> None:
    """The manifest of a delivery of one file, as `sha256sum` writes it."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name("SHA256SUMS").write_text(f"{digest}  {path.name}\n", encoding="ascii")


def _users(spec: WorldSpec, people: People) -> dict[str, Any]:
    here = np.flatnonzero(people.signup < spec.days)
    rng = spec.chance("traits", 1)
    born = people.signup[here] * DAY_S + rng.uniform(0, DAY_S, len(here))
    return {
        "user_id": _user_names(here),
        "signup_at": _times(spec.start, born),
        "country": pa.array([COUNTRIES[int(zone)] for zone in people.zone_h[here]]),
        "updated_at": _times(spec.start, born),
    }


def _labels(spec: WorldSpec, decisions: Decisions) -> dict[str, Any]:
    return {
        "user_id": _user_names(decisions.user),
        "is_abusive": pa.array(decisions.bad),
        "decided_at": _times(spec.start, decisions.second),
        "source": pa.array(decisions.source, pa.string()),
    }


def _write_truth(
    spec: WorldSpec,
    people: People,
    groups: tuple[list[Club], list[Ring]],
    folder: Path,
    summary: WorldSummary,
) -> None:
    """What the jobs never read: who is abusive, in which ring, and which groups are innocent."""
    clubs, rings = groups
    number = np.arange(spec.users)
    kinds = np.full(spec.users, "normal", dtype=object)
    kinds[people.ring == SOLO] = "solo"
    for ring in rings:
        kinds[ring.members] = ring.kind
    names = [f"ring{one}" if one >= 0 else None for one in people.ring]
    decided = np.isfinite(people.banned_at_s)
    _write(
        folder / "users.parquet",
        {
            "user_id": _user_names(number),
            "abusive": pa.array(people.ring != NORMAL),
            "kind": pa.array(kinds, pa.string()),
            "ring_id": pa.array(names, pa.string()),
            "decided": pa.array(decided),
        },
    )
    first = [spec.start + timedelta(days=ring.first) for ring in rings]
    last = [spec.start + timedelta(days=ring.last) for ring in rings]
    _write(
        folder / "rings.parquet",
        {
            "ring_id": pa.array([f"ring{ring.number}" for ring in rings]),
            "kind": pa.array([ring.kind for ring in rings]),
            "size": pa.array([len(ring.members) for ring in rings], pa.int64()),
            "first_active": pa.array(first, pa.date32()),
            "last_active": pa.array(last, pa.date32()),
        },
    )
    _write(folder / "normal.parquet", _innocent(people, clubs))
    facts = {"version": WORLD_VERSION, "spec": vars(spec), "events": summary.events}
    text = json.dumps(facts, indent=1, sort_keys=True)
    (folder / "world.json").write_text(text + "\n", encoding="utf-8")


def _innocent(people: People, clubs: list[Club]) -> dict[str, Any]:
    """Members of fan clubs, cafés, households and publisher groups, one row each."""
    kinds: list[str] = []
    groups: list[np.ndarray] = []
    users: list[np.ndarray] = []
    for number, club in enumerate(clubs):
        kinds += ["fan_club"] * len(club.fans)
        groups.append(np.full(len(club.fans), number))
        users.append(club.fans)
    for kind, values in (
        ("cafe", people.cafe),
        ("household", people.home),
        ("publisher", people.publisher),
    ):
        inside = np.flatnonzero(values >= 0)
        kinds += [kind] * len(inside)
        groups.append(values[inside])
        users.append(inside)
    return {
        "kind": pa.array(kinds, pa.string()),
        "group": pa.array(np.concatenate(groups), pa.int64()),
        "user_id": _user_names(np.concatenate(users)),
    }

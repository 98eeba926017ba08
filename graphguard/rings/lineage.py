"""Names that last: tonight's rings carry on the names of earlier ones, by their members.

A ring that is not found any more is asleep; it keeps its name, and takes it up again when its
members are found together once more. After a while it is forgotten.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

SAME = 0.3
"""Share of the smaller ring that must be common for a name to be carried on."""


@dataclass(frozen=True)
class Change:
    """What became of one ring tonight."""

    ring_id: str
    change: str
    """birth, growth, shrink, steady, merge, split, dormant, return or death."""
    other: str
    """The ring merged in, or split from; empty otherwise."""
    joined: int
    left: int


@dataclass(frozen=True)
class Remembered:
    """A ring as it was when it was last found."""

    members: frozenset[str]
    first_seen: date
    last_seen: date


def carry_on(
    memory: Mapping[str, Remembered],
    now: Sequence[Collection[str]],
    nights: tuple[date | None, date],
    remember_days: int,
) -> tuple[list[str], list[Change], dict[str, Remembered]]:
    """Name tonight's rings after the remembered ones, and remember tonight's.

    Args:
        memory: By name, rings of earlier nights.
        now: Members of each ring tonight, in any order.
        nights: The night before, whose rings were awake, and tonight.
        remember_days: Days after which a ring that is not found any more is forgotten.

    Returns:
        A name per ring of `now`, the changes, and what to remember: tonight's rings, and those
        asleep. A ring merged into another is no more.
    """
    before, tonight = nights
    asleep = {name for name, ring in memory.items() if ring.last_seen != before}
    members = {name: ring.members for name, ring in memory.items()}
    names, changes = carry_names(members, now, tonight, asleep)
    kept = {
        name: Remembered(
            frozenset(ring), memory[name].first_seen if name in memory else tonight, tonight
        )
        for name, ring in zip(names, now, strict=True)
    }
    merged = {one.other for one in changes if one.change == "merge"}
    for name in sorted(memory.keys() - kept.keys() - merged):
        if (tonight - memory[name].last_seen).days <= remember_days:
            kept[name] = memory[name]
        else:
            changes.append(Change(name, "death", "", 0, len(memory[name].members)))
    return names, sorted(changes, key=_place), kept


def carry_names(
    before: Mapping[str, Collection[str]],
    now: Sequence[Collection[str]],
    as_of: date,
    asleep: Collection[str] = (),
) -> tuple[list[str], list[Change]]:
    """Name tonight's rings after earlier ones.

    Each old name goes to the ring of tonight with which it shares most members, if that is a third
    or more of the smaller one; of several old names that meet in one ring that with most members
    there stays, and the others are merged. A ring without an old name is born, or split from the
    ring that gave it most members.

    Args:
        before: Members by ring, of last night and of those asleep.
        now: Members of each ring tonight, in any order.
        as_of: Tonight.
        asleep: Names of rings that were not found last night.

    Returns:
        A name per ring of `now`, and the changes, sorted. Nothing is told of who sleeps on.

    >>> carry_names({"r1": ["a", "b", "c"]}, [["a", "b", "c", "d"]], date(2026, 1, 1))[0]
    ['r1']
    """
    old = {name: frozenset(members) for name, members in before.items()}
    new = [frozenset(members) for members in now]
    kept, merged = _old_names(old, new)
    changes = [_kept(name, old[name], new[place], asleep) for place, name in kept.items()]
    born = {place: _born(ring, old, as_of) for place, ring in enumerate(new) if place not in kept}
    names = [kept[place] if place in kept else born[place].ring_id for place in range(len(new))]
    changes += born.values()
    changes += [Change(names[place], "merge", name, len(old[name]), 0) for name, place in merged]
    gone = set(old) - set(kept.values()) - {name for name, _ in merged} - set(asleep)
    changes += [Change(name, "dormant", "", 0, len(old[name])) for name in gone]
    return names, sorted(changes, key=_place)


def _old_names(
    old: Mapping[str, frozenset[str]], new: Sequence[frozenset[str]]
) -> tuple[dict[int, str], list[tuple[str, int]]]:
    """The old name that each of tonight's places keeps, and the other ones that met there."""
    common = sorted(
        (
            (len(old[name] & ring), name, min(ring), place)
            for name, place, ring in _meetings(old, new)
        ),
        key=lambda one: (-one[0], one[1], one[2]),
    )
    kept: dict[int, str] = {}
    merged: list[tuple[str, int]] = []
    spent: set[str] = set()
    for size, name, _, place in common:
        if size < SAME * min(len(old[name]), len(new[place])) or name in spent:
            continue
        spent.add(name)
        if place in kept:
            merged.append((name, place))
        else:
            kept[place] = name
    return kept, merged


def _born(ring: frozenset[str], old: Mapping[str, frozenset[str]], as_of: date) -> Change:
    """A ring without an old name: split from the one that gave it most members, if any did."""
    shared = ((len(members & ring), name) for name, members in old.items() if members & ring)
    parent = max(shared, default=(0, ""))[1]
    return Change(_new_name(ring, as_of), "split" if parent else "birth", parent, len(ring), 0)


def _place(one: Change) -> tuple[str, str, str]:
    return one.ring_id, one.change, one.other


def _meetings(
    old: Mapping[str, frozenset[str]], new: Sequence[frozenset[str]]
) -> list[tuple[str, int, frozenset[str]]]:
    """Pairs of an old and a new ring with a common member."""
    home: dict[str, list[int]] = {}
    for place, ring in enumerate(new):
        for member in ring:
            home.setdefault(member, []).append(place)
    met = {
        (name, place)
        for name, members in old.items()
        for member in members
        for place in home.get(member, [])
    }
    return [(name, place, new[place]) for name, place in sorted(met)]


def _kept(
    name: str, before: frozenset[str], now: frozenset[str], asleep: Collection[str]
) -> Change:
    joined, left = len(now - before), len(before - now)
    if name in asleep:
        return Change(name, "return", "", joined, left)
    change = "growth" if joined > left else "shrink" if left > joined else "steady"
    return Change(name, change, "", joined, left)


def _new_name(ring: frozenset[str], as_of: date) -> str:
    mark = hashlib.blake2b("\n".join(sorted(ring)).encode(), digest_size=4).hexdigest()
    return f"r-{as_of.isoformat()}-{mark}"

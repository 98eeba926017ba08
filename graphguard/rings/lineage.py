"""Names that last: tonight's rings carry on the names of last night's, by their members."""

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
    """birth, growth, shrink, steady, merge, split or death."""
    other: str
    """The ring merged in, or split from; empty otherwise."""
    joined: int
    left: int


def carry_names(
    before: Mapping[str, Collection[str]], now: Sequence[Collection[str]], as_of: date
) -> tuple[list[str], list[Change]]:
    """Name tonight's rings after last night's.

    Each old name goes to the ring of tonight with which it shares most members, if that is a third
    or more of the smaller one; of several old names that meet in one ring that with most members
    there stays, and the others are merged. A ring without an old name is born, or split from the
    ring that gave it most members.

    Args:
        before: Members by ring, last night.
        now: Members of each ring tonight, in any order.
        as_of: Tonight.

    Returns:
        A name per ring of `now`, and the changes, sorted.

    >>> carry_names({"r1": ["a", "b", "c"]}, [["a", "b", "c", "d"]], date(2026, 1, 1))[0]
    ['r1']
    """
    old = {name: frozenset(members) for name, members in before.items()}
    new = [frozenset(members) for members in now]
    common = sorted(
        (
            (len(old[name] & ring), name, min(ring), place)
            for name, place, ring in _meetings(old, new)
        ),
        key=lambda one: (-one[0], one[1], one[2]),
    )
    named: dict[int, str] = {}
    merged: list[tuple[str, int]] = []
    spent: set[str] = set()
    for size, name, _, place in common:
        if size < SAME * min(len(old[name]), len(new[place])) or name in spent:
            continue
        spent.add(name)
        if place in named:
            merged.append((name, place))
        else:
            named[place] = name
    changes = []
    names = []
    for place, ring in enumerate(new):
        if place in named:
            changes.append(_kept(named[place], old[named[place]], ring))
        else:
            named[place] = _new_name(ring, as_of)
            parent = max(
                ((len(members & ring), name) for name, members in old.items() if members & ring),
                default=(0, ""),
            )[1]
            changes.append(
                Change(named[place], "split" if parent else "birth", parent, len(ring), 0)
            )
        names.append(named[place])
    changes += [Change(named[place], "merge", name, len(old[name]), 0) for name, place in merged]
    gone = set(old) - spent
    changes += [Change(name, "death", "", 0, len(old[name])) for name in gone]
    return names, sorted(changes, key=lambda one: (one.ring_id, one.change, one.other))


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


def _kept(name: str, before: frozenset[str], now: frozenset[str]) -> Change:
    joined, left = len(now - before), len(before - now)
    change = "growth" if joined > left else "shrink" if left > joined else "steady"
    return Change(name, change, "", joined, left)


def _new_name(ring: frozenset[str], as_of: date) -> str:
    mark = hashlib.blake2b("\n".join(sorted(ring)).encode(), digest_size=4).hexdigest()
    return f"r-{as_of.isoformat()}-{mark}"

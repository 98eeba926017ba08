"""How many users two objects share because their audiences like the same, and are there at a time.

The null keeps what each user did among the objects of a community and among those of an author, and
on which days; which objects these were is chance. It is asked at two scales of communities, for a
small one may hide in a large one. And of what community an object is, is told in two ways: by its
author's other objects, and by what else its audience does; the likelier of all answers counts. A
ring cannot explain itself by either: an object has no say in its own community.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from graphguard.graph.ranges import ranges
from graphguard.rings.interest import (
    author_touches,
    by_first_touch,
    communities,
    counts_of,
    likings,
)
from graphguard.rings.meetings import Acts

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
LEAST_USERS = 3
"""Two users on two objects are a pair of users, and are tested as one."""
SCALES = (1.0, 4.0)
"""Resolutions of communities."""
DAY_US = 86_400_000_000
PAIRS_AT_ONCE = 50_000


@dataclass(frozen=True)
class Scale:
    """Communities of one size.

    Attributes:
        likes: Share of a community's touches that each user has, shape [num_users, communities].
        habits: Share of a user's touches that each community has, of the same shape.
        reach: Its sum over each object's audience, shape [num_things, communities].
        mixture: Users of the audience by the communities of what they do, of the same shape.
        block: Community of each object, by its author's other objects, shape [num_things].
        touches: Of each community's objects, shape [communities].
    """

    likes: csr_array
    habits: csr_array
    reach: csr_array
    mixture: csr_array
    block: Ints
    touches: Floats


@dataclass(frozen=True)
class Tastes:
    """Audiences of the objects of known authors that three users or more touched, and no crowd.

    Attributes:
        things: Object of each audience, shape [num_things].
        users: Who touched it, once each, shape [num_things, num_users].
        size: How many these are.
        scales: What they like, by communities: large ones, then small ones.
        likings: What each user did by author, of two objects or more.
        source: Author of each object, shape [num_things].
        author_weight: Its users over the touches of its author, shape [num_things].
        of_one: What one touch is of all that a user did, shape [num_users].
        own: Its sum over each object's audience, shape [num_things].
        visits: What each user did on each day, shape [num_users, num_days].
        there: Its sum over each object's audience, shape [num_things, num_days].
        falls: Share of its touches on each day, of the same shape.
        of_day: Share of all touches on each day.
        active: Users who touched anything.
    """

    things: Ints
    users: csr_array
    size: Ints
    scales: list[Scale]
    likings: csr_array
    source: Ints
    author_weight: Floats
    of_one: Floats
    own: Floats
    visits: csr_array
    there: NDArray[np.float32]
    falls: csr_array
    of_day: Floats
    active: int

    def __len__(self) -> int:
        return len(self.things)

    def expected(self, one: Ints, other: Ints, common: Ints) -> Floats:
        """Users that pairs of audiences share by chance, shape [num_pairs].

        Whose users are given is a choice; the likelier of both answers counts.

        Args:
            one: Place of one audience each.
            other: Place of the other.
            common: Users they share.
        """
        found = np.zeros(len(one))
        for start in range(0, len(one), PAIRS_AT_ONCE):
            part = slice(start, start + PAIRS_AT_ONCE)
            ways = [
                self._liked(*ends, common[part]) * self._present(*ends, common[part])
                for ends in ((one[part], other[part]), (other[part], one[part]))
            ]
            found[part] = np.maximum(*ways)
        return found

    def at_least(self, one: Ints, other: Ints) -> Floats:
        """What `expected` is not below: the liking of the authors' communities."""
        return np.maximum(self._by_author(one, other), self._by_author(other, one))

    def of_users(self, user: Ints, once: Ints, things: Ints) -> Floats:
        """On how many of some objects users come by the communities they like, shape [users].

        What anybody did on these objects themselves is left out: it would explain itself.

        Args:
            user: Users.
            once: Who touched one of the objects each, and are thought to have come by what they
                like.
            things: The objects.
        """
        inside, here = self.users[things], np.arange(len(things))
        ways = []
        for scale in self.scales:
            shape = (len(things), len(scale.touches))
            home = csr_array((np.ones(len(things)), (here, scale.block[things])), shape=shape)
            done = csr_array(scale.likes @ diags_array(scale.touches)) - csr_array(inside.T @ home)
            touches = np.maximum(scale.touches - home.T @ self.size[things], 1.0)
            others = np.maximum(1.0 / self.of_one[once] - 1.0, 0.0)
            known = others > 0.5
            habits = (1.0 / others[known]) @ done[once[known]]
            # Who did nothing else is taken to do as the others.
            habits *= len(once) / max(int(known.sum()), 1)
            ways.append(done[user] @ (habits / touches))
        expected: Floats = np.maximum.reduce(ways)
        return expected

    def audience(self, thing: int) -> Ints:
        """Users of one object, sorted."""
        mine = slice(self.users.indptr[thing], self.users.indptr[thing + 1])
        return np.sort(self.users.indices[mine]).astype(np.int64)

    def of_things(self, members: Ints, things: Ints | None = None) -> Floats:
        """How many of some users come to each object, or to some, by what they like."""
        asked = np.arange(len(self)) if things is None else things
        ways = [scale.mixture[asked] @ _sums(scale.likes[members]) for scale in self.scales]
        large = self.scales[0]
        ways.append(_sums(large.likes[members])[large.block[asked]] * self.size[asked])
        expected: Floats = np.maximum.reduce(ways) + self._fans(members)[asked]
        return expected

    def of_authors(self, members: Ints, came: Ints) -> Floats:
        """How many of some users come to each object by its author and the author's community.

        Args:
            members: Users.
            came: How many of them each object has, shape [num_things]: they do not explain
                themselves.
        """
        large = self.scales[0]
        held = (_sums(large.likes[members]) * large.touches)[large.block]
        others = np.maximum(large.touches[large.block] - self.size, 1.0)
        liked: Floats = np.maximum(held - came, 0.0) / others * self.size + self._fans(members)
        return liked

    def _fans(self, members: Ints) -> Floats:
        """Of some users those who come to each object by what else they like of its author."""
        fans: Floats = _sums(self.likings[members])[self.source] * self.author_weight
        return fans

    def of_set(self, members: Ints, things: Ints, came: Ints, given: Ints) -> Floats:
        """How many users of some objects come to others by what they like and when they are there.

        Args:
            members: Users of the given objects, shape [num_members].
            things: Objects asked about, shape [asked].
            came: How many of the members each of these has, shape [asked].
            given: Objects that made them members: on their days they were there for these.

        Returns:
            Shape [asked].
        """
        visits = _sums(self.visits[members])
        visits = visits - self.falls[given].T @ self.size[given].astype(np.float64)
        falls = self.falls[things]
        often = 1.0 / np.maximum(self.of_day, 1e-300)
        own = falls.copy()
        own.data = own.data**2
        met = falls @ (visits * often) - came * (own @ often)
        present = np.maximum(met / np.maximum(visits.sum() - came, 1.0), 1.0)
        expected: Floats = self.of_things(members, things) * present
        return expected

    def _liked(self, given: Ints, asked: Ints, common: Ints) -> Floats:
        """Users of the given audience that come to the asked object by what they like."""
        ways = [self._by_author(given, asked)]
        shared = self._shared(given, asked)
        ways += [self._by_mixture(scale, given, asked, (common, shared)) for scale in self.scales]
        # Nobody liked more than two objects of the authors of most pairs.
        fans = _at(self.users[given] @ self.likings, np.arange(len(given)), self.source[asked])
        liked: Floats = np.maximum.reduce(ways) + fans * self.author_weight[asked]
        return liked

    def _by_author(self, given: Ints, asked: Ints) -> Floats:
        large = self.scales[0]
        return _at(large.reach, given, large.block[asked]) * self.size[asked]

    def _shared(self, given: Ints, asked: Ints) -> Floats:
        """Of pairs of objects, the sum over common users of what one touch is of all they did."""
        both = self.users[given].multiply(self.users[asked])
        shared: Floats = np.asarray(both @ self.of_one).reshape(-1)
        return shared

    def _by_mixture(
        self, scale: Scale, given: Ints, asked: Ints, both: tuple[Ints, Floats]
    ) -> Floats:
        """Users of the given audience that come by what else those of the asked one do.

        What they did on the two objects themselves is left out: of two audiences that hold a
        community together these touches are all there is, and the audiences explain each other.
        Who did nothing else is taken to do as the others.

        Args:
            scale: Communities.
            given: Place of one audience each.
            asked: Place of the other.
            both: Their common users, and what one touch is of all these did, summed up.
        """
        common, shared = both
        own = self.own[asked]
        block = (scale.block[given], scale.block[asked])
        same = block[0] == block[1]
        sizes = (self.size[given].astype(np.float64), self.size[asked].astype(np.float64))
        found = _product(scale.reach[given], scale.mixture[asked])
        for number in (0, 1):
            here = block[number]
            # Of the two communities, or the one, each counts once.
            counts = np.ones(len(given), dtype=np.bool_) if number == 0 else ~same
            of_given, of_asked = (same | (number == 0)), (same | (number == 1))
            reach = _at(scale.reach, given, here)
            mixture = _at(scale.mixture, asked, here)
            touches = scale.touches[here]
            done = reach * touches - of_given * sizes[0] - of_asked * common
            others = touches - of_given * sizes[0] - of_asked * sizes[1]
            mixed = mixture - of_given * shared - of_asked * own
            left = np.maximum(done, 0.0) / np.maximum(others, 1.0) * np.maximum(mixed, 0.0)
            found += np.where(counts, left - reach * mixture, 0.0)
        known = np.maximum(sizes[1] - own - shared, 0.0)
        mixed_all: Floats = np.maximum(found, 0.0) * sizes[1] / np.maximum(known, 1.0)
        return mixed_all

    def _present(self, given: Ints, asked: Ints, common: Ints) -> Floats:
        """How much more the given audience is there on the days of the asked object than all are.

        What its common users did on the asked object itself does not count: else it would explain
        itself. Nor does what made them the given audience: on its day they were there for that.
        """
        first, last = self.falls.indptr[asked], self.falls.indptr[asked + 1]
        pair = np.repeat(np.arange(len(asked)), last - first)
        place = ranges(first, last)
        day, share = self.falls.indices[place], self.falls.data[place]
        mine = self.there[given]
        size = self.size[given]
        there = mine[pair, day] - _at(self.falls, given[pair], day) * size[pair]
        own = np.minimum(there, common[pair] * share)
        number = len(asked)
        others = mine.sum(axis=1) - size - np.bincount(pair, own, minlength=number)
        met = np.bincount(pair, (there - own) * share / self.of_day[day], minlength=number)
        present: Floats = np.maximum(met / np.maximum(others, 1.0), 1.0)
        return present


def find_tastes(acts: Acts, author: Ints, num_users: int, most: int) -> Tastes:
    """Audiences, and what is known of them.

    Args:
        acts: Events of the trace; objects are 0 .. len(author) - 1.
        author: Dense index of each object's author, -1 where nobody knows: two such objects may be
            of one, so they are left out.
        num_users: Number of users.
        most: Users above which an object is a crowd, and left out.

    Cost: O(distinct (user, object)) for Louvain on users and authors, at each scale.
    """
    first = acts.first_touches
    size = np.bincount(first.object, minlength=len(author))
    things = np.flatnonzero((size >= LEAST_USERS) & (size <= most) & (author >= 0))
    # Numbers of objects depend on storage.
    things = things[np.argsort(by_first_touch(first, len(author))[things])]
    source, touches = author_touches(first, author, num_users)
    users = counts_of(first.object, first.user, (len(author), num_users))[things]
    scales = []
    for resolution in SCALES if len(first) else ():
        block = communities(first, source, touches, resolution)
        by_block = counts_of(first.user, block[first.object], (num_users, int(block.max()) + 1))
        scales.append(_scale(users, by_block, block[things]))
    day = (first.time_us - first.time_us.min(initial=2**62)) // DAY_US
    days = int(day.max(initial=0)) + 1
    falls = counts_of(first.object, day, (len(author), days))[things]
    of_one = 1.0 / np.maximum(np.bincount(first.user, minlength=num_users), 1)
    visits = counts_of(first.user, day, (num_users, days))
    return Tastes(
        things,
        users,
        size[things],
        scales,
        likings(touches),
        source[things],
        size[things] / np.maximum(np.bincount(source, size), 1)[source[things]],
        of_one,
        users @ of_one,
        visits,
        (users @ visits).toarray().astype(np.float32),
        csr_array(diags_array(1.0 / size[things]) @ falls),
        np.bincount(day, minlength=days) / max(len(first), 1),
        len(np.unique(first.user)),
    )


def _scale(users: csr_array, by_block: csr_array, block: Ints) -> Scale:
    """Communities of one size; `block` is of the objects with an audience."""
    touches = np.maximum(_sums(by_block), 1.0)
    done = np.maximum(_sums(by_block.T), 1.0)
    likes = csr_array(by_block @ diags_array(1.0 / touches))
    habits = csr_array(diags_array(1.0 / done) @ by_block)
    return Scale(likes, habits, csr_array(users @ likes), csr_array(users @ habits), block, touches)


def _sums(table: csr_array) -> Floats:
    """Sums of the columns of a sparse table."""
    sums: Floats = np.asarray(table.sum(axis=0)).reshape(-1)
    return sums


def _at(table: csr_array, row: Ints, column: Ints) -> Floats:
    """Entries of a sparse table."""
    values: Floats = np.asarray(table[row, column]).reshape(-1)
    return values


def _product(one: csr_array, other: csr_array) -> Floats:
    """Sum of products, row by row."""
    total: Floats = np.asarray(one.multiply(other).sum(axis=1)).reshape(-1)
    return total

"""Sets of users who say nearly the same about one thing.

A copy-paste campaign leaves each member with one or two posts, so no pair shares two objects. But
that eight of the nine who wrote about one site did so in nearly the same words is one event, and is
tested as one. Who writes about what is given, and so is how often two texts about one thing are
near on this platform: pooled over all things, with no thing speaking too loud
(`docs/decisions/0005`). What is counted are spanning trees: chance is expected to make
C(n, k) * prod(m) * sum(m)**(k - 2) * rate**(k - 1) of them on k of n users with m texts each
(Cayley), and a set that has T of them (Kirchhoff) is T times less likely than that (Markov). The
ends of a tree's ties are told one by one, so that one quote of several users, which makes all ties
between them at once, is no more of a surprise than its coincidences are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import gammaln

from graphguard.graph.components import linked_components
from graphguard.graph.keyed import seeded
from graphguard.graph.ranges import distinct_pairs
from graphguard.near.overlap import as_rows, jaccard
from graphguard.near.shingles import shingles
from graphguard.near.texts import PlainTexts, TextRules, near_texts
from graphguard.rings.recurrence import LEAST_USERS, Sets
from graphguard.rings.set_terms import OF_SET, Numbers, Terms, standing, stood
from graphguard.rings.significance import LN10, log10_q
from graphguard.rings.timing_rate import FEW, LOUDEST, ROUNDS

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

USUAL = 0.25
"""Where so large a share of the texts about one thing are near anyway, the platform words them (a
share button, a form), and nothing can be told from them."""
PASSED_ON = 0.9
"""A set of which so many users wrote the very same is no campaign that can be told from a post that
is passed on: by a share button, or by hand."""
STRANGERS = 0.05
"""Share of texts about other things that are near to a text of a set, above which it is not told:
of strangers who write about its thing so many would be taken for members."""
DIGITS = 6
"""To which the log of a number of trees is told."""
SAMPLE = 2_000
"""Distinct texts by which it is told how usual a text is."""


@dataclass(frozen=True)
class Sayings:
    """Who wrote what about which thing; each user, thing and text once, shape [num_sayings].

    Attributes:
        user: Dense index of the user.
        thing: Index of the thing: a site, a link, a hashtag.
        text: Place of the text in `texts.plain`.
        post: Number of the text as it was written, with all it links to.
        texts: The distinct texts.
        group: Near-duplicate group of each distinct text; None where how usual a text is shall be
            told by a sample of the others.
    """

    user: Ints
    thing: Ints
    text: Ints
    post: Ints
    texts: PlainTexts
    group: NDArray[np.uint64] | None

    def __len__(self) -> int:
        return len(self.user)

    def __getitem__(self, places: NDArray[Any]) -> "Sayings":
        return Sayings(
            self.user[places],
            self.thing[places],
            self.text[places],
            self.post[places],
            self.texts,
            self.group,
        )


@dataclass(frozen=True)
class Alike:
    """Sets that say nearly the same, and how usual that is.

    Attributes:
        sets: The sets whose q is low enough; `objects` holds the one thing.
        rate: Chance that two users' texts about one thing are near.
        crowds: Things that were left out, since more users than the bound wrote about them.
        passed_on: Sets that were left out, since nearly all of it wrote the very same.
    """

    sets: Sets
    rate: float = 0.0
    crowds: int = 0
    passed_on: int = 0


def alike_sets(said: Sayings, rules: TextRules, most: int, log10_rate: float) -> Alike:
    """Sets of users who say nearly the same about one thing, beyond what is usual.

    Args:
        said: Sayings of the window.
        rules: When two texts are near.
        most: Users of a thing above which it is a crowd's, and left out.
        log10_rate: log10 of the false-discovery rate, over all things of three users or more.

    Cost: O(sayings x permutations); in a thing each text is compared with a bounded number.
    """
    said = said[np.lexsort((said.text, said.user, said.thing))]
    users = _distinct_users(said)
    crowds = int((users > most).sum())
    inside = said[(users[said.thing] >= LEAST_USERS) & (users[said.thing] <= most)]
    if not len(inside):
        return Alike(_none(), crowds=crowds)
    pairs = near_sayings(inside, rules)
    rate = _pooled_rate(inside, pairs)
    if rate > USUAL:
        return Alike(_none(), rate, crowds)
    found, trees = tied_sets(inside, pairs)
    tests = float(max(len(np.unique(inside.thing)), len(found)))
    among = [int(users[inside.thing[part[0]]]) for part in found]
    log10_p = np.array(
        [
            _log10_p(inside.user[part], n, rate, seen)
            for part, n, seen in zip(found, among, trees, strict=True)
        ]
    )
    # How usual the words are, and near texts about the thing, is only asked of hopeful sets.
    hopeful = np.flatnonzero(log10_q(log10_p, tests) <= log10_rate)
    asked = [found[place] for place in hopeful]
    elsewhere = _said_elsewhere(asked, inside, said, rules)
    around = near_around(asked, inside, pairs, rate)
    chances: dict[int, dict[str, float]] = {}
    for place, (common, any_of_them), near in zip(hopeful.tolist(), elsewhere, around, strict=True):
        chances[place] = {"anywhere": rate, "elsewhere": common, "around": near}
        chance = max(chances[place].values())
        p = _log10_p(inside.user[found[place]], among[place], chance, trees[place])
        log10_p[place] = p if any_of_them <= STRANGERS else 0.0
    q = log10_q(log10_p, tests)
    likely = np.flatnonzero(q <= log10_rate)
    varied = np.array([_varies(inside, found[place]) for place in likely], dtype=np.bool_)
    chosen = likely[varied]
    members = [np.unique(inside.user[found[place]]) for place in chosen]
    things = np.array([inside.thing[found[place][0]] for place in chosen], dtype=np.int64)
    stands = zip(chosen.tolist(), standing(log10_p, tests, chosen), strict=True)
    terms: list[Terms] = [
        {
            "similarity": rules.similarity,
            "among": among[place],
            "texts": np.sort(texts_of(inside.user[found[place]])).tolist(),
            "log_trees": trees[place],
            "chances": chances[place],
        }
        | one
        for place, one in stands
    ]
    sets = Sets(members, things.reshape(-1, 1), q[chosen], terms)
    return Alike(sets, rate, crowds, len(likely) - len(chosen))


def alike_numbers(users: int, terms: Mapping[str, Any]) -> Numbers:
    """What the terms of `alike_sets` say of so many users: p, and q."""
    texts = np.array(terms["texts"], dtype=np.int64)
    chance = max(terms["chances"].values())
    log10_p = log10_alike(texts, terms["among"], chance, terms["log_trees"])
    # Of so many users each wrote something, or it is no such set.
    numbers = stood(log10_p, terms)
    return numbers | {OF_SET: numbers["log10_q",] if len(texts) == users else 0.0}


def tied_sets(said: Sayings, pairs: Ints) -> tuple[list[Ints], list[float]]:
    """Sayings of each set whom near texts connect, and the natural log of the trees that span it.

    Args:
        said: Sayings, sorted by thing.
        pairs: Of `near_sayings`.
    """
    found = _components(said, pairs)
    return found, _log_trees(said, pairs, found)


def texts_of(user: Ints) -> Ints:
    """Texts of each of the users of some sayings."""
    return np.unique(user, return_counts=True)[1].astype(np.int64)


def _varies(said: Sayings, part: Ints) -> bool:
    """Whether more than a few of a set's users wrote something of their own."""
    both = distinct_pairs(said.post[part], said.user[part])
    most = np.unique(both[0], return_counts=True)[1].max()
    return bool(most < PASSED_ON * len(np.unique(said.user[part])))


def _none() -> Sets:
    return Sets([], np.zeros((0, 1), dtype=np.int64), np.zeros(0))


def _distinct_users(said: Sayings) -> Ints:
    """Users of each thing, shape [largest thing + 1]."""
    key = np.sort(said.thing << 32 | said.user)
    once = key[np.diff(key, prepend=-1) > 0]
    return np.bincount(once >> 32)


def near_sayings(said: Sayings, rules: TextRules) -> Ints:
    """Pairs of sayings of two users about one thing that are near, shape [2, num_pairs]."""
    key = said.thing << 32 | said.text
    texts, place = np.unique(key, return_inverse=True)
    thing, text = texts >> 32, texts & (2**32 - 1)
    rank = np.empty(len(texts), dtype=np.int64)
    rank[np.lexsort((thing, said.texts.rank[text]))] = np.arange(len(texts))
    scope = seeded(thing.astype(np.uint64), 0)
    found = near_texts(said.texts.plain.gather(text), rank, rules, scope)
    rows = pl.DataFrame({"saying": np.arange(len(said)), "text": place})
    ends = pl.DataFrame({"one": found[0], "other": found[1]})
    ends = pl.concat([ends, pl.DataFrame({"one": np.arange(len(texts))}).with_columns(other="one")])
    met = (
        ends.join(rows, left_on="one", right_on="text")
        .join(rows, left_on="other", right_on="text", suffix="_b")
        .select("saying", "saying_b")
        .to_numpy()
        .T
    )
    one, other = np.sort(met, axis=0)
    # Who repeats himself meets nobody; two of one text meet once.
    apart = (said.user[one] != said.user[other]) & (one != other)
    return distinct_pairs(one[apart], other[apart])


def _pooled_rate(said: Sayings, pairs: Ints) -> float:
    """Chance that texts of two users about one thing are near; no thing counts too loud.

    A thing counts by its texts, not by their pairs: a campaign of sixty would be most of these. And
    it counts at most `LOUDEST` times what is usual for its pairs (and a few), rising from the few.
    """
    things, place = np.unique(said.thing, return_inverse=True)
    _, sayer = np.unique(place.astype(np.int64) << 32 | said.user, return_inverse=True)
    mine = np.bincount(sayer)
    home = np.zeros(len(mine), dtype=np.int64)
    home[sayer] = place
    squares = np.bincount(home, mine.astype(np.float64) ** 2, len(things))
    size = np.bincount(place).astype(np.float64)
    chances = (size**2 - squares) / 2
    near = np.bincount(place[pairs[0]], minlength=len(things)).astype(np.float64)
    share = size.mean() / size
    usual = np.zeros(len(things))
    rate = 0.0
    for _ in range(ROUNDS):
        heard = np.minimum(near, usual + FEW)
        rate = float((share @ heard + 0.5) / (share @ chances + 0.5))
        usual = LOUDEST * rate * chances
    return min(rate, 1.0)


def _components(said: Sayings, pairs: Ints) -> list[Ints]:
    """Sayings of each set of three users or more whom near texts about one thing connect."""
    _, user = np.unique(said.thing << 32 | said.user, return_inverse=True)
    number = int(user.max()) + 1
    part = linked_components(number, user[pairs[0]], user[pairs[1]])[user]
    size = np.bincount(part, minlength=number)
    users = np.bincount(distinct_pairs(part, user)[0], minlength=number)
    order = np.argsort(part, kind="stable")
    ends = np.cumsum(size)
    return [
        order[ends[number] - size[number] : ends[number]]
        for number in np.flatnonzero(users >= LEAST_USERS)
    ]


def _log_trees(said: Sayings, pairs: Ints, found: list[Ints]) -> list[float]:
    """Natural log of the number of trees of near texts that span each set (Kirchhoff).

    Two users are tied as often as texts of theirs are near: a tree names the texts of its ties.
    """
    part = np.full(len(said), -1, dtype=np.int64)
    place = np.zeros(len(said), dtype=np.int64)
    for number, sayings in enumerate(found):
        part[sayings] = number
        place[sayings] = np.unique(said.user[sayings], return_inverse=True)[1]
    order = np.argsort(part[pairs[0]], kind="stable")
    ends = np.searchsorted(part[pairs[0]][order], np.arange(len(found) + 1))
    logs = []
    for number, sayings in enumerate(found):
        one, other = place[pairs[:, order[ends[number] : ends[number + 1]]]]
        size = int(place[sayings].max()) + 1
        ties = np.zeros((size, size))
        np.add.at(ties, (one, other), 1.0)
        ties += ties.T
        minor = (np.diag(ties.sum(axis=0)) - ties)[1:, 1:]
        # The last bits follow the numbering of the users, which means nothing.
        logs.append(round(float(np.linalg.slogdet(minor)[1]), DIGITS))
    return logs


def near_around(found: list[Ints], said: Sayings, pairs: Ints, rate: float) -> list[float]:
    """Chance that texts about a set's thing are near, told by those that are not both of the set.

    A newspaper's headlines are quoted more than most things are. The rate of all things counts as
    one near pair beside those that are seen.
    """
    chances = []
    for part in found:
        thing = said.thing[part[0]]
        about = slice(*np.searchsorted(said.thing, [thing, thing + 1]))
        near = (said.thing[pairs[0]] == thing).sum() - np.isin(pairs[0], part).sum()
        others = _crossings(said.user[about]) - _crossings(said.user[part])
        chances.append(float((near + 1) / (others + 1 / rate)))
    return chances


def _crossings(user: Ints) -> int:
    """Pairs of sayings of two users."""
    mine = np.unique(user, return_counts=True)[1]
    return int(len(user) ** 2 - (mine**2).sum()) // 2


def _said_elsewhere(
    found: list[Ints], inside: Sayings, said: Sayings, rules: TextRules
) -> list[tuple[float, float]]:
    """Share of all sayings that are like a set's and about other things: its words' popularity.

    Twice: of that text of the set which most are near to, and of all its texts together.
    """
    if said.group is None:
        return _like_samples(found, inside, said, rules)
    _, group = np.unique(said.group, return_inverse=True)
    total = np.bincount(group[said.text], minlength=int(group.max(initial=0)) + 1)
    shares = []
    for part in found:
        mine = np.unique(group[inside.text[part]])
        low, high = np.searchsorted(inside.thing, inside.thing[part[0]] + np.array([0, 1]))
        here = np.isin(group[inside.text[low:high]], mine).sum()
        share = float(total[mine].sum() - here) / len(said)
        shares.append((share, share))
    return shares


def _like_samples(
    found: list[Ints], inside: Sayings, said: Sayings, rules: TextRules
) -> list[tuple[float, float]]:
    """As `_said_elsewhere`, told by a sample of texts."""
    # Ranks follow hashes of the texts, so the first of them are a sample, and the same every night.
    sample = np.flatnonzero(said.texts.rank < SAMPLE)
    mine = [np.unique(inside.text[part]) for part in found]
    asked = np.unique(np.concatenate([sample, *mine]))
    held = as_rows(shingles(said.texts.plain.gather(asked), rules.width))
    others = np.searchsorted(asked, sample)
    shares = []
    for part, texts in zip(found, mine, strict=True):
        about = said.thing == inside.thing[part[0]]
        elsewhere = np.bincount(said.text[~about], minlength=len(said.texts.rank))[sample]
        ends = np.searchsorted(asked, texts)
        pairs = np.stack([np.repeat(ends, len(others)), np.tile(others, len(ends))])
        near = (jaccard(held, pairs) >= rules.similarity).reshape(len(ends), len(others))
        every = max(elsewhere.sum(), 1)
        any_of_them = float(near.any(axis=0) @ elsewhere / every)
        shares.append((float((near @ elsewhere).max() / every), any_of_them))
    return shares


def _log10_p(user: Ints, among: int, chance: float, log_trees: float = 0.0) -> float:
    """log10 of the chance of a set of this size or larger with so many trees of near texts.

    Args:
        user: User of each of the set's sayings.
        among: Users who wrote about the thing.
        chance: That two of their texts are near.
        log_trees: Natural log of the number of trees that span the set; 0 for one.
    """
    return log10_alike(texts_of(user), among, chance, log_trees)


def log10_alike(texts: Ints, among: int, chance: float, log_trees: float) -> float:
    """As `_log10_p`, by the number of texts of each user of the set."""
    k = len(texts)
    trees = np.log(np.sort(texts)).sum() + (k - 2) * np.log(texts.sum()) + (k - 1) * np.log(chance)
    choices = gammaln(among + 1) - gammaln(k + 1) - gammaln(among - k + 1)
    sizes = np.log(among - LEAST_USERS + 1)
    return float(min((trees - log_trees + choices + sizes) / LN10, 0.0))

"""From linked pairs to rings at their own size.

Modularity cannot tell small rings apart in a large graph, so each connected component is looked at
alone and split by Leiden, and its parts again. Parts stay apart that hang together far better than
with one another: two rings with a link between them come apart, and one ring does not, however
loose. Then members with too few links to the others are trimmed. Every order follows keys.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, csr_matrix
from sknetwork.clustering import Leiden

from graphguard.graph.components import linked_components
from graphguard.graph.ranges import distinct

RESOLUTIONS = (1.0, 2.0, 4.0)
"""Of Leiden's modularity, one after the other until parts stand apart."""
HUGE = 5_000_000
"""Entries of a component's matrix (two a link) above which it is first parted by `_company`."""
MARKS = 16
"""Marks of `_company`: a pair that has half of its company in common is missed once in 65,000."""
SPARSE = 0.3
"""Share of linked pairs below which parts are looked for at higher resolutions too."""
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Links:
    """Linked pairs, each once.

    Attributes:
        first: Dense index of one user, shape [n].
        second: The other, shape [n]; larger than the first.
        bits: Evidence of the pair, shape [n], above 0.
    """

    first: Ints
    second: Ints
    bits: Floats


@dataclass(frozen=True)
class GroupRules:
    """What counts as a ring.

    Attributes:
        min_members: Smallest ring.
        apart: Pairs between parts are linked at most this many times as often as pairs within, or
            the parts are one ring.
        core: Share of the others that a member must be linked with.
    """

    min_members: int = 3
    apart: float = 0.3
    core: float = 0.2


def find_groups(links: Links, rules: GroupRules) -> list[Ints]:
    """Group linked users.

    Returns:
        Dense indices of each group's members, sorted; groups by their first member. No user is in
        two.

    Cost: O(links log links) for components; Leiden runs in sparse components only.
    """
    if not len(links.first):
        return []
    users = distinct(np.concatenate([links.first, links.second]))
    ends = (np.searchsorted(users, links.first), np.searchsorted(users, links.second))
    component = linked_components(len(users), *ends)
    groups = []
    for members, mine in _by_component(component, ends[0]):
        if len(members) >= rules.min_members:
            block = _matrix(members, (ends[0][mine], ends[1][mine]), links.bits[mine])
            groups += [users[members[part]] for part in _split(block, rules)]
    return sorted(groups, key=lambda group: int(group[0]))


def _by_component(component: Ints, first: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Members, and positions of links, of every component."""
    nodes, links = np.argsort(component, kind="stable"), np.argsort(component[first], kind="stable")
    node_ends = np.cumsum(np.bincount(component))
    link_ends = np.cumsum(np.bincount(component[first], minlength=len(node_ends)))
    for number in range(len(node_ends)):
        low = (int(node_ends[number - 1]), int(link_ends[number - 1])) if number else (0, 0)
        yield nodes[low[0] : node_ends[number]], links[low[1] : link_ends[number]]


def _matrix(members: Ints, ends: tuple[Ints, Ints], bits: Floats) -> csr_array:
    a, b = np.searchsorted(members, ends[0]), np.searchsorted(members, ends[1])
    size = len(members)
    rows, columns = np.concatenate([a, b]), np.concatenate([b, a])
    matrix = coo_array((np.concatenate([bits, bits]), (rows, columns)), shape=(size, size))
    return csr_array(matrix)


def _split(block: csr_array, rules: GroupRules) -> list[Ints]:
    """Rings within one component: positions of members, sorted."""
    # A chain of rings is sparse, and nobody in it is linked with a share of all: so only hangers-on
    # go before the split, and the share is asked for within what comes out of it.
    whole = _trimmed(block, np.arange(block.shape[0]), 0.0)
    if len(whole) < rules.min_members:
        return []
    inner = csr_array(block[whole][:, whole])
    parts = _parts(inner, rules.apart)
    if len(parts) > 1:
        found = []
        for part in parts:
            piece = csr_array(inner[part][:, part])
            found += [whole[part[deep]] for deep in _split(piece, rules)]
        return found
    core = _trimmed(inner, np.arange(len(whole)), rules.core)
    return [whole[core]] if len(core) >= rules.min_members else []


def _parts(block: csr_array, apart: float) -> list[Ints]:
    """Communities of one component, if pairs between them are linked far less than within."""
    size = block.shape[0]
    # Who are linked with half of the others each hang together, however they are parted.
    if np.diff(block.indptr).min() >= size / 2:
        return [np.arange(size)]
    if block.nnz > HUGE:
        labels = _company(block)
        if labels.max() > 0:
            return _groups_of(labels)
    for resolution in RESOLUTIONS if _density(block) < SPARSE else RESOLUTIONS[:1]:
        found = Leiden(resolution=resolution, random_state=0).fit_predict(csr_matrix(block))
        labels = _joined(block, found.astype(np.int64), apart)
        if labels.max() > 0:
            return _groups_of(labels)
    return [np.arange(size)]


def _groups_of(labels: Ints) -> list[Ints]:
    return [np.flatnonzero(labels == label) for label in range(int(labels.max()) + 1)]


def _company(block: csr_array) -> Ints:
    """Who hang together by links whose ends have company in common: one link in passing has none.

    Communities of tens of millions of links take minutes; that two users' neighbours overlap shows
    in the smallest of their marks (MinHash), in one pass for each of MARKS.
    """
    size = block.shape[0]
    row = np.repeat(np.arange(size, dtype=np.int32), np.diff(block.indptr))
    rng = np.random.Generator(np.random.PCG64(0))
    shared = np.zeros(block.nnz, dtype=np.bool_)
    for _ in range(MARKS):
        mark = rng.permutation(size).astype(np.int32)
        least = np.minimum(mark, np.minimum.reduceat(mark[block.indices], block.indptr[:-1]))
        shared |= least[row] == least[block.indices]
    once = shared & (row < block.indices)
    return linked_components(size, row[once].astype(np.int64), block.indices[once].astype(np.int64))


def _joined(block: csr_array, labels: Ints, apart: float) -> Ints:
    """Put communities together that are linked too often to be two, until none are.

    A dense ring has no communities of its own, and is halved anyhow where another hangs on it.
    """
    row = np.repeat(labels, np.diff(block.indptr))
    column = labels[block.indices]
    while True:
        number = int(labels.max()) + 1
        if number == 1:
            return labels
        ones = np.ones(len(row), dtype=np.int64)
        links = coo_array((ones, (row, column)), shape=(number, number)).tocsr().tocoo()
        sizes = np.bincount(labels).astype(np.float64)
        within, pairs = np.zeros(number), sizes * (sizes - 1)
        own = links.row == links.col
        within[links.row[own]] = links.data[own]
        one, other, between = (each[~own] for each in (links.row, links.col, links.data))
        # Rate between over rate within, both of ordered pairs; who stands alone is of the others.
        usual = (within[one] + within[other]) / np.maximum(pairs[one] + pairs[other], 1.0)
        close = between / (sizes[one] * sizes[other]) > apart * usual
        if not close.any():
            return labels
        ends = (each[close].astype(np.int64) for each in (one, other))
        joint = linked_components(number, *ends)
        row, column, labels = joint[row], joint[column], joint[labels]


def _trimmed(block: csr_array, members: Ints, share: float) -> Ints:
    """Drop members linked with fewer than two, or that share, of the others, until none is left."""
    kept = members
    while len(kept) > 1:
        degree = np.diff(csr_array(block[kept][:, kept]).indptr)
        needed = min(max(2.0, share * (len(kept) - 1)), len(kept) - 1)
        weakest = degree.min()
        if weakest >= needed:
            return kept
        kept = kept[degree > weakest]
    return kept[:0]


def _density(block: csr_array) -> float:
    size = block.shape[0]
    return float(block.nnz / max(size * (size - 1), 1))

"""From linked pairs to rings at their own size.

Modularity cannot tell small rings apart in a large graph, so each connected component is looked at
alone: a dense one is a ring as it is; a sparse one is split by Leiden, and what stays sparse is
split again. Then members with too few links to the others are trimmed. Every order follows keys.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, csr_matrix
from sknetwork.clustering import Leiden

from graphguard.graph.components import linked_components

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
        dense: Share of linked pairs from which a group is a ring as it is.
        core: Share of the others that a member must be linked with.
    """

    min_members: int = 3
    dense: float = 0.3
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
    users = np.unique(np.concatenate([links.first, links.second]))
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
    if _density(inner) < rules.dense:
        parts = _leiden(inner)
        if len(parts) > 1:
            found = []
            for part in parts:
                piece = csr_array(inner[part][:, part])
                found += [whole[part[deep]] for deep in _split(piece, rules)]
            return found
    core = _trimmed(inner, np.arange(len(whole)), rules.core)
    return [whole[core]] if len(core) >= rules.min_members else []


def _leiden(block: csr_array) -> list[Ints]:
    """Communities of one component; resolution is raised until it splits, for it is sparse."""
    for resolution in (1.0, 2.0, 4.0):
        labels = Leiden(resolution=resolution, random_state=0).fit_predict(csr_matrix(block))
        if labels.max() > 0:
            return [np.flatnonzero(labels == label) for label in range(int(labels.max()) + 1)]
    return [np.arange(block.shape[0])]


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

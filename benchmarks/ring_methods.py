"""Ways to find coordinated pairs and rings in one trace: ours, and what others do.

Others: co-action edges above a constant or above a quantile of all weights (CooRTweet's way), with
connected components as rings; Louvain communities of the co-action graph; and dense blocks of users
and objects by FRAUDAR (Hooi et al. 2016), peeled one after the other.
"""

import heapq
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, csr_matrix
from sknetwork.clustering import Louvain

from graphguard.graph.components import linked_components
from graphguard.graph.ranges import distinct_pairs
from graphguard.rings.coaction import Coactions, split_keys
from graphguard.rings.confirm import confirmed_links
from graphguard.rings.extend import extend_groups
from graphguard.rings.fusion import channel_bits, pair_bits, pair_table
from graphguard.rings.grouping import GroupRules, Links, find_groups
from graphguard.rings.significance import all_pairs

Ints = NDArray[np.int64]
MOST_BLOCKS = 60
"""Dense blocks that FRAUDAR may propose."""
RATE = 0.01
ALPHA = 0.05
"""Discovery rate of pairs, and chance of a false ring in a night: the product's defaults."""


@dataclass(frozen=True)
class Found:
    """Pairs and rings of one method.

    Attributes:
        pairs: Users of each pair, shape [2, num_pairs]; None where a method names rings only.
        rings: Members of each ring.
    """

    pairs: Ints | None
    rings: list[Ints]


def by_significance(
    links: pl.DataFrame, channel: str, num_users: int, sets: pl.DataFrame | None = None
) -> Found:
    """Ours: discoveries among all pairs, and rings of them as a night makes them.

    Args:
        links: LINK_SCHEMA of one channel.
        channel: Its name.
        num_users: Users that acted at all.
        sets: Pairs inside sets that were told as such (`fusion.set_evidence`).
    """
    pairs = pair_table({channel: links}, all_pairs(num_users))
    pairs = pairs.with_columns(channel_bits(pl.col("log10_p")).alias("bits"))
    if sets is not None:
        pairs = pl.concat([pairs, sets], how="diagonal_relaxed")
    if not pairs.height:
        return Found(np.zeros((2, 0), dtype=np.int64), [])
    chosen = confirmed_links(pairs, RATE)
    bits = pair_bits(chosen)
    ends = [bits.get_column(name).to_numpy() for name in ("user_a", "user_b", "bits")]
    groups = find_groups(Links(*ends), GroupRules())
    near = pl.DataFrame(schema={"user_a": pl.Int64, "user_b": pl.Int64, "log10_p": pl.Float64})
    groups = extend_groups(groups, pairs, near, float(np.log10(RATE / max(num_users, 1))))
    # A ring whose best pair is no discovery at the night's alpha is not reported.
    told = np.log10(ALPHA) - np.log10(max(all_pairs(num_users), 1.0))
    strong = pairs.filter(pl.col("log10_p") <= told).select("user_a", "user_b").to_numpy()
    rings = [
        group
        for group in groups
        if (np.isin(strong[:, 0], group) & np.isin(strong[:, 1], group)).any()
    ]
    sure = pairs.filter(pl.col("log10_q") <= np.log10(RATE)).select("user_a", "user_b")
    return Found(sure.unique(maintain_order=True).to_numpy().T, rings)


@dataclass(frozen=True)
class Weights:
    """The co-action graph: all pairs, those that met once too.

    Attributes:
        pairs: Users of each pair, shape [2, num_pairs].
        weight: Objects on which each met.
        num_users: Users in all.
    """

    pairs: Ints
    weight: Ints
    num_users: int

    @classmethod
    def of(cls, found: Coactions, num_users: int) -> "Weights":
        """Weights of all meetings outside of bursts."""
        keys, count = np.unique(found.meetings.keys(), return_counts=True)
        return cls(split_keys(keys), count.astype(np.int64), num_users)


def above(weights: Weights, least: float) -> Found:
    """Edges of a weight above `least`; rings are their components of three or more."""
    chosen = weights.pairs[:, weights.weight > least]
    users, place = np.unique(chosen, return_inverse=True)
    ends = place.reshape(chosen.shape)
    label = linked_components(len(users), ends[0], ends[1])
    return Found(chosen, _groups(label, users))


def above_quantile(weights: Weights, quantile: float = 0.99) -> Found:
    """CooRTweet's way."""
    return above(
        weights, float(np.quantile(weights.weight, quantile)) if weights.weight.size else 0
    )


def louvain(weights: Weights) -> Found:
    """Communities of the pairs that met twice or more."""
    kept = weights.weight >= 2
    users, place = np.unique(weights.pairs[:, kept], return_inverse=True)
    ends = place.reshape(2, -1)
    if not len(users):
        return Found(None, [])
    size = len(users)
    half = coo_array((weights.weight[kept].astype(float), (ends[0], ends[1])), shape=(size, size))
    label = Louvain(random_state=0).fit_predict(csr_matrix(half + half.T))
    return Found(None, _groups(label, users))


def fraudar(found: Coactions) -> Found:
    """Dense blocks of users and objects where they met, until a block is no denser than average."""
    acts = found.meetings.acts
    ends = np.concatenate([found.meetings.one, found.meetings.other])
    both = distinct_pairs(acts.user[ends], acts.object[ends])
    rings = []
    average = 0.0
    for number in range(MOST_BLOCKS):
        if both.shape[1] < 9:
            break
        members, things, density = _densest(both)
        average = density if number == 0 else average
        if density < average / 4 or len(members) < 3:
            break
        rings.append(members)
        inside = np.isin(both[0], members) & np.isin(both[1], things)
        both = both[:, ~inside]
    return Found(None, rings)


def _densest(both: Ints) -> tuple[Ints, Ints, float]:
    """The best block of greedy peeling; an object of d touches weighs 1 / log(5 + d)."""
    users, row = np.unique(both[0], return_inverse=True)
    things, column = np.unique(both[1], return_inverse=True)
    weight = 1.0 / np.log(np.bincount(column) + 5.0)
    size = len(users) + len(things)
    matrix = coo_array((weight[column], (row, column + len(users))), shape=(size, size))
    graph = csr_array(matrix + matrix.T)
    degree = np.asarray(graph.sum(axis=1)).ravel()
    alive = np.ones(size, dtype=np.bool_)
    heap = [(value, node) for node, value in enumerate(degree.tolist())]
    heapq.heapify(heap)
    total, left = float(degree.sum()) / 2, size
    best, kept, order = total / left, 0, []
    while left > 1:
        value, node = heapq.heappop(heap)
        if not alive[node] or value > degree[node] + 1e-9:
            continue
        alive[node] = False
        order.append(node)
        total -= float(degree[node])
        left -= 1
        for place in range(graph.indptr[node], graph.indptr[node + 1]):
            other = graph.indices[place]
            if alive[other]:
                degree[other] -= graph.data[place]
                heapq.heappush(heap, (float(degree[other]), int(other)))
        if total / left > best:
            best, kept = total / left, len(order)
    inside = np.setdiff1d(np.arange(size), np.array(order[:kept], dtype=np.int64))
    people = inside[inside < len(users)]
    return users[people], things[inside[inside >= len(users)] - len(users)], best


def _groups(label: NDArray[np.int64], users: Ints) -> list[Ints]:
    order = np.argsort(label, kind="stable")
    parts = np.split(users[order], np.flatnonzero(np.diff(label[order])) + 1)
    return [np.sort(part) for part in parts if len(part) >= 3]

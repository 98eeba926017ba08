"""Ring expansion: the users nearest to a few seeds, and why each of them is near.

A local push of personalised PageRank (Andersen, Chung, Lang 2006) over user-object-user steps: a
user hands its weight to the objects it touched, rare ones first, and an object hands it on to its
other users. Only rows that are reached are read, so the time follows the neighbourhood and not the
graph. Ring members and embedding neighbours of the seeds come in beside.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphguard.errors import UnknownEntity
from graphguard.graph.hetero import EdgeType, HeteroGraph

STAY = 0.2
"""Share of a user's weight that stays with it at every step."""
MOST_OBJECTS = 500
"""Objects of one user that are followed, the newest; more are counted as cut."""
MOST_USERS = 2_000
"""Users of one object that are followed, the newest; more are counted as cut."""
MOST_FRONTIER = 2_000
"""Users that hand on weight at a hop, the heaviest."""
NEIGHBOURS = 20


@dataclass(frozen=True)
class ExpansionInputs:
    """What a run offers to investigations; `bad` holds dense users enforced before the cutoff."""

    graph: HeteroGraph
    target: str
    scores: pl.DataFrame
    rings: pl.DataFrame
    members: pl.DataFrame
    decisions: pl.DataFrame
    bad: frozenset[int]
    embeddings: NDArray[np.float32] | None


@dataclass(frozen=True)
class Question:
    """Where to start and how far to go; times in microseconds."""

    seeds: tuple[int, ...]
    hops: int
    limit: int
    relations: tuple[str, ...] | None
    since_us: int
    until_us: int


@dataclass(frozen=True)
class Found:
    """One user of an expansion.

    Attributes:
        user: Key.
        weight: Share of the seeds' weight that arrived, in [0, 1].
        hops: Users away from a seed; 0 where only a ring or the embedding points at it.
        path: Keys from a seed to the user, as `type:key`, by the strongest steps.
        evidence: What brought it in, in words.
        risk_score: Null where it is not scored.
        ring_id: Its ring, if it has one.
        enforced: Whether it was enforced before the cutoff.
    """

    user: str
    weight: float
    hops: int
    path: list[str]
    evidence: list[str]
    risk_score: float | None
    ring_id: str | None
    enforced: bool


@dataclass
class Expansion:
    """The users found, strongest first, and what was cut on the way."""

    seeds: list[str]
    users: list[Found]
    truncated: bool
    cut_edges: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def nodes(self) -> dict[str, list[str]]:
        """Keys by type of the seeds and all that stands on the paths: what to draw."""
        steps = {*self.seeds, *(step for found in self.users for step in found.path)}
        kinds: dict[str, list[str]] = {}
        for step in sorted(steps):
            kind, _, key = step.partition(":")
            kinds.setdefault(kind, []).append(key)
        return kinds

    def __iter__(self) -> Iterator[Found]:
        return iter(self.users)


@dataclass
class _Walk:
    """Weight and strongest step so far, by user."""

    weight: dict[int, float] = field(default_factory=dict)
    came: dict[int, tuple[int, EdgeType, bool, int]] = field(default_factory=dict)
    hops: dict[int, int] = field(default_factory=dict)
    evidence: dict[int, list[str]] = field(default_factory=dict)
    cut: int = 0


def expand(inputs: ExpansionInputs, question: Question) -> Expansion:
    """Rank the users near the seeds.

    Raises:
        UnknownEntity: A relation is not in the graph.
    """
    steps = _steps(inputs, question.relations)
    walk = _Walk()
    frontier = dict.fromkeys(question.seeds, 1.0 / len(question.seeds))
    for seed in question.seeds:
        walk.hops[seed] = 0
    for hop in range(1, question.hops + 1):
        frontier = _push(inputs.graph, steps, question, (frontier, hop), walk)
    _add_rings(inputs, question, walk)
    _add_neighbours(inputs, question, walk)
    names = inputs.graph.keys(inputs.target)
    ranked = sorted(
        (user for user in walk.weight if user not in question.seeds),
        key=lambda user: (-walk.weight[user], names[user]),
    )[: question.limit]
    facts = _facts(inputs, [names[user] for user in ranked])
    users = [_found(inputs, user, walk, facts) for user in ranked]
    seeds = [f"{inputs.target}:{names[seed]}" for seed in question.seeds]
    return Expansion(seeds, users, walk.cut > 0, walk.cut)


def _steps(
    inputs: ExpansionInputs, relations: tuple[str, ...] | None
) -> list[tuple[EdgeType, bool]]:
    """Edge types to walk, with the side on which the users stand (True: as targets)."""
    known = sorted({name[1] for name in inputs.graph.edge_types})
    for relation in relations or ():
        if relation not in known:
            kind = "relation"
            raise UnknownEntity(kind, relation, known)
    steps = []
    for edge_type in inputs.graph.edge_types:
        if relations is None or edge_type[1] in relations:
            if edge_type[0] == inputs.target:
                steps.append((edge_type, False))
            if edge_type[2] == inputs.target and edge_type[0] != inputs.target:
                steps.append((edge_type, True))
    return steps


def _push(
    graph: HeteroGraph,
    steps: list[tuple[EdgeType, bool]],
    question: Question,
    state: tuple[dict[int, float], int],
    walk: _Walk,
) -> dict[int, float]:
    """Hand the frontier's weight on over every step; returns the next frontier."""
    frontier, hop = state
    heaviest = sorted(frontier, key=lambda user: (-frontier[user], user))[:MOST_FRONTIER]
    arrived: dict[int, float] = {}
    best: dict[int, float] = {}
    for user in heaviest:
        held = frontier[user] * (1.0 - STAY)
        reached = [_objects(graph, step, user, question, walk) for step in steps]
        total = sum(float(part[1].sum()) for part in reached)
        if not total:
            continue
        for (edge_type, as_target), (objects, weights) in zip(steps, reached, strict=True):
            for thing, weight in zip(
                objects.tolist(), (weights / total * held).tolist(), strict=True
            ):
                others = _others(graph, (edge_type, as_target), thing, question, walk)
                others = others[others != user]
                if not len(others):
                    continue
                share = weight / len(others)
                for other in others.tolist():
                    arrived[other] = arrived.get(other, 0.0) + share
                    if share > best.get(other, 0.0) and other not in walk.hops:
                        best[other] = share
                        walk.came[other] = (user, edge_type, as_target, thing)
    for other, weight in arrived.items():
        walk.weight[other] = walk.weight.get(other, 0.0) + weight * STAY
        walk.hops.setdefault(other, hop)
    return arrived


def _objects(
    graph: HeteroGraph, step: tuple[EdgeType, bool], user: int, question: Question, walk: _Walk
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Objects a user touched in the time range, with their pull: rare ones pull more."""
    edge_type, as_target = step
    side = graph.into(edge_type) if as_target else graph.out(edge_type)
    back = graph.out(edge_type) if as_target else graph.into(edge_type)
    first, last = side.window(np.array([user]), question.since_us, question.until_us)
    low = max(int(first[0]), int(last[0]) - MOST_OBJECTS)
    walk.cut += low - int(first[0])
    objects = np.unique(side.neighbor[low : int(last[0])].astype(np.int64))
    begin, end = back.window(objects, question.since_us, question.until_us)
    others = np.maximum(end - begin - 1, 0)
    return objects[others > 0], 1.0 / np.log(2.0 + others[others > 0])


def _others(
    graph: HeteroGraph, step: tuple[EdgeType, bool], thing: int, question: Question, walk: _Walk
) -> NDArray[np.int64]:
    edge_type, as_target = step
    back = graph.out(edge_type) if as_target else graph.into(edge_type)
    first, last = back.window(np.array([thing]), question.since_us, question.until_us)
    low = max(int(first[0]), int(last[0]) - MOST_USERS)
    walk.cut += low - int(first[0])
    return np.unique(back.neighbor[low : int(last[0])].astype(np.int64))


def _add_rings(inputs: ExpansionInputs, question: Question, walk: _Walk) -> None:
    """Members of the seeds' rings come in with at least the weight of the strongest neighbour."""
    names = inputs.graph.keys(inputs.target)
    seeds = {names[seed] for seed in question.seeds}
    mine = inputs.members.filter(pl.col("key").is_in(list(seeds)))
    strongest = max(walk.weight.values(), default=1.0)
    for ring in mine.get_column("ring_id").unique().sort():
        inside = inputs.members.filter(
            (pl.col("ring_id") == ring) & ~pl.col("key").is_in(list(seeds))
        )
        for key, bits in inside.select("key", "evidence_bits").iter_rows():
            try:
                user = inputs.graph.index_of(inputs.target, key)
            except UnknownEntity:
                continue
            weight = strongest * bits / (bits + 50.0)
            walk.weight[user] = walk.weight.get(user, 0.0) + weight
            walk.evidence.setdefault(user, []).append("in the same ring")


def _add_neighbours(inputs: ExpansionInputs, question: Question, walk: _Walk) -> None:
    """Users whose embedding is nearest to a seed's, by cosine, with a tenth of the weight."""
    if inputs.embeddings is None:
        return
    vectors = np.nan_to_num(np.asarray(inputs.embeddings))
    norms = np.linalg.norm(vectors, axis=1)
    strongest = max(walk.weight.values(), default=1.0)
    for seed in question.seeds:
        if norms[seed] == 0:
            continue
        similarity = vectors @ vectors[seed] / np.maximum(norms * norms[seed], 1e-12)
        similarity[[*question.seeds]] = -1.0
        nearest = np.lexsort((np.arange(len(similarity)), -similarity))[:NEIGHBOURS]
        for user in nearest[similarity[nearest] > 0.5].tolist():
            weight = 0.1 * strongest * float(similarity[user])
            walk.weight[user] = walk.weight.get(user, 0.0) + weight
            text = f"behaves alike (cosine {similarity[user]:.2f})"
            walk.evidence.setdefault(user, []).append(text)


def _facts(inputs: ExpansionInputs, keys: list[str]) -> dict[str, tuple[float, str | None]]:
    chosen = inputs.scores.filter(pl.col("entity_id").is_in(keys))
    rows = chosen.select("entity_id", "risk_score", "ring_id").iter_rows()
    return {key: (risk, ring) for key, risk, ring in rows}


def _found(
    inputs: ExpansionInputs, user: int, walk: _Walk, facts: dict[str, tuple[float, str | None]]
) -> Found:
    names = inputs.graph.keys(inputs.target)
    path, evidence = [], []
    place = user
    while place in walk.came:
        source, edge_type, as_target, thing = walk.came[place]
        kind = edge_type[0] if as_target else edge_type[2]
        key = inputs.graph.keys(kind)[thing]
        path += [f"{inputs.target}:{names[place]}", f"{kind}:{key}"]
        if place == user:
            evidence.append(f"{edge_type[1]} {kind} {key} as {names[source]} does")
        place = source
    if path:
        path.append(f"{inputs.target}:{names[place]}")
    risk, ring = facts.get(names[user], (None, None))
    return Found(
        user=names[user],
        weight=round(walk.weight[user], 9),
        hops=walk.hops.get(user, 0),
        path=path[::-1],
        evidence=[*evidence, *walk.evidence.get(user, [])],
        risk_score=risk,
        ring_id=ring,
        enforced=user in inputs.bad,
    )

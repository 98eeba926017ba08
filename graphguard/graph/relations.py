"""Edge types seen from the nodes that are scored: from a user to what it met, and back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array, eye_array

from graphguard.graph.hetero import Adjacency, HeteroGraph
from graphguard.graph.ranges import ranges


@dataclass(frozen=True)
class Relation:
    """One edge type.

    Attributes:
        name: Relation and the type at the other end; `rev_` before it where edges end in the user.
        out: Edges by user.
        into: The same edges by the other end.
        direct: Whether the other end is a user too.
    """

    name: str
    out: Adjacency
    into: Adjacency
    direct: bool


def relations_of(graph: HeteroGraph, node_type: str) -> list[Relation]:
    """Every edge type that touches a node type; one among its own nodes comes once."""
    found = []
    for edge_type in graph.edge_types:
        source, name, target = edge_type
        out, into = graph.out(edge_type), graph.into(edge_type)
        if source == node_type:
            found.append(Relation(f"{name}:{target}", out, into, target == node_type))
        elif target == node_type:
            found.append(Relation(f"rev_{name}:{source}", into, out, direct=False))
    return found


def both_ways(relation: Relation) -> Adjacency:
    """Edges among users without their direction: each from both of its ends."""
    sides = (relation.out, relation.into)
    rows = relation.out.num_rows
    start = np.concatenate(
        [np.repeat(np.arange(rows, dtype=np.int64), np.diff(side.indptr)) for side in sides]
    )
    neighbor, time_us, count = (
        np.concatenate([getattr(side, name) for side in sides])
        for name in ("neighbor", "time_us", "count")
    )
    order = np.lexsort((neighbor, time_us, start))
    indptr = np.r_[0, np.cumsum(np.bincount(start, minlength=rows))].astype(np.int64)
    return Adjacency(indptr, neighbor[order], time_us[order], count[order])


@dataclass(frozen=True)
class UserStep:
    """A random step from users to the users they meet in one window, as two sparse factors.

    Over objects: to an object, every one alike, and on to one of its users. Directly: to one of the
    users met, whichever way. Days and repeats do not count.

    Attributes:
        there: Rows add up to 1, or to 0 for a user who met nothing.
        back: The same, from objects to users.
    """

    there: csr_array
    back: csr_array

    @property
    def reaches(self) -> NDArray[np.bool_]:
        """Whether a user can take the step, shape [users]."""
        able: NDArray[np.bool_] = np.diff(self.there.indptr) > 0
        return able

    def mean(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """Expected value after the step, shape and type of `values`, [users, columns]."""
        expected: NDArray[np.floating] = self.there @ (self.back @ values)
        return expected


def user_step(relation: Relation, span: tuple[int, int]) -> UserStep:
    """The step over one relation in the window [since, until).

    Cost: O(edges in the window).
    """
    side, users = relation.out, relation.out.num_rows
    first, last = side.window(np.arange(users), *span)
    end = np.asarray(side.neighbor[ranges(first, last)], dtype=np.int64)
    start = np.repeat(np.arange(users), last - first)
    shape = (users, users if relation.direct else relation.into.num_rows)
    met = csr_array((np.ones(len(start), dtype=np.float32), (start, end)), shape=shape)
    if not relation.direct:
        return UserStep(_walk(met), _walk(met.T.tocsr()))
    both = (met + met.T).tocsr()
    both.setdiag(0.0)
    both.eliminate_zeros()
    return UserStep(_walk(both), eye_array(users, dtype=np.float32, format="csr"))


def _walk(steps: csr_array) -> csr_array:
    steps.sum_duplicates()
    steps.data[:] = 1.0
    degree = np.diff(steps.indptr)
    weight = np.divide(1.0, degree, where=degree > 0, out=np.zeros(len(degree)))
    return (diags_array(weight.astype(np.float32)) @ steps).tocsr()

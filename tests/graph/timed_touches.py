"""Touches of objects by users, as the two sides of a graph: for tests of what neighbours tell."""

import numpy as np

from graphguard.graph.hetero import Adjacency


def both_sides(edges, users, objects):
    """Adjacency of the users and of the objects, from (user, object, time) in any order."""
    user, thing, time = np.array(edges, dtype=np.int64).reshape(-1, 3).T
    return _side(user, thing, time, users), _side(thing, user, time, objects)


def _side(ends, others, time, num_rows):
    order = np.lexsort((others, time, ends))
    indptr = np.zeros(num_rows + 1, dtype=np.int64)
    np.cumsum(np.bincount(ends, minlength=num_rows), out=indptr[1:])
    ones = np.ones(len(ends), dtype=np.int32)
    return Adjacency(indptr, others[order].astype(np.int32), time[order], ones)
